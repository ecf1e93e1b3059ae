"""Whole nodes play few blocks while what is open waits for a worker or a deadline."""

from msgspec.structs import replace

from ambientd.model.base import NodeId
from ambientd.model.task import SlotState, TaskState
from sim.cluster import RULES
from sim.vices import Vice
from tests.node.cluster import Cluster

LEASE_MS = 30_000


def blocks_in(cluster: Cluster, time_ms: int) -> int:
    before = cluster.ledger().applied_index
    cluster.run(time_ms)
    return cluster.ledger().applied_index - before


def test_a_task_that_nobody_can_take_lets_the_log_rest_until_a_worker_comes() -> None:
    cluster = Cluster()
    cluster.run(1_000)
    lost = cluster.hosts[3]
    cluster.world.crash(lost.key)
    cluster.until(lambda: not cluster.ledger().node(NodeId(lost.key)).is_fit)
    task = cluster.submit(replicas=4)
    cluster.run(10_000)
    entry = cluster.entry(task)
    assert entry.state is TaskState.PENDING
    assert [slot.state for slot in entry.slots].count(SlotState.COMMITTED) == 3
    assert blocks_in(cluster, 60_000) < 25
    cluster.world.start(lost.key)
    cluster.until(lambda: cluster.entry(task).state is TaskState.FINAL, within_ms=12_000)


def test_a_lease_ends_in_time_though_the_log_rests_meanwhile() -> None:
    idle = 2
    cluster = Cluster(vices={idle: Vice.IDLE}, rules=replace(RULES, lease_ms=LEASE_MS))
    cluster.run(1_000)
    lazy = NodeId(cluster.hosts[idle].key)
    task = cluster.submit(replicas=1)
    cluster.run(2_000)
    while (slot := cluster.entry(task).slots[0]).worker != lazy:
        task = cluster.submit(replicas=1)
        cluster.run(2_000)
    left_ms = slot.deadline_ms - cluster.ledger().meta.time_ms
    assert left_ms > LEASE_MS - 5_000
    assert blocks_in(cluster, left_ms - 2_000) < 100  # awake, it would be 270
    assert cluster.entry(task).slots[0].attempt == 0
    cluster.run(4_000)
    assert cluster.entry(task).slots[0].attempt == 1 or cluster.entry(task).state is TaskState.FINAL
