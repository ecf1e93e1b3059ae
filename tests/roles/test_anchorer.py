"""The newest closed batch is anchored in time, one at a time, and its proof insisted on."""

from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from ambientd.errors import ConfigError
from ambientd.ledger.events import BatchAnchored
from ambientd.model.base import NodeId
from ambientd.model.effect import (
    AnchorRoot,
    BroadcastJob,
    HearAnchor,
    LeaveAnchors,
    Propose,
    RoleEffect,
)
from ambientd.model.message import AnchorShown
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Anchor
from ambientd.roles.anchorer import PROPOSE_AGAIN_MS, QUIET_MS, Anchorer, AnchorerOptions, Overdue
from tests.ledger.bitcoin import TIME_S, anchor_proof
from tests.ledger.cluster import START_MS, TestCluster

NOW = START_MS + 10_000
TURN_MS = 600_000
DAILY = AnchorerOptions(period_ms=3_600_000, receipts_max=3, turn_ms=TURN_MS)
MEMBERS = TestCluster().state.members
STRANGER = NodeId(b"\x09" * 32)
SELF, NEXT, LAST = MEMBERS[0], MEMBERS[1], MEMBERS[3]


def anchorer_of(options: AnchorerOptions, member: NodeId = SELF) -> Anchorer:
    return Anchorer(options, member)


def closed(batches: int = 1, cluster: TestCluster | None = None) -> TestCluster:
    cluster = cluster or TestCluster()
    for _ in range(batches):
        cluster.work(cluster.admit(nonce=b"%d" % cluster.state.receipt_log_size()))
        cluster.close_batch()
    return cluster


def asked(cluster: TestCluster, now: int = NOW, options: AnchorerOptions = DAILY) -> bool:
    anchorer = anchorer_of(options)
    anchorer.on_tick(cluster.state, START_MS, None)
    deadline_ms = anchorer.next_deadline(cluster.state, SELF)
    effects = anchorer.on_tick(cluster.state, now, SELF)
    assert bool(effects) == (deadline_ms is not None and now >= deadline_ms)
    return bool(effects)


def anchored(cluster: TestCluster, size: int, proof: AnchorProof | None = None) -> TestCluster:
    root = cluster.state.receipt_log_root(size)
    cluster.block((0, Anchor(size=size, root=root, proof=proof or anchor_proof(root))))
    return cluster


def prove(anchorer: Anchorer, cluster: TestCluster, proof: AnchorProof) -> list[RoleEffect]:
    root = cluster.state.receipt_log_root(1)
    return anchorer.on_proven(1, root, proof, cluster.state, NOW)


def test_the_newest_batch_is_anchored_one_at_a_time() -> None:
    cluster = closed(2)
    anchorer = anchorer_of(AnchorerOptions())
    root = cluster.state.receipt_log_root(2)
    assert anchorer.on_tick(cluster.state, NOW, SELF) == [AnchorRoot(size=2, root=root)]
    closed(1, cluster)
    assert anchorer.on_tick(cluster.state, NOW, SELF) == []


@pytest.mark.parametrize(
    ("enabled", "coordinator"), [(False, SELF), (True, NEXT), (True, None), (True, STRANGER)]
)
def test_only_a_coordinator_that_may_anchors_at_once(
    enabled: bool, coordinator: NodeId | None
) -> None:
    anchorer = anchorer_of(AnchorerOptions(enabled=enabled))
    assert anchorer.on_tick(closed().state, NOW, coordinator) == []


def test_a_node_without_a_seat_anchors_nothing() -> None:
    anchorer = anchorer_of(DAILY, STRANGER)
    state = closed().state
    assert anchorer.on_tick(state, NOW, SELF) == []
    assert anchorer.next_deadline(state, SELF) is None


@pytest.mark.parametrize(("place", "member"), list(enumerate(MEMBERS)))
def test_where_the_coordinator_anchors_nothing_each_member_takes_its_turn(
    place: int, member: NodeId
) -> None:
    state = closed().state
    anchorer = anchorer_of(DAILY, member)
    turn_ms = NOW + place * TURN_MS
    wanted = [AnchorRoot(size=1, root=state.receipt_log_root(1))]
    assert anchorer.next_deadline(state, SELF) == 0
    assert anchorer.on_tick(state, NOW, SELF) == (wanted if place == 0 else [])
    if place:
        assert anchorer.next_deadline(state, SELF) == turn_ms
        assert anchorer.on_tick(state, turn_ms - 1, SELF) == []
        assert anchorer.on_tick(state, turn_ms, SELF) == wanted
    assert anchorer.next_deadline(state, SELF) is None, "one at a time"


def test_turns_go_on_from_whoever_coordinates_and_begin_anew_after_an_anchor() -> None:
    cluster = closed()
    anchorer = anchorer_of(DAILY, SELF)
    anchorer.on_tick(cluster.state, NOW, LAST)
    assert anchorer.next_deadline(cluster.state, LAST) == NOW + TURN_MS
    assert anchorer.next_deadline(cluster.state, NEXT) == NOW + 3 * TURN_MS
    anchored(cluster, 1)
    closed(3, cluster)
    later_ms = NOW + TURN_MS
    assert anchorer.on_tick(cluster.state, later_ms, LAST) == [LeaveAnchors(1)]
    assert anchorer.next_deadline(cluster.state, LAST) == later_ms + TURN_MS


@pytest.mark.parametrize("enabled", [True, False])
def test_a_member_knows_since_when_a_batch_is_overdue_and_who_is_next(enabled: bool) -> None:
    state = closed().state
    anchorer = anchorer_of(replace(DAILY, enabled=enabled), LAST)
    assert anchorer.overdue(state, NOW, SELF) is None
    anchorer.on_tick(state, NOW, SELF)
    assert anchorer.overdue(state, NOW + QUIET_MS - 1, SELF) is None
    assert anchorer.overdue(state, NOW + QUIET_MS, None) is None
    first = Overdue(1, NOW, SELF, SELF, NEXT, NOW + TURN_MS)
    assert anchorer.overdue(state, NOW + QUIET_MS, SELF) == first
    second = anchorer.overdue(state, NOW + TURN_MS, SELF)
    assert second == Overdue(1, NOW, SELF, NEXT, MEMBERS[2], NOW + 2 * TURN_MS)
    last = anchorer.overdue(state, NOW + 9 * TURN_MS, SELF)
    assert last is not None
    assert (last.turn, last.next_turn) == (LAST, None)


def test_a_coordinator_without_a_chain_knows_that_its_own_turn_passes() -> None:
    state = closed().state
    anchorer = anchorer_of(replace(DAILY, enabled=False), SELF)
    assert anchorer.on_tick(state, NOW, SELF) == []
    late = anchorer.overdue(state, NOW + QUIET_MS, SELF)
    assert late == Overdue(1, NOW, SELF, SELF, NEXT, NOW + TURN_MS)


@pytest.mark.parametrize("member", [STRANGER, LAST])
def test_what_may_have_been_sent_is_overdue_only_after_a_turn(member: NodeId) -> None:
    cluster = closed()
    anchorer = anchorer_of(replace(DAILY, enabled=False), member)
    anchorer.on_tick(cluster.state, NOW, SELF)
    if member in MEMBERS:
        root = cluster.state.receipt_log_root(1)
        shown = AnchorShown(size=1, root=root, raw_tx=b"raw")
        assert anchorer.on_message(SELF, shown, cluster.state) == []
    assert anchorer.overdue(cluster.state, NOW + TURN_MS - 1, SELF) is None
    assert anchorer.overdue(cluster.state, NOW + TURN_MS, SELF) is not None


def test_what_is_anchored_or_under_way_here_is_not_overdue() -> None:
    cluster = closed()
    own, other = anchorer_of(DAILY, SELF), anchorer_of(DAILY, LAST)
    for anchorer in (own, other):
        anchorer.on_tick(cluster.state, NOW, SELF)
    assert own.overdue(cluster.state, NOW + TURN_MS, SELF) is None
    assert other.overdue(cluster.state, NOW + TURN_MS, SELF) is not None
    anchored(cluster, 1)
    assert other.overdue(cluster.state, NOW + TURN_MS, SELF) is None


def test_all_turns_are_over_before_receipts_are_forgotten() -> None:
    state = closed().state
    keep_ms = state.genesis.rules.keep_ms
    anchorer = anchorer_of(replace(DAILY, turn_ms=keep_ms), LAST)
    anchorer.on_tick(state, NOW, SELF)
    turn_ms = anchorer.next_deadline(state, SELF)
    assert turn_ms is not None
    assert NOW < turn_ms < NOW + keep_ms // 4


def test_whoever_takes_over_follows_the_transaction_that_a_member_has_shown() -> None:
    cluster = closed()
    root = cluster.state.receipt_log_root(1)
    anchorer = anchorer_of(DAILY, NEXT)
    anchorer.on_message(SELF, AnchorShown(size=1, root=root, raw_tx=b"raw"), cluster.state)
    anchorer.on_tick(cluster.state, NOW, SELF)
    closed(1, cluster)
    wanted = AnchorRoot(size=1, root=root)
    assert anchorer.on_tick(cluster.state, NOW + TURN_MS, SELF) == [wanted]
    anchored(cluster, 1)
    newest = AnchorRoot(size=2, root=cluster.state.receipt_log_root(2))
    due_ms = TIME_S * 1_000 + DAILY.period_ms
    assert anchorer.on_tick(cluster.state, due_ms, NEXT) == [LeaveAnchors(1), newest]


def test_an_older_batch_that_a_member_shows_comes_before_no_newer_one() -> None:
    state = closed(3).state
    newest = AnchorRoot(size=3, root=state.receipt_log_root(3))
    older = AnchorShown(size=1, root=state.receipt_log_root(1), raw_tx=b"never mined")
    for member, turn_ms in ((SELF, NOW), (NEXT, NOW + TURN_MS)):
        anchorer = anchorer_of(DAILY, member)
        anchorer.on_message(LAST, older, state)
        effects = anchorer.on_tick(state, NOW, SELF)
        assert (effects or anchorer.on_tick(state, turn_ms, SELF)) == [newest]


def test_an_anchor_in_the_log_ends_what_was_not_begun_also_after_a_start() -> None:
    cluster = anchored(closed(), 1)
    anchorer = anchorer_of(DAILY)
    assert anchorer.next_deadline(cluster.state, None) == 0
    assert anchorer.on_tick(cluster.state, NOW, None) == [LeaveAnchors(1)]
    assert anchorer.next_deadline(cluster.state, None) is None


def test_nothing_new_means_nothing_to_anchor() -> None:
    assert not asked(TestCluster())


def test_the_first_anchor_comes_at_once_and_the_next_a_period_after_the_last_ones_block() -> None:
    cluster = closed()
    assert asked(cluster)
    closed(1, anchored(cluster, 1))
    due_ms = TIME_S * 1_000 + DAILY.period_ms
    assert not asked(cluster, due_ms - 1)
    assert asked(cluster, due_ms)


def test_many_receipts_are_anchored_before_the_period_is_over() -> None:
    cluster = closed(2, anchored(closed(), 1))
    assert not asked(cluster, TIME_S * 1_000)
    assert asked(closed(1, cluster), TIME_S * 1_000)


def test_receipts_are_anchored_before_they_are_forgotten_whatever_the_period() -> None:
    cluster = closed(1, anchored(closed(), 1))
    keep_ms = cluster.state.genesis.rules.keep_ms
    weekly = replace(DAILY, period_ms=7 * keep_ms)
    assert asked(cluster, TIME_S * 1_000 + keep_ms // 2, weekly)


def test_a_header_that_claims_a_far_date_stops_no_anchor() -> None:
    cluster = closed()
    root = cluster.state.receipt_log_root(1)
    closed(1, anchored(cluster, 1, anchor_proof(root, time_s=TIME_S * 2)))
    assert asked(cluster, NOW)


def test_a_proof_is_proposed_until_the_log_has_it() -> None:
    cluster = closed()
    anchorer = anchorer_of(AnchorerOptions())
    root = cluster.state.receipt_log_root(1)
    anchorer.on_tick(cluster.state, NOW, SELF)
    proof = anchor_proof(root)
    [proposed] = prove(anchorer, cluster, proof)
    assert isinstance(proposed, Propose)
    # It insists as a follower too: it alone has the proof.
    assert anchorer.next_deadline(cluster.state, NEXT) == NOW + PROPOSE_AGAIN_MS
    assert anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS - 1, NEXT) == []
    assert anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS, NEXT) == [proposed]
    events = cluster.block((0, proposed.body))
    assert events == [BatchAnchored(1, root, proof)]
    assert anchorer.next_deadline(cluster.state, NEXT) == 0
    assert anchorer.on_tick(cluster.state, NOW + 2 * PROPOSE_AGAIN_MS, SELF) == [LeaveAnchors(1)]
    assert anchorer.next_deadline(cluster.state, NEXT) is None
    closed(1, cluster)
    [next_one] = anchorer.on_tick(cluster.state, NOW + 3 * PROPOSE_AGAIN_MS, SELF)
    assert next_one == AnchorRoot(size=2, root=cluster.state.receipt_log_root(2))


def test_a_proof_from_another_block_under_more_work_is_proposed_and_no_other_one() -> None:
    cluster = anchored(closed(), 1)
    root = cluster.state.receipt_log_root(1)
    anchorer = anchorer_of(AnchorerOptions())
    elsewhere = anchor_proof(root, 8, previous=b"\x01" * 32)
    assert prove(anchorer, cluster, anchor_proof(root)) == []
    assert prove(anchorer, cluster, anchor_proof(root, 9)) == [], "the same block"
    assert prove(anchorer, cluster, anchor_proof(root, 7, previous=b"\x01" * 32)) == []
    [proposed] = prove(anchorer, cluster, elsewhere)
    assert isinstance(proposed, Propose)
    assert cluster.block((0, proposed.body)) == [BatchAnchored(1, root, elsewhere)]
    assert anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS, NEXT) == [LeaveAnchors(1)]
    assert anchorer.on_tick(cluster.state, NOW + 2 * PROPOSE_AGAIN_MS, NEXT) == []


def test_what_was_signed_is_shown_to_the_members_and_heard_of() -> None:
    cluster = closed()
    root = cluster.state.receipt_log_root(1)
    [told] = anchorer_of(DAILY).on_signed(1, root, b"raw")
    shown = AnchorShown(size=1, root=root, raw_tx=b"raw")
    assert told == BroadcastJob(shown)
    other, stranger = cluster.state.members[1], NodeId(b"\x09" * 32)
    anchorer = anchorer_of(DAILY)
    assert anchorer.on_message(other, shown, cluster.state) == [HearAnchor(1, root, b"raw")]
    assert anchorer.on_message(stranger, shown, cluster.state) == []
    for wrong in (changed(shown, size=2), changed(shown, root=bytes(32))):
        assert anchorer.on_message(other, wrong, cluster.state) == []
    off = anchorer_of(AnchorerOptions(enabled=False))
    assert off.on_message(other, shown, cluster.state) == []
    anchored(cluster, 1)
    # The log's anchor may have been undone, and only whoever watches the chain knows.
    assert anchorer.on_message(other, shown, cluster.state) == [HearAnchor(1, root, b"raw")]
    newest = [AnchorRoot(size=2, root=closed(1, cluster).state.receipt_log_root(2))]
    assert [
        each
        for each in anchorer.on_tick(cluster.state, NOW + 2 * DAILY.period_ms, SELF)
        if isinstance(each, AnchorRoot)
    ] == newest, "and is not taken up in the place of the newest batch"


def test_a_proof_that_comes_without_a_seat_waits_for_one() -> None:
    cluster = closed()
    anchorer = anchorer_of(DAILY, STRANGER)
    proof = anchor_proof(cluster.state.receipt_log_root(1))
    assert prove(anchorer, cluster, proof) == []
    assert anchorer.next_deadline(cluster.state, SELF) is None
    assert anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS, SELF) == []
    # The same, had it a seat now.
    anchorer._id = NEXT
    proposed = anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS, SELF)
    assert Propose(Anchor(size=1, root=cluster.state.receipt_log_root(1), proof=proof)) in proposed


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong in ({"period_ms": -1}, {"receipts_max": 0}, {"turn_ms": 0}):
        with pytest.raises(ConfigError):
            AnchorerOptions(**wrong)
