"""The newest closed batch is anchored in time, one at a time, and its proof insisted on."""

from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from ambientd.errors import ConfigError
from ambientd.ledger.events import BatchAnchored
from ambientd.model.base import NodeId
from ambientd.model.effect import AnchorRoot, BroadcastJob, HearAnchor, Propose, RoleEffect
from ambientd.model.message import AnchorShown
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Anchor
from ambientd.roles.anchorer import PROPOSE_AGAIN_MS, Anchorer, AnchorerOptions
from tests.ledger.bitcoin import TIME_S, anchor_proof
from tests.ledger.cluster import START_MS, TestCluster

NOW = START_MS + 10_000
DAILY = AnchorerOptions(period_ms=3_600_000, receipts_max=3)


def closed(batches: int = 1, cluster: TestCluster | None = None) -> TestCluster:
    cluster = cluster or TestCluster()
    for _ in range(batches):
        cluster.work(cluster.admit(nonce=b"%d" % cluster.state.receipt_log_size()))
        cluster.close_batch()
    return cluster


def asked(cluster: TestCluster, now: int = NOW, options: AnchorerOptions = DAILY) -> bool:
    anchorer = Anchorer(options)
    deadline_ms = anchorer.next_deadline(cluster.state, leads=True)
    effects = anchorer.on_tick(cluster.state, now, leads=True)
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
    anchorer = Anchorer(AnchorerOptions())
    root = cluster.state.receipt_log_root(2)
    assert anchorer.on_tick(cluster.state, NOW, leads=True) == [AnchorRoot(size=2, root=root)]
    closed(1, cluster)
    assert anchorer.on_tick(cluster.state, NOW, leads=True) == []


@pytest.mark.parametrize(("enabled", "leads"), [(False, True), (True, False)])
def test_only_a_coordinator_that_may_anchors(enabled: bool, leads: bool) -> None:
    anchorer = Anchorer(AnchorerOptions(enabled=enabled))
    assert anchorer.on_tick(closed().state, NOW, leads=leads) == []


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
    anchorer = Anchorer(AnchorerOptions())
    root = cluster.state.receipt_log_root(1)
    anchorer.on_tick(cluster.state, NOW, leads=True)
    proof = anchor_proof(root)
    [proposed] = prove(anchorer, cluster, proof)
    assert isinstance(proposed, Propose)
    # It insists as a follower too: it alone has the proof.
    assert anchorer.next_deadline(cluster.state, leads=False) == NOW + PROPOSE_AGAIN_MS
    assert anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS - 1, leads=False) == []
    assert anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS, leads=False) == [proposed]
    events = cluster.block((0, proposed.body))
    assert events == [BatchAnchored(1, root, proof)]
    assert anchorer.next_deadline(cluster.state, leads=False) == 0
    assert anchorer.on_tick(cluster.state, NOW + 2 * PROPOSE_AGAIN_MS, leads=True) == []
    assert anchorer.next_deadline(cluster.state, leads=False) is None
    closed(1, cluster)
    [next_one] = anchorer.on_tick(cluster.state, NOW + 3 * PROPOSE_AGAIN_MS, leads=True)
    assert next_one == AnchorRoot(size=2, root=cluster.state.receipt_log_root(2))


def test_a_proof_from_another_block_under_more_work_is_proposed_and_no_other_one() -> None:
    cluster = anchored(closed(), 1)
    root = cluster.state.receipt_log_root(1)
    anchorer = Anchorer(AnchorerOptions())
    elsewhere = anchor_proof(root, 8, previous=b"\x01" * 32)
    assert prove(anchorer, cluster, anchor_proof(root)) == []
    assert prove(anchorer, cluster, anchor_proof(root, 9)) == [], "the same block"
    assert prove(anchorer, cluster, anchor_proof(root, 7, previous=b"\x01" * 32)) == []
    [proposed] = prove(anchorer, cluster, elsewhere)
    assert isinstance(proposed, Propose)
    assert cluster.block((0, proposed.body)) == [BatchAnchored(1, root, elsewhere)]
    assert anchorer.on_tick(cluster.state, NOW + PROPOSE_AGAIN_MS, leads=False) == []


def test_what_was_signed_is_shown_to_the_members_and_heard_of_while_a_batch_has_no_anchor() -> None:
    cluster = closed()
    root = cluster.state.receipt_log_root(1)
    [told] = Anchorer(DAILY).on_signed(1, root, b"raw")
    shown = AnchorShown(size=1, root=root, raw_tx=b"raw")
    assert told == BroadcastJob(shown)
    other, stranger = cluster.state.members[1], NodeId(b"\x09" * 32)
    anchorer = Anchorer(DAILY)
    assert anchorer.on_message(other, shown, cluster.state) == [HearAnchor(root, b"raw")]
    assert anchorer.on_message(stranger, shown, cluster.state) == []
    for wrong in (changed(shown, size=2), changed(shown, root=bytes(32))):
        assert anchorer.on_message(other, wrong, cluster.state) == []
    off = Anchorer(AnchorerOptions(enabled=False))
    assert off.on_message(other, shown, cluster.state) == []
    anchored(cluster, 1)
    assert anchorer.on_message(other, shown, cluster.state) == []


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong in ({"period_ms": -1}, {"receipts_max": 0}):
        with pytest.raises(ConfigError):
            AnchorerOptions(**wrong)
