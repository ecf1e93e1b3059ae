"""Real daemons that are killed in the middle of tasks: nothing accepted is lost or paid twice."""

import pytest

from ambientd.api.operations import RECEIPT_GET, TASK_LIST, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import GetReceipt, ListTasks, SubmitTask, WaitForTask
from ambientd.rules.receipt_check import check_receipt_file
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.modules import rounds, spin

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

ROUNDS = 400_000_000


def submit(daemon: Daemon, count: int = ROUNDS, **terms: int) -> str:
    request = SubmitTask(module=spin(), input=rounds(count), wall_ms_max=20_000, **terms)
    return daemon.ask(TASK_SUBMIT, request).task_id


def finish(daemon: Daemon, task: str) -> None:
    done = daemon.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=90_000))
    assert (done.state, done.outcome, done.verdict) == ("final", "completed", "agreed")
    assert len({slot.worker for slot in done.slots}) == 2
    assert len(done.payments) == 2
    assert done.paid_msat + done.refunded_msat == done.fee_msat * 3 // 2


def test_a_task_outlives_its_coordinator_and_one_of_its_workers(mesh: Cluster) -> None:
    first = mesh.daemons[0].status()
    assert first is not None
    coordinator = mesh.by_id(first.coordinator)
    submitter = next(d for d in mesh.daemons if d is not coordinator)
    tasks = [submit(submitter) for _ in range(2)]

    coordinator.kill()
    survivors = [d for d in mesh.daemons if d is not coordinator]

    def elected_again() -> bool:
        found = [daemon.status() for daemon in survivors]
        return all(s is not None and s.coordinator != first.coordinator for s in found)

    mesh.until(elected_again, "another member coordinates")
    for task in tasks:
        finish(submitter, task)

    coordinator.start()
    height = submitter.status().committed_height
    mesh.until(
        lambda: (s := coordinator.status()) is not None and s.committed_height >= height,
        "the killed coordinator has caught up from its disk and its peers",
    )

    slow = submit(submitter)
    worker = mesh.until(
        lambda: next(
            (
                mesh.by_id(slot.worker)
                for slot in submitter.task(slow).slots
                if slot.state == "assigned" and mesh.by_id(slot.worker) is not submitter
            ),
            None,
        ),
        "a worker has the task",
    )
    worker.kill()
    finish(submitter, slow)
    worker.start()
    mesh.until(lambda: worker.status() is not None, "the killed worker is back")

    for daemon in mesh.daemons:
        mesh.until(
            lambda d=daemon: all(d.task(task).state == "final" for task in [*tasks, slow]),
            f"{daemon.data_dir.name} knows how all tasks ended",
        )
        ended = daemon.ask(TASK_LIST, ListTasks()).tasks
        assert sorted(t.task_id for t in ended) == sorted([*tasks, slow])
    leaves = set()
    for task in [*tasks, slow]:
        file = submitter.ask(RECEIPT_GET, GetReceipt(task=task)).data
        report = check_receipt_file(file)
        assert report.valid, report.checks
        leaves.add(report.file.leaf_index)
    assert leaves == {0, 1, 2}
