"""What keeps the log awake: a block that changes a task without any record."""

from ambientd.ledger.awaiting import LOOKED_AT_MAX, awaited_ms
from ambientd.model.record import NodeReport
from ambientd.model.task import Assurance, TaskState
from tests.ledger.cluster import TestCluster


def away(cluster: TestCluster, *numbers: int) -> tuple[NodeReport, ...]:
    return tuple(NodeReport(node=cluster.node(n), accepting=False) for n in numbers)


def test_a_ledger_without_tasks_waits_for_nothing() -> None:
    cluster = TestCluster()
    assert awaited_ms(cluster.state) is None
    cluster.work(cluster.admit())
    assert awaited_ms(cluster.state) is None


def test_a_task_under_way_waits_for_its_first_deadline() -> None:
    cluster = TestCluster()
    late = cluster.admit(wall_ms_max=9_000, gas_max=10**9)
    early = cluster.admit(nonce=b"m")
    assert awaited_ms(cluster.state) == cluster.task(early).deadline_ms
    assert cluster.task(early).deadline_ms < cluster.task(late).deadline_ms


def test_a_task_that_nobody_can_take_waits_for_a_record_and_for_no_time() -> None:
    cluster = TestCluster()
    cluster.report(*away(cluster, 0, 1, 2, 3))
    task = cluster.admit()
    assert cluster.task(task).state is TaskState.PENDING
    assert awaited_ms(cluster.state) is None
    cluster.report(NodeReport(node=cluster.node(2), accepting=True))
    assert awaited_ms(cluster.state) == 0
    cluster.block()
    assert awaited_ms(cluster.state) == cluster.task(task).deadline_ms


def test_a_slot_that_only_the_holder_of_another_could_take_waits_for_a_record() -> None:
    cluster = TestCluster()
    cluster.report(*away(cluster, 0, 1, 2))
    task = cluster.admit()
    assert cluster.task(task).state is TaskState.PENDING
    assert awaited_ms(cluster.state) == cluster.task(task).deadline_ms


def test_a_task_that_waits_behind_full_queues_waits_for_those_at_work() -> None:
    cluster = TestCluster(members=2)
    for number in range(10):
        cluster.admit(nonce=b"%d" % number, assurance=Assurance.NONE, replicas=1)
    assert cluster.state.tasks_by.waiting_part(0, 10**6)
    assert awaited_ms(cluster.state) == cluster.state.first_deadline


def test_of_many_tasks_that_wait_not_all_are_looked_at() -> None:
    cluster = TestCluster()
    for number in range(100):
        cluster.admit(nonce=b"%d" % number, assurance=Assurance.NONE, replicas=1)
        few = len(cluster.state.tasks_by.waiting_part(0, 10**6)) <= LOOKED_AT_MAX
        due_ms = cluster.state.first_deadline
        assert awaited_ms(cluster.state) == (due_ms if few else 0), "the submitter alone has room"
    assert not few
