"""A real daemon whose device overheats hands its task to another, and works again once cool."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.operations import NODES, RECEIPT_GET, STATUS, TASK_WAIT
from ambientd.api.replies import EventKind, NodeInfo
from ambientd.api.requests import GetReceipt, GetStatus, ListNodes, WaitForTask
from ambientd.ledger.offers import REASON_HOT
from ambientd.ledger.weighing import Standing
from ambientd.rules.receipt_check import check_receipt_file
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.heating import COOL, HOT, sensing_trio, submit_long, warm
from tests.mesh.watching import Watch

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

LONG = 2_000_000_000
GAS_MAX = 60_000_000_000


def about(witness: Daemon, node: str) -> NodeInfo:
    (found,) = (each for each in witness.ask(NODES, ListNodes()).nodes if each.id == node)
    return found


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Cluster]:
    with sensing_trio(tmp_path, GAS_MAX) as cluster:
        cluster.start()
        yield cluster


def test_a_device_that_overheats_hands_its_task_on_and_is_not_blamed(trio: Cluster) -> None:
    submitter = trio.daemons[0]
    nodes = {daemon.ask(STATUS, GetStatus()).node: daemon for daemon in trio.daemons}
    with Watch(submitter) as watch:
        task = submit_long(trio, submitter, LONG, GAS_MAX)
        (slot,) = submitter.task(task).slots
        before = about(submitter, slot.worker)
        hot = nodes.pop(slot.worker)
        warm(hot, HOT)
        released = watch.of(task, EventKind.TASK_RELEASED, node=slot.worker)
        assert released.fields["reason"] == REASON_HOT
        assert about(submitter, slot.worker).closed == Standing.TOO_HOT.value
        # And whatever else befalls it, where the machine is slow.
        assert "hot" in hot.ask(STATUS, GetStatus()).safe_mode.reasons

        done = submitter.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=120_000))
        assert (done.state, done.outcome, done.verdict) == ("final", "completed", "none")
        (payment,) = done.payments
        assert payment.worker in nodes, "who handed the task on is not paid"
        assert check_receipt_file(submitter.ask(RECEIPT_GET, GetReceipt(task=task)).data).valid

        warm(hot, COOL)
        opened = watch.first(
            lambda event: (
                event.kind == EventKind.NODE_OPENED and event.fields["node"] == slot.worker
            )
        )
        assert opened is not None, "the device has cooled, and takes no work"
        assert about(submitter, slot.worker).reputation == before.reputation
