import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.ledger.outages import STEP_MS_MAX
from ambientd.model.genesis import Rules
from ambientd.model.task import TaskState
from tests.ledger.cluster import TestCluster, result

T0_MS = Rules().t0_ms


def time_left_ms(cluster: TestCluster, task: bytes) -> int:
    return cluster.task(task).deadline_ms - cluster.state.meta.running_ms


def slots_left_ms(cluster: TestCluster, task: bytes) -> list[int]:
    running_ms = cluster.state.meta.running_ms
    return [slot.deadline_ms - running_ms for slot in cluster.task(task).slots]


def test_a_minutes_outage_expires_nothing_though_block_time_catches_up_in_large_steps() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    slots = cluster.task(task).slots
    for _ in range(12):
        assert cluster.leap(after_ms=10_000) == []
    assert [slot.worker for slot in cluster.task(task).slots] == [slot.worker for slot in slots]


def test_a_step_that_shows_an_outage_takes_no_more_from_a_deadline_than_an_ordinary_block() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    left = time_left_ms(cluster, task)
    slots_left = [
        slot.deadline_ms - cluster.state.meta.running_ms for slot in cluster.task(task).slots
    ]
    cluster.leap(after_ms=3_600_000)
    assert time_left_ms(cluster, task) == left - T0_MS
    assert [
        slot.deadline_ms - cluster.state.meta.running_ms for slot in cluster.task(task).slots
    ] == [each - T0_MS for each in slots_left]
    assert cluster.restarted().tasks_by.late(cluster.state.meta.running_ms, 10**6) == []


@pytest.mark.parametrize(("step_ms", "counted_ms"), [(1, 1), (2_000, 2_000), (2_001, T0_MS)])
def test_ordinary_steps_count_in_full(step_ms: int, counted_ms: int) -> None:
    assert STEP_MS_MAX == 2_000
    cluster = TestCluster()
    task = cluster.admit()
    left = time_left_ms(cluster, task)
    cluster.leap(after_ms=step_ms)
    assert time_left_ms(cluster, task) == left - counted_ms


def test_what_was_due_is_still_due_after_an_outage() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block(after_ms=time_left_ms(cluster, task) - T0_MS)
    assert cluster.task(task).slots[0].attempt == 0
    cluster.leap(after_ms=3_600_000)
    assert cluster.task(task).slots[0].attempt == 1


def test_an_outage_leaves_sealed_answers_and_disputes_their_time() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    lie = {1: result(b"another answer")}
    cluster.block((0, cluster.commits(task, lie)))
    assert cluster.leap(after_ms=3_600_000) == []
    cluster.block((0, cluster.settle(task, lie)))
    assert cluster.leap(after_ms=3_600_000) == []
    assert cluster.task(task).state is TaskState.DISPUTED


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=12))
def test_an_outage_moves_deadlines_without_writing_any_task(steps: list[int]) -> None:
    cluster = TestCluster(rules=Rules(lease_ms=10**7))
    task = cluster.admit()
    entry, left = cluster.task(task), time_left_ms(cluster, task)
    for step_ms in steps:
        cluster.leap(after_ms=step_ms)
    used_ms = sum(step if step <= STEP_MS_MAX else T0_MS for step in steps)
    assert cluster.task(task) is entry
    assert time_left_ms(cluster, task) == left - used_ms
    assert cluster.state.first_deadline == cluster.time_ms + left - used_ms
