"""A member that is cut off keeps what it is asked for, does nothing paid, and loses nothing."""

from dataclasses import replace

from ambientd.codec.statements import task_id
from ambientd.consensus.forwarding import RELAYED_MS_MAX
from ambientd.ledger.events import RecordRejected, TaskAdmitted
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import Admit
from ambientd.model.task import Assurance, TaskState
from ambientd.node.event import TaskTakenBack
from ambientd.runtime.persistence import keeps_asked
from sim.choices import task_spec
from sim.node_machine import NodeHost
from sim.world import EPOCH_MS
from tests.node.cluster import Cluster

CUT_MS = 5_000


def on_an_island() -> tuple[Cluster, NodeHost]:
    cluster = Cluster()
    cluster.run(1_000)
    host = cluster.hosts[cluster.coordinator()]
    cluster.world.network.partition({host.key: 1})
    return cluster, host


def with_no_quorum_anywhere() -> tuple[Cluster, NodeHost]:
    """Two of four are away, each alone; the host leads the other two."""
    cluster = Cluster()
    cluster.run(1_000)
    host = cluster.hosts[cluster.coordinator()]
    first, second, _ = (each for each in cluster.hosts if each is not host)
    cluster.world.network.partition({first.key: 1, second.key: 2})
    cluster.run(1_000)
    return cluster, host


def ask(cluster: Cluster, host: NodeHost, nonce: bytes, lasts_ms: int = 600_000) -> TaskId:
    """Ask once, as a person does who then goes away."""
    until_ms = EPOCH_MS + cluster.world.now + lasts_ms
    admit = Admit(nonce=nonce, spec=task_spec(1, Assurance.REPLICATED, 2), until_ms=until_ms)
    cluster.say(cluster.hosts.index(host), admit)
    return task_id(NodeId(host.key), nonce, admit.spec)


def admissions(cluster: Cluster, number: int, task: TaskId) -> int:
    told = cluster.told(TaskAdmitted, number)
    return sum(event.task == task for event in told if isinstance(event, TaskAdmitted))


def test_what_an_island_was_asked_for_outlives_its_kill_and_is_done_and_paid_once() -> None:
    cluster, host = on_an_island()
    height = host.ledger.applied_index
    task = ask(cluster, host, b"asked on the island")
    cluster.run(CUT_MS)
    assert keeps_asked(host.store, task)
    cluster.world.crash(host.key)
    cluster.world.start(host.key)
    cluster.run(CUT_MS)
    assert host.ledger.applied_index == height  # no block, no slot, nothing paid
    assert host.ledger.task(task) is None
    cluster.world.network.heal()
    entry = cluster.until_closed(task)
    assert entry.state is TaskState.FINAL
    paid = [payment.node for payment in entry.payments]
    assert len(paid) == len(set(paid)) == entry.spec.replicas
    assert {admissions(cluster, number, task) for number in range(4)} == {1}
    cluster.until(lambda: not keeps_asked(host.store, task))
    cluster.check_equal()


def test_what_was_asked_for_and_admitted_elsewhere_meanwhile_is_not_admitted_again() -> None:
    cluster, host = on_an_island()
    cluster.world.network.heal()
    task = ask(cluster, host, b"seen by others")
    cluster.run(40)  # it is on its way
    cluster.world.network.partition({host.key: 1})
    cluster.run(CUT_MS)
    others = [number for number, each in enumerate(cluster.hosts) if each is not host]
    assert all(cluster.ledger(number).task(task) is not None for number in others)
    cluster.world.crash(host.key)
    cluster.world.start(host.key)
    cluster.world.network.heal()
    assert cluster.until_closed(task).state is TaskState.FINAL
    cluster.run(CUT_MS)
    assert {admissions(cluster, number, task) for number in others} == {1}
    assert not keeps_asked(host.store, task)


def test_what_waited_too_long_is_not_in_the_log_later() -> None:
    cluster, host = on_an_island()
    task = ask(cluster, host, b"for a moment", lasts_ms=CUT_MS)
    cluster.run(CUT_MS // 2)
    assert keeps_asked(host.store, task)
    cluster.run(3 * CUT_MS)
    assert not keeps_asked(host.store, task)
    cluster.world.network.heal()
    cluster.run(CUT_MS)
    assert all(each.ledger.task(task) is None for each in cluster.hosts)


def test_what_waited_too_long_is_never_paid_though_no_block_was_made_meanwhile() -> None:
    """Seen: block time stood still, and the words were still in the pool when all was joined."""
    cluster, host = with_no_quorum_anywhere()
    task = ask(cluster, host, b"given up", lasts_ms=4 * CUT_MS)
    cluster.run(CUT_MS)
    assert keeps_asked(host.store, task)
    cluster.run(4 * CUT_MS + RELAYED_MS_MAX)  # who has had it from the host has let go, too
    assert EPOCH_MS + cluster.world.now > host.ledger.meta.time_ms + 4 * CUT_MS
    cluster.world.network.heal()
    cluster.run(4 * CUT_MS)
    assert all(each.ledger.task(task) is None for each in cluster.hosts)
    assert cluster.told(RecordRejected, cluster.hosts.index(host)) == []  # its nonce is free


def test_what_its_owner_takes_back_on_an_island_is_not_in_the_log_later() -> None:
    cluster, host = on_an_island()
    task = ask(cluster, host, b"taken back")
    cluster.run(CUT_MS)
    cluster.world.act(host.key, lambda now: host.feed([TaskTakenBack(task)], now))
    assert not keeps_asked(host.store, task)
    assert ask(cluster, host, b"taken back") == task  # by who did not hear of it
    cluster.run(CUT_MS)
    assert not keeps_asked(host.store, task)
    cluster.world.network.heal()
    cluster.run(CUT_MS)
    assert all(each.ledger.task(task) is None for each in cluster.hosts)


def test_what_is_taken_back_and_brought_in_by_others_is_cancelled() -> None:
    cluster, lead = with_no_quorum_anywhere()
    away = cluster.world.network.groups
    host = next(each for each in cluster.hosts if each is not lead and each.key not in away)
    task = ask(cluster, host, b"taken back too late")
    cluster.run(CUT_MS)
    cluster.world.act(host.key, lambda now: host.feed([TaskTakenBack(task)], now))
    cluster.world.network.heal()
    assert cluster.until_closed(task).state is TaskState.CANCELLED
    assert not keeps_asked(host.store, task)


def test_what_the_pool_has_no_room_for_is_proposed_when_it_has() -> None:
    """Seen: the row stayed and the answer said that it waits, and nobody proposed it."""
    cluster, host = on_an_island()
    for number in range(2):
        ask(cluster, host, b"before %d" % number, lasts_ms=2 * CUT_MS)
    cluster.run(CUT_MS)
    log = host.log.current
    full = replace(log.options, pending_records_max=log.pending_records)
    log._pool._options = full  # what 16,384 records would do
    task = ask(cluster, host, b"one too many")
    cluster.run(CUT_MS)
    assert keeps_asked(host.store, task)
    assert log.pending_records == full.pending_records_max
    cluster.run(CUT_MS)  # those before it are over
    cluster.world.network.heal()
    assert cluster.until_closed(task).state is TaskState.FINAL
