"""Owners pause their nodes while tasks run: whole nodes in the simulator's world."""

import pytest

from ambientd.ledger.events import SlotReleased
from ambientd.ledger.offers import REASON
from ambientd.model.base import NodeId, TaskId
from ambientd.model.offer import NOTHING_SAID, Closed, Wish
from ambientd.model.task import SlotState, TaskState
from tests.node.cluster import Cluster

PAUSED = Wish(closed=Closed.PAUSED)
STOPPED = Wish(closed=Closed.PAUSED, stops=True)
PAUSER = 2


def heed(cluster: Cluster, wish: Wish, number: int = PAUSER) -> None:
    host = cluster.hosts[number]
    cluster.world.act(host.key, lambda now: host.heed(wish, now))


def is_closed(cluster: Cluster, number: int = PAUSER) -> bool:
    entry = cluster.ledger().node(NodeId(cluster.hosts[number].key))
    assert entry is not None
    return entry.closed > 0


def workers(cluster: Cluster, task: TaskId) -> set[NodeId]:
    return {slot.worker for slot in cluster.entry(task).slots}


def task_in_hand(cluster: Cluster, number: int = PAUSER) -> TaskId:
    """Give a task of which a node has a slot that it has not sealed."""
    worker = NodeId(cluster.hosts[number].key)
    cluster.hosts[number].answers = False
    while True:
        task = cluster.submit()
        cluster.until(lambda task=task: cluster.ledger().task(task) is not None)
        if worker in workers(cluster, task):
            return task


def test_a_paused_node_gets_nothing_and_works_again_when_it_is_resumed() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    heed(cluster, PAUSED)
    cluster.until(lambda: is_closed(cluster), within_ms=1_000)
    paused = NodeId(cluster.hosts[PAUSER].key)
    for _ in range(6):
        closed = cluster.submit()
        cluster.until_closed(closed)
        assert paused not in workers(cluster, closed)
    waiting = cluster.submit(replicas=4)
    cluster.run(3_000)
    assert cluster.entry(waiting).state is TaskState.PENDING
    heed(cluster, NOTHING_SAID)
    cluster.until(lambda: cluster.entry(waiting).state is TaskState.FINAL, within_ms=5_000)
    cluster.check_equal()


def test_a_node_that_drains_ends_what_it_has() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    host, worker = cluster.hosts[PAUSER], NodeId(cluster.hosts[PAUSER].key)
    task = None
    while task is None or worker not in workers(cluster, task):
        task = cluster.submit()
        cluster.until(lambda task=task: cluster.ledger().task(task) is not None)
    heed(cluster, PAUSED)
    assert cluster.until_closed(task).state is TaskState.FINAL
    assert worker in workers(cluster, task)
    assert not [each for each in cluster.told(SlotReleased) if each.task == task]
    assert host.node is not None
    assert host.node.ledger.reputation_permille(worker) >= 0


def test_a_node_that_stops_hands_its_slots_back_at_once() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    worker = NodeId(cluster.hosts[PAUSER].key)
    task = task_in_hand(cluster)
    heed(cluster, STOPPED)
    cluster.until(lambda: worker not in workers(cluster, task), within_ms=1_000)
    assert cluster.until_closed(task).state is TaskState.FINAL
    [released] = [each for each in cluster.told(SlotReleased) if each.task == task]
    assert isinstance(released, SlotReleased)
    assert (released.worker, released.reason) == (worker, REASON)


@pytest.mark.parametrize("wish", [PAUSED, STOPPED])
def test_a_pause_outlives_a_crash_and_slots_from_before_it_come_back(wish: Wish) -> None:
    cluster = Cluster()
    cluster.run(1_000)
    host, worker = cluster.hosts[PAUSER], NodeId(cluster.hosts[PAUSER].key)
    task = task_in_hand(cluster)
    cluster.world.crash(host.key)
    host.owner_wish = wish
    cluster.world.start(host.key)
    cluster.until(lambda: is_closed(cluster) and worker not in workers(cluster, task))
    assert cluster.until_closed(task).state is TaskState.FINAL


def test_a_wish_that_is_taken_back_at_once_loses_no_slot_for_good() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    task = task_in_hand(cluster)
    cluster.hosts[PAUSER].answers = True
    heed(cluster, STOPPED)
    heed(cluster, NOTHING_SAID)
    assert cluster.until_closed(task).state is TaskState.FINAL
    cluster.until(lambda: not is_closed(cluster))
    assert all(slot.state is SlotState.REVEALED for slot in cluster.entry(task).slots)


def test_refused_classes_change_while_the_mesh_runs() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    node = NodeId(cluster.hosts[PAUSER].key)
    heed(cluster, Wish(refuses=("general",)))

    def refuses() -> tuple[str, ...]:
        entry = cluster.ledger().node(node)
        assert entry is not None
        return entry.profile.refuses

    cluster.until(lambda: refuses() == ("general",))
    task = cluster.submit(replicas=3)
    cluster.until_closed(task)
    assert node not in workers(cluster, task)
    heed(cluster, Wish(refuses=()))
    cluster.until(lambda: refuses() == ())


def test_a_smaller_capacity_reaches_the_ledger() -> None:
    cluster = Cluster()
    cluster.run(6_000)
    node = NodeId(cluster.hosts[PAUSER].key)
    heed(cluster, Wish(capacity=1))

    def capacity() -> int:
        entry = cluster.ledger().node(node)
        assert entry is not None
        return entry.capacity

    cluster.until(lambda: capacity() == 1)
    heed(cluster, NOTHING_SAID)
    cluster.until(lambda: capacity() == 4)
