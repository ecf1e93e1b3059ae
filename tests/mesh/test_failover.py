"""Real daemons that are killed at each state of a task: nothing accepted is lost or paid twice."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import RECEIPT_GET, TASK_LIST, TASK_SUBMIT, TASK_WAIT
from ambientd.api.replies import EventKind, Task
from ambientd.api.requests import GetReceipt, ListTasks, SubmitTask, WaitForTask
from ambientd.rules.receipt_check import check_receipt_file
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.modules import rounds, spin
from tests.mesh.watching import Watch

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

ROUNDS = 400_000_000
STRETCH_GAS = 300_000_000
BUSY_S = 0.2
"""Processor time by which a worker process shows that it executes."""

Reached = Callable[[Watch, str, str], object]
"""Waits until a task is in a state: what a daemon tells, the task, and a worker's node."""


def submit(daemon: Daemon, count: int = ROUNDS) -> str:
    request = SubmitTask(module=spin(), input=rounds(count))
    return daemon.ask(TASK_SUBMIT, request).task_id


def node_of(daemon: Daemon) -> str:
    status = daemon.status()
    assert status is not None
    return status.node


def spent_s(daemon: Daemon) -> dict[int, float]:
    """Give what processor time each process of a daemon has taken."""
    assert daemon.process is not None
    found = {}
    for each in psutil.Process(daemon.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found[each.pid] = sum(each.cpu_times()[:2])
    return found


def is_at_work(daemon: Daemon, before_s: dict[int, float]) -> bool:
    """Tell whether a process of a daemon has executed in earnest since."""
    return any(now > before_s.get(pid, 0.0) + BUSY_S for pid, now in spent_s(daemon).items())


def told(kind: str) -> Reached:
    return lambda watch, task, _: watch.of(task, kind)


def told_of(kind: str) -> Reached:
    return lambda watch, task, worker: watch.of(task, kind, node=worker)


BEFORE: dict[str, Reached] = {"accepted": told(EventKind.TASK_ADMITTED)}
AFTER: dict[str, Reached] = {
    "assigned": told_of(EventKind.TASK_ASSIGNED),
    "executing": lambda _watch, _task, _worker: None,  # seen by processor time
    "sealed": told_of(EventKind.TASK_COMMITTED),
    "opened": told_of(EventKind.TASK_REVEALED),
    "settled, without a receipt": told(EventKind.TASK_ENDED),
}


def killed_at(mesh: Cluster, state: str, victim: Daemon | None, submitter: Daemon) -> str:
    """Have a task come into a state and end a node just then: a worker of it, if none is named."""
    nodes = {node_of(each): each for each in mesh.daemons}
    with Watch(submitter) as watch:
        begin(watch, submitter)
        before_s = {node: spent_s(each) for node, each in nodes.items()}
        task = submit(submitter)
        if state in BEFORE:
            assert victim is not None, "there is no worker yet"
            BEFORE[state](watch, task, "")
        else:
            given = watch.first(
                lambda event: (
                    event.kind == EventKind.TASK_ASSIGNED
                    and event.fields["task"] == task
                    and nodes[str(event.fields["node"])] is not submitter
                )
            )
            assert given is not None, "nobody got the task"
            node = str(given.fields["node"])
            if state == "executing":
                mesh.until(lambda: is_at_work(nodes[node], before_s[node]), "a process is at work")
            AFTER[state](watch, task, node)
            victim = victim or nodes[node]
        victim.kill()
    return task


def begin(watch: Watch, daemon: Daemon) -> None:
    """Wait until a watch hears what happens: its first event is of a task that was asked for."""
    while not watch.first(lambda _: True, patience_s=1.0):
        submit(daemon, 1)


def check_end(mesh: Cluster, submitter: Daemon, task: str) -> Task:
    """Hold a task to the one right end, told by who asked for it."""
    done = submitter.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=120_000))
    assert (done.state, done.outcome, done.verdict) == ("final", "completed", "agreed")
    paid = [payment.worker for payment in done.payments]
    assert len(paid) == len(set(paid)) >= 2
    assert done.paid_msat + done.refunded_msat + done.pooled_msat == done.fee_msat * 3 // 2
    mesh.until(
        lambda: submitter.task(task).receipt.state in {"batched", "anchored"},
        "the task's batch is closed",
    )
    return done


def check_alike(mesh: Cluster, submitter: Daemon, ends: dict[str, Task]) -> None:
    """All daemons know the same ends, and of each task there is one receipt."""
    for daemon in mesh.daemons:
        name = daemon.data_dir.name
        mesh.until(
            lambda d=daemon: all(d.task(task).state == "final" for task in ends),
            f"{name} knows how all tasks ended",
        )
        for task, done in ends.items():
            found = daemon.task(task)
            assert (found.verdict, found.gas, found.payments, found.output_sha256) == (
                done.verdict,
                done.gas,
                done.payments,
                done.output_sha256,
            )
        mesh.until(
            lambda d=daemon: all(
                each.state == "final" for each in d.ask(TASK_LIST, ListTasks()).tasks
            ),
            f"{name} knows how what was asked for to be heard of has ended",
        )
    leaves = set()
    for task in ends:
        report = check_receipt_file(submitter.ask(RECEIPT_GET, GetReceipt(task=task)).data)
        assert report.valid, report.checks
        leaves.add(report.file.leaf_index)
    assert len(leaves) == len(ends)


def come_back(mesh: Cluster, daemon: Daemon, witness: Daemon) -> None:
    """Start a killed daemon, and wait until it has caught up from its disk and its peers."""
    daemon.start()
    seen = witness.status()
    assert seen is not None
    mesh.until(
        lambda: (
            (now := daemon.status()) is not None
            and now.committed_height >= seen.committed_height
            and len(now.peers) == len(mesh.daemons) - 1
        ),
        "the killed daemon has caught up",
    )


def coordinator_of(mesh: Cluster, witness: Daemon) -> Daemon:
    def elected() -> Daemon | None:
        status = witness.status()
        return None if status is None or not status.coordinator else mesh.by_id(status.coordinator)

    found = mesh.until(elected, "somebody coordinates")
    assert found is not None
    return found


COORDINATOR, WORKER = "coordinator", "worker"
EACH = [(COORDINATOR, each) for each in (*BEFORE, *AFTER)] + [(WORKER, each) for each in AFTER]
FEW = [(COORDINATOR, "accepted"), (WORKER, "executing"), (COORDINATOR, "sealed")]


@pytest.mark.parametrize(
    "deaths",
    [pytest.param(FEW, id="a few"), pytest.param(EACH, id="each", marks=pytest.mark.hunt)],
)
def test_a_task_outlives_who_is_killed_at_a_state_of_it(
    mesh: Cluster, deaths: list[tuple[str, str]]
) -> None:
    ends: dict[str, Task] = {}
    for role, state in deaths:
        coordinator = coordinator_of(mesh, mesh.daemons[0])
        submitter = next(each for each in mesh.daemons if each is not coordinator)
        victim = coordinator if role == COORDINATOR else None
        task = killed_at(mesh, state, victim, submitter)
        ends[task] = check_end(mesh, submitter, task)
        (gone,) = [each for each in mesh.daemons if not each.is_running]
        come_back(mesh, gone, submitter)
    check_alike(mesh, mesh.daemons[0], ends)


def test_a_long_task_goes_on_where_a_killed_daemon_left_it(tmp_path: Path) -> None:
    alone = Cluster(tmp_path / "alone", 1, ClusterPlan(bitcoin="off"))
    (node,) = alone.daemons
    config = node.data_dir / "config.toml"
    stretches = f"[execution]\nstate_every_gas = {STRETCH_GAS}\n"
    config.write_text(config.read_text().replace("[execution]\n", stretches, 1))
    states = node.data_dir / "states"
    try:
        alone.start()
        request = SubmitTask(module=spin(), input=rounds(ROUNDS), assurance="none")
        task = node.ask(TASK_SUBMIT, request).task_id
        alone.until(lambda: list(states.glob("*.state")), "a state is kept")
        node.kill()
        alone.start()
        done = node.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=120_000))
        assert (done.state, done.outcome, done.verdict) == ("final", "completed", "none")
        assert len(done.payments) == 1
        told = (node.data_dir / "log").read_text()
        went_on = re.findall(r"execution goes on.*?gas\D+(\d+)", told)
        assert [int(gas) >= STRETCH_GAS for gas in went_on] == [True]
        assert check_receipt_file(node.ask(RECEIPT_GET, GetReceipt(task=task)).data).valid
        assert not list(states.iterdir()), "a task that has ended needs no state"

        config.write_text(config.read_text().replace(stretches, "[execution]\n", 1))
        node.stop()
        alone.start()
        whole = node.ask(TASK_SUBMIT, request).task_id
        end = node.ask(TASK_WAIT, WaitForTask(task=whole, timeout_ms=120_000))
        assert (end.gas, end.output_sha256) == (done.gas, done.output_sha256)
    finally:
        alone.stop()
