"""What a few whole nodes do together: tasks end, liars are named, the dead are replaced."""

import pytest

from ambientd.consensus.certificates import Committee
from ambientd.ledger.events import (
    BatchAnchored,
    CheckpointClosed,
    NodeConvicted,
    Paid,
    SlotReleased,
)
from ambientd.ledger.founders import first_epoch
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.effect import HearAnchor
from ambientd.model.record import Cancel
from ambientd.model.task import TaskState, Verdict
from ambientd.node.effect import PersistTelemetryEpoch, SendFrame
from ambientd.node.event import AnchorSigned, BodiesProposed, FrameReceived
from ambientd.roles.anchorer import QUIET_MS, AnchorerOptions, Overdue
from ambientd.runtime.persistence import recover
from sim.cluster import RULES
from sim.node_machine import Persisted
from sim.vices import Vice
from sim.world import EPOCH_MS
from tests.node.cluster import Cluster, PromptNotary


def _accepts(ledger: LedgerState, node: NodeId) -> bool:
    entry = ledger.node(node)
    return entry is not None and entry.accepting


def _is_convicted(ledger: LedgerState, node: NodeId) -> bool:
    entry = ledger.node(node)
    return entry is not None and entry.tombstoned


def test_an_admitted_task_ends_agreed_on_all_nodes() -> None:
    cluster = Cluster()
    entry = cluster.until_closed(cluster.submit())
    assert entry.settlement is not None
    assert entry.settlement.verdict is Verdict.AGREED
    assert len(entry.payments) == 2
    cluster.check_equal()
    assert len(cluster.told(Paid, 3)) == 2


def test_a_single_member_is_a_cluster() -> None:
    cluster = Cluster(members=1)
    entry = cluster.until_closed(cluster.submit(replicas=1))
    assert entry.state is TaskState.FINAL


def test_a_liar_is_named_and_tombstoned_everywhere() -> None:
    cluster = Cluster(vices={2: Vice.LIE})
    liar = NodeId(cluster.hosts[2].key)
    found = []
    for _ in range(8):
        entry = cluster.until_closed(cluster.submit(replicas=3))
        assert entry.settlement is not None
        found.append(entry.settlement)
        if entry.settlement.liars:
            break
    assert found[-1].verdict is Verdict.DIVERGENT
    assert found[-1].liars == (liar,)
    for host in cluster.up():
        node = host.ledger.node(liar)
        assert node is not None
        assert node.tombstoned
        assert node.bond_msat == 0
    entry = cluster.until_closed(cluster.submit(replicas=3))
    assert liar not in {slot.worker for slot in entry.slots}


def test_a_first_coordinator_that_comes_late_is_given_work_at_once() -> None:
    cluster = Cluster(boots=False)
    epoch = first_epoch(cluster.genesis)
    first = Committee(epoch.members, epoch.seed).coordinator(1)
    cluster.world.network.partition({first: 1})
    cluster.boot()
    cluster.run(100)
    cluster.world.network.heal()
    cluster.run(1_500)
    for host in cluster.up():
        assert all(_accepts(host.ledger, NodeId(each.key)) for each in cluster.up())


def test_a_worker_that_never_seals_is_replaced() -> None:
    cluster = Cluster(guests=1)
    cluster.join(0)
    task = cluster.submit(replicas=2)
    cluster.until(
        cluster.everywhere(lambda ledger: (entry := ledger.task(task)) and entry.slots[0].worker)
    )
    idle = cluster.entry(task).slots[0].worker
    cluster.hosts[cluster.index_of(idle)].answers = False
    cluster.hosts[cluster.index_of(idle)]._running.clear()
    entry = cluster.until_closed(task)
    assert entry.settlement is not None
    assert entry.settlement.verdict is Verdict.AGREED
    assert idle not in {slot.worker for slot in entry.slots}
    released = cluster.told(SlotReleased)
    assert [event.worker for event in released if isinstance(event, SlotReleased)] == [idle]


def test_a_coordinator_that_dies_is_replaced_and_the_task_ends() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    dead = cluster.coordinator()
    task = cluster.submit(by=(dead + 1) % 4, replicas=3)
    cluster.run(60)
    cluster.world.crash(cluster.hosts[dead].key)
    entry = cluster.until_closed(task)
    assert entry.state is TaskState.FINAL
    assert cluster.coordinator() != dead
    cluster.world.start(cluster.hosts[dead].key)
    cluster.until_closed(task)
    cluster.check_equal()


def test_a_restarted_worker_takes_up_its_slots() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    task = cluster.submit(by=cluster.coordinator(), replicas=3)
    cluster.until(cluster.everywhere(lambda ledger: ledger.task(task) is not None))
    coordinator = cluster.coordinator()
    workers = [cluster.index_of(slot.worker) for slot in cluster.entry(task).slots]
    worker = next(number for number in workers if number != coordinator)
    key = cluster.hosts[worker].key
    cluster.world.crash(key)
    cluster.world.start(key)
    assert len(cluster.hosts[worker]._running) == 1
    entry = cluster.until_closed(task)
    assert entry.settlement is not None
    assert entry.settlement.verdict is Verdict.AGREED
    assert not cluster.told(SlotReleased)
    assert NodeId(key) in {slot.worker for slot in entry.slots}


def test_a_restarted_referee_takes_up_its_disputes() -> None:
    cluster = Cluster(vices={2: Vice.LIE})
    referee = next(n for n in (0, 1, 3) if n != cluster.coordinator())
    while True:
        task = cluster.submit(by=referee, replicas=3)
        cluster.until(
            lambda task=task: (  # type: ignore[misc]
                (entry := cluster.ledger(referee).task(task)) is not None
                and entry.state in {TaskState.DISPUTED, TaskState.FINAL}
            )
        )
        if cluster.entry(task, referee).state is TaskState.DISPUTED:
            break
    key = cluster.hosts[referee].key
    cluster.world.crash(key)
    cluster.world.start(key)
    entry = cluster.until_closed(task)
    assert entry.settlement is not None
    assert entry.settlement.verdict is Verdict.DIVERGENT
    # With a liar among four, a quorum needs every honest referee.
    assert key in {verdict.referee for verdict in entry.verdicts}


def test_a_whole_cluster_that_loses_its_power_goes_on() -> None:
    cluster = Cluster()
    first = cluster.until_closed(cluster.submit())
    task = cluster.submit()
    cluster.run(60)
    for host in cluster.hosts:
        cluster.world.crash(host.key)
    cluster.run(500)
    for host in cluster.hosts:
        cluster.world.start(host.key)
    assert cluster.until_closed(task).state is TaskState.FINAL
    assert first in dict(cluster.ledger().tasks()).values()


def test_batches_are_closed_and_anchored() -> None:
    cluster = Cluster()
    cluster.until_closed(cluster.submit())
    cluster.until(cluster.everywhere(lambda ledger: ledger.anchored_size() == 1))
    assert len(cluster.told(CheckpointClosed, 1)) == 1
    [anchored] = cluster.told(BatchAnchored, 1)
    assert isinstance(anchored, BatchAnchored)
    closed = cluster.ledger().checkpoint(1)
    assert closed is not None
    assert closed.anchor == anchored.proof


@pytest.mark.parametrize("payer", range(4))
@pytest.mark.parametrize("is_off", [True, False], ids=["off", "unreachable"])
def test_whoever_has_a_chain_anchors_also_where_the_coordinator_has_none(
    payer: int, is_off: bool
) -> None:
    cluster = Cluster(anchors=lambda number: _turns(enabled=number == payer or not is_off))
    for number, host in enumerate(cluster.hosts):
        assert isinstance(host.notary, PromptNotary)
        host.notary.has_chain = number == payer
    cluster.until_closed(cluster.submit())
    leader = cluster.coordinator()
    cluster.until(cluster.everywhere(lambda ledger: ledger.anchored_size() == 1))
    assert cluster.coordinator() == leader, "its office is not lost over that"
    [_] = cluster.told(BatchAnchored, payer)


def test_every_node_names_the_coordinator_that_has_not_anchored_and_when_the_next_may() -> None:
    options = AnchorerOptions(enabled=False, turn_ms=600_000)
    cluster = Cluster(anchors=lambda _: options)
    cluster.until_closed(cluster.submit())
    cluster.until(cluster.everywhere(lambda ledger: ledger.checkpoint_size() == 1))
    assert not any(_overdue(cluster))
    cluster.run(QUIET_MS + 30_000)
    members = cluster.ledger().members
    leader = members.index(NodeId(cluster.hosts[cluster.coordinator()].key))
    for late in _overdue(cluster):
        assert late is not None
        assert late.turn == late.coordinator == members[leader]
        assert late.next_turn == members[(leader + 1) % 4]
        assert late.next_ms == late.since_ms + options.turn_ms


def _overdue(cluster: Cluster) -> list[Overdue | None]:
    now = EPOCH_MS + cluster.world.now
    return [host.node.overdue_anchor(now) for host in cluster.hosts if host.node is not None]


def _turns(*, enabled: bool) -> AnchorerOptions:
    return AnchorerOptions(enabled=enabled, turn_ms=1_000)


def test_what_one_member_has_sent_for_a_batch_is_heard_of_by_the_others() -> None:
    cluster = Cluster()
    cluster.until_closed(cluster.submit())
    cluster.until(cluster.everywhere(lambda ledger: ledger.checkpoint_size() == 1))
    first, second = (host.node for host in cluster.hosts[:2])
    assert first is not None
    assert second is not None
    now = EPOCH_MS + cluster.world.now
    root = first.ledger.receipt_log_root(1)
    shown = first.handle(AnchorSigned(1, root, b"raw"), now=now)
    frames = {effect.to: effect.frame for effect in shown if isinstance(effect, SendFrame)}
    assert frames.keys() == set(first.ledger.members) - {NodeId(cluster.hosts[0].key)}
    frame = frames[NodeId(cluster.hosts[1].key)]
    heard = second.handle(FrameReceived(NodeId(cluster.hosts[0].key), frame), now=now)
    assert HearAnchor(1, root, b"raw") in heard


def test_a_task_can_be_taken_back() -> None:
    cluster = Cluster()
    for host in cluster.hosts:
        host.answers = False
    task = cluster.submit(by=1)
    cluster.until(cluster.everywhere(lambda ledger: ledger.task(task) is not None))
    host = cluster.hosts[1]
    cluster.world.act(host.key, lambda now: host.feed([BodiesProposed((Cancel(task=task),))], now))
    assert cluster.until_closed(task).state is TaskState.CANCELLED


def test_a_newcomer_follows_the_log_and_is_given_work() -> None:
    cluster = Cluster(members=3, guests=1)
    cluster.until_closed(cluster.submit())
    cluster.join(0, by=1)
    guest = NodeId(cluster.hosts[3].key)
    for _ in range(20):
        entry = cluster.until_closed(cluster.submit(replicas=3))
        if guest in {slot.worker for slot in entry.slots}:
            break
    assert guest in {payment.node for payment in entry.payments}
    cluster.check_equal()
    # It comes back after a restart, too, although it never signed anything for the log.
    cluster.world.crash(guest)
    cluster.until_closed(cluster.submit())
    cluster.world.start(guest)
    cluster.until(lambda: cluster.ledger(3).applied_index >= cluster.ledger(0).applied_index - 3)
    cluster.check_equal()


def test_a_node_that_falls_silent_is_given_no_work() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    silent = (cluster.coordinator() + 1) % 4
    node = NodeId(cluster.hosts[silent].key)
    cluster.world.crash(node)

    cluster.until(cluster.everywhere(lambda ledger: not _accepts(ledger, node)))
    entry = cluster.until_closed(cluster.submit(by=cluster.coordinator(), replicas=3))
    assert node not in {slot.worker for slot in entry.slots}
    cluster.world.start(node)
    cluster.until(cluster.everywhere(lambda ledger: _accepts(ledger, node)))


def test_an_equivocating_coordinator_is_convicted_by_its_own_signatures() -> None:
    first = Cluster().coordinator()
    cluster = Cluster(vices={first: Vice.SPLIT})
    culprit = NodeId(cluster.hosts[first].key)
    cluster.until(cluster.everywhere(lambda ledger: _is_convicted(ledger, culprit)))
    assert len(cluster.told(NodeConvicted, (first + 1) % 4)) == 1
    assert cluster.until_closed(cluster.submit(by=(first + 1) % 4)).state is TaskState.FINAL


def test_telemetry_epochs_are_kept_across_restarts() -> None:
    cluster = Cluster(checked=False)
    kept: list[int] = []

    class Watcher:
        def saw_delivery(self, node: object, delivery: object, now: int) -> None:
            """Look away."""

        def saw_effect(self, node: object, effect: object, now: int) -> None:
            if node is cluster.hosts[0] and isinstance(effect, Persisted):
                kept.extend(e.epoch for e in effect.effects if isinstance(e, PersistTelemetryEpoch))

    cluster.world.observers.append(Watcher())
    for _ in range(2):
        cluster.world.crash(cluster.hosts[0].key)
        cluster.world.start(cluster.hosts[0].key)
        cluster.run(6_000)
    assert len(kept) == 2
    assert kept[0] < kept[1] == recover(cluster.hosts[0].store, cluster.genesis).telemetry_epoch


def test_what_a_host_cannot_do_at_first_is_done_later() -> None:
    cluster = Cluster()
    for host in cluster.hosts:
        host.aborts_permille = 1_000
    task = cluster.submit()
    cluster.run(1_000)
    for host in cluster.hosts:
        host.aborts_permille = 0
    assert RULES.lease_ms > 1_000
    assert cluster.until_closed(task).state is TaskState.FINAL
