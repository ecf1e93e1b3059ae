"""Real daemons: who has a long task next goes on from a marked state, and its receipt says so."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from ambientd.api.offline import check_receipt
from ambientd.api.operations import RECEIPT_GET, TASK_WAIT
from ambientd.api.replies import EventKind
from ambientd.api.requests import GetReceipt, WaitForTask
from ambientd.model.mark import Mark
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.heating import HOT, sensing_trio, submit_long, warm
from tests.mesh.watching import Watch

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

LONG = 1_800_000_000
GAS_MAX = 36_000_000_000
MARKS = 16


def node_of(daemon: Daemon) -> str:
    status = daemon.status()
    assert status is not None
    return status.node


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Cluster]:
    with sensing_trio(tmp_path, GAS_MAX) as cluster:
        cluster.start()
        yield cluster


def holds(daemon: Daemon, state: object) -> bool:
    """Tell whether a daemon has a blob on its disk."""
    name = str(state)
    return (daemon.data_dir / "handed-states" / name[:2] / name[2:]).is_file()


@contextmanager
def still(daemon: Daemon) -> Iterator[None]:
    """Hold a daemon's workers where they are: none ends its task meanwhile."""
    assert daemon.process is not None
    workers = psutil.Process(daemon.process.pid).children(recursive=True)
    for each in workers:
        each.suspend()
    try:
        yield
    finally:
        for each in workers:
            with suppress(psutil.NoSuchProcess):
                each.resume()


def check_end(mesh: Cluster, submitter: Daemon, task: str, maker: str) -> tuple[Mark, ...]:
    """Hold the receipt to saying from whose state another has gone on."""
    done = submitter.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=120_000))
    assert (done.state, done.outcome, done.verdict) == ("final", "completed", "none")
    mesh.until(
        lambda: submitter.task(task).receipt.state in {"batched", "anchored"},
        "the task's batch is closed",
    )
    report = check_receipt(submitter.ask(RECEIPT_GET, GetReceipt(task=task)).data)
    assert report.file is not None
    assert report.valid, report.checks
    (signed,) = report.file.receipts
    marks = signed.receipt.marks
    assert [mark.worker.hex() for mark in marks] == [maker]
    assert signed.receipt.worker.hex() != maker
    (line,) = (check.detail for check in report.checks if check.name == "receipt 0")
    assert f"gone on from states of {maker[:16]}" in line
    assert any("whose word was false" in sentence for sentence in report.trust)
    return marks


def test_another_device_goes_on_where_a_lost_one_has_marked_its_state(trio: Cluster) -> None:
    submitter = trio.daemons[0]
    nodes = {node_of(daemon): daemon for daemon in trio.daemons}
    with Watch(submitter) as watch:
        task = submit_long(trio, submitter, LONG, GAS_MAX, MARKS)

        event = watch.of(task, EventKind.TASK_MARKED)
        maker = str(event.fields["node"])
        others = [daemon for node, daemon in nodes.items() if node != maker]
        state = event.fields["state"]
        with still(nodes[maker]):
            trio.until(lambda: all(holds(each, state) for each in others), "others have the state")
            nodes[maker].kill()
    (mark,) = check_end(trio, others[0], task, maker)
    told = "".join((each.data_dir / "log").read_text() for each in others)
    went_on = re.findall(r"goes on from a marked state.*?gas\D+(\d+)", told)
    assert went_on == [str(mark.point.gas_index)], "it repeated nothing before the mark"


def test_a_device_that_overheats_hands_its_last_state_on(trio: Cluster) -> None:
    submitter = trio.daemons[0]
    nodes = {node_of(daemon): daemon for daemon in trio.daemons}
    with Watch(submitter) as watch:
        task = submit_long(trio, submitter, LONG, GAS_MAX, MARKS)
        maker = str(watch.of(task, EventKind.TASK_MARKED).fields["node"])
        with still(nodes[maker]):
            warm(nodes[maker], HOT)
            watch.of(task, EventKind.TASK_RELEASED, node=maker)
        check_end(trio, submitter, task, maker)
