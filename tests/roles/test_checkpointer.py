"""A batch is closed under a head that a quorum has compared with its own and cosigned."""

from msgspec.structs import replace

from ambientd.ledger.events import CheckpointClosed
from ambientd.model.base import Digest
from ambientd.model.effect import BroadcastJob, Propose, SendJob
from ambientd.model.message import CommitSent, CosignatureSent, CosignRequested
from ambientd.model.record import Checkpoint, Epoch
from ambientd.roles.checkpointer import ASK_AGAIN_MS, Checkpointer
from tests.ledger.cluster import START_MS, TestCluster

NOW = START_MS + 10_000
BATCH_MS = 2_000


def settled(members: int = 4) -> TestCluster:
    cluster = TestCluster(members)
    cluster.work(cluster.admit(replicas=2) if members > 1 else cluster.admit())
    return cluster


def role(cluster: TestCluster, number: int) -> Checkpointer:
    return Checkpointer(cluster.signer(number), BATCH_MS)


def asked(cluster: TestCluster, asking: Checkpointer) -> CosignRequested:
    """Let a coordinator ask; give its question."""
    assert asking.on_tick(cluster.state, NOW, leads=True) == []
    [effect] = asking.on_tick(cluster.state, NOW + BATCH_MS, leads=True)
    assert isinstance(effect, BroadcastJob)
    assert isinstance(effect.message, CosignRequested)
    return effect.message


def answer(cluster: TestCluster, number: int, request: CosignRequested) -> CosignatureSent:
    """Give a member's answer to the coordinator, which is node 0."""
    [effect] = role(cluster, number).on_message(cluster.node(0), request, cluster.state)
    assert isinstance(effect, SendJob)
    assert effect.to == cluster.node(0)
    assert isinstance(effect.message, CosignatureSent)
    return effect.message


def test_a_quorum_of_cosignatures_closes_a_batch() -> None:
    cluster = settled()
    coordinator = role(cluster, 0)
    request = asked(cluster, coordinator)
    assert request.size == 1
    first = answer(cluster, 1, request)
    assert coordinator.on_message(cluster.node(1), first, cluster.state) == []
    second = answer(cluster, 2, request)
    [proposed] = coordinator.on_message(cluster.node(2), second, cluster.state)
    assert isinstance(proposed, Propose)
    assert isinstance(proposed.body, Checkpoint)
    events = cluster.block((0, proposed.body))
    assert events == [CheckpointClosed(1, request.root)]
    late = answer(cluster, 3, request)
    assert coordinator.on_message(cluster.node(3), late, cluster.state) == []
    assert coordinator.on_tick(cluster.state, NOW + 9 * BATCH_MS, leads=True) == []


def test_notes_come_once_a_period_however_many_receipts_do() -> None:
    cluster = settled()
    coordinator, closed_ms = role(cluster, 0), []
    for step in range(60):
        now = NOW + step * 100
        for effect in coordinator.on_tick(cluster.state, now, leads=True):
            assert isinstance(effect, BroadcastJob)
            assert isinstance(effect.message, CosignRequested)
            for number in (1, 2):
                sent = answer(cluster, number, effect.message)
                for done in coordinator.on_message(cluster.node(number), sent, cluster.state):
                    assert isinstance(done, Propose)
                    cluster.block((0, done.body))
                    closed_ms.append(now)
        cluster.work(cluster.admit(nonce=b"%d" % step, replicas=2))
    assert len(closed_ms) == 2
    assert closed_ms[1] - closed_ms[0] >= BATCH_MS


def test_only_a_coordinator_with_open_receipts_asks() -> None:
    cluster = settled()
    follower = role(cluster, 1)
    for now in (NOW, NOW + BATCH_MS, NOW + 2 * BATCH_MS):
        assert follower.on_tick(cluster.state, now, leads=False) == []
    empty = TestCluster()
    assert role(empty, 0).on_tick(empty.state, NOW, leads=True) == []


def test_an_unanswered_question_is_asked_again() -> None:
    cluster = settled()
    coordinator = role(cluster, 0)
    asked(cluster, coordinator)
    later = NOW + BATCH_MS + ASK_AGAIN_MS
    assert coordinator.on_tick(cluster.state, later - 1, leads=True) == []
    assert len(coordinator.on_tick(cluster.state, later, leads=True)) == 1


def test_a_head_that_is_not_ones_own_is_not_cosigned() -> None:
    cluster = settled()
    member = role(cluster, 1)
    head = cluster.state.receipt_log_root(1)
    for size, root in ((1, Digest(bytes(32))), (2, head)):
        request = CosignRequested(size=size, root=root)
        assert member.on_message(cluster.node(0), request, cluster.state) == []


def test_outsiders_neither_ask_nor_cosign() -> None:
    cluster = settled()
    request = CosignRequested(size=1, root=cluster.state.receipt_log_root(1))
    assert role(cluster, 1).on_message(cluster.node(9), request, cluster.state) == []
    assert role(cluster, 9).on_message(cluster.node(0), request, cluster.state) == []


def test_cosignatures_that_do_not_hold_do_not_count() -> None:
    cluster = settled()
    coordinator = role(cluster, 0)
    request = asked(cluster, coordinator)
    good = answer(cluster, 1, request)
    forged = replace(good, cosignature=replace(good.cosignature, signature=bytes(64)))
    for sender, message in ((1, forged), (2, good), (1, replace(good, size=7))):
        assert coordinator.on_message(cluster.node(sender), message, cluster.state) == []
    second = answer(cluster, 2, request)
    assert coordinator.on_message(cluster.node(2), second, cluster.state) == []


def test_other_messages_are_left_to_other_roles() -> None:
    cluster = settled()
    task = cluster.admit(nonce=b"more")
    sent = CommitSent(commit=cluster.commits(task).commits[0])
    assert role(cluster, 1).on_message(cluster.node(0), sent, cluster.state) == []


def test_no_size_that_a_peer_can_name_raises() -> None:
    cluster = settled()
    for size in (-(2**62), -1, 0, 2, 2**62):
        request = CosignRequested(size=size, root=Digest(bytes(32)))
        assert role(cluster, 1).on_message(cluster.node(0), request, cluster.state) == []


def test_only_members_of_the_present_committee_are_counted() -> None:
    cluster = settled()
    coordinator = role(cluster, 0)
    request = asked(cluster, coordinator)
    first, second = answer(cluster, 3, request), answer(cluster, 2, request)
    assert coordinator.on_message(cluster.node(3), first, cluster.state) == []
    members = tuple(sorted(cluster.node(n) for n in range(3)))
    body = Epoch(number=2, members=members, seed=Digest(bytes(32)), beacon_tips=(bytes(32),) * 3)
    cluster.block((0, body))
    [proposed] = coordinator.on_message(cluster.node(2), second, cluster.state)
    assert isinstance(proposed, Propose)
    assert isinstance(proposed.body, Checkpoint)
    signers = {each.member for each in proposed.body.note.cosignatures}
    assert signers == {cluster.node(0), cluster.node(2)}
    assert cluster.block((0, proposed.body)) == [CheckpointClosed(1, request.root)]
    closed = cluster.state.checkpoint(1)
    assert closed is not None
    assert closed.epoch == 2
