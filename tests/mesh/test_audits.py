"""A node that lies when it works alone is audited by real daemons, and its answer revoked."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import RECEIPT_GET, TASK_SHOW, TASK_SUBMIT, TASK_WAIT
from ambientd.api.replies import Task
from ambientd.api.requests import GetReceipt, ShowTask, SubmitTask, WaitForTask
from ambientd.model.genesis import Rules
from ambientd.rules.receipt_check import check_receipt_file
from tests.mesh.cluster import Cluster, Daemon
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

TASKS, TASKS_MAX = 20, 200
ENDED = {"audited", "revoked"}


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    rules = Rules(batch_ms=100, audit_window_ms=8_000, audit_permille=1000)
    cluster = Cluster(tmp_path / "mesh", 4, ClusterPlan(bitcoin="off", rules=rules, liars=1))
    try:
        cluster.start()
        yield cluster
        cluster.check_alive()
    finally:
        cluster.stop()


def alone(node: Daemon, data: bytes) -> str:
    request = SubmitTask(module=module("echo"), input=data, gas_max=5_000_000, assurance="none")
    task = node.ask(TASK_SUBMIT, request).task_id
    done: Task = node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))
    assert done.state == "final"
    return done.task_id


def test_every_lie_of_a_lone_worker_is_revoked_and_nobody_elses_answer(mesh: Cluster) -> None:
    node = mesh.daemons[0]
    tasks = [alone(node, b"%d" % number) for number in range(TASKS)]

    def shown() -> list[Task]:
        return [node.ask(TASK_SHOW, ShowTask(task=task)) for task in tasks]

    def liars() -> set[str]:
        mesh.until(lambda: all(each.standing in ENDED for each in shown()), "all is audited")
        return {each.slots[0].worker for each in shown() if each.standing == "revoked"}

    while not liars() and len(tasks) < TASKS_MAX:  # chance gives it a task sooner or later
        tasks += [alone(node, b"%d" % (len(tasks) + number)) for number in range(TASKS)]
    assert len(liars()) == 1, "one node lies"
    for task in shown():
        reply = node.ask(RECEIPT_GET, GetReceipt(task=task.task_id))
        report = check_receipt_file(reply.data)
        assert report.valid == (task.standing == "audited")
    show = [sys.executable, "-m", "ambientd.cli.main", "--data-dir", str(node.data_dir)]
    task = next(each.task_id for each in shown() if each.standing == "revoked")
    text = subprocess.run([*show, "task", "show", task], capture_output=True, text=True).stdout
    assert "revoked" in text
    assert "the answer of" in text
