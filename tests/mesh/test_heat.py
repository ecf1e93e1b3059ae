"""A real daemon whose device overheats hands its task to another, and works again once cool."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import NODES, RECEIPT_GET, STATUS, TASK_SUBMIT, TASK_WAIT
from ambientd.api.replies import EventKind, NodeInfo
from ambientd.api.requests import GetReceipt, GetStatus, ListNodes, SubmitTask, WaitForTask
from ambientd.ledger.offers import REASON_HOT
from ambientd.ledger.weighing import Standing
from ambientd.rules.receipt_check import check_receipt_file
from tests.adapters.probes.machines import lay
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.modules import rounds, spin
from tests.mesh.watching import Watch

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

LONG = 2_000_000_000
GAS_MAX = 60_000_000_000
COOL, HOT = 45_000, 91_000


def warm(daemon: Daemon, milli_celsius: int) -> None:
    """Have a device's sensor show a temperature."""
    zone = "class/thermal/thermal_zone0"
    lay(daemon.data_dir / "sys", {f"{zone}/type": "soc", f"{zone}/temp": f"{milli_celsius}"})


def about(witness: Daemon, node: str) -> NodeInfo:
    (found,) = (each for each in witness.ask(NODES, ListNodes()).nodes if each.id == node)
    return found


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "trio", 3, ClusterPlan(bitcoin="off"))
    for daemon in cluster.daemons:
        config = daemon.data_dir / "config.toml"
        telemetry = '[telemetry]\nsysfs = "sys"\ninterval_ms = 500\n'
        execution = f"[execution]\ngas_max = {GAS_MAX}\nwall_ms_max = 120000\n"
        text = config.read_text().replace("[telemetry]\n", telemetry, 1)
        config.write_text(text.replace("[execution]\n", execution, 1))
        warm(daemon, COOL)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_a_device_that_overheats_hands_its_task_on_and_is_not_blamed(trio: Cluster) -> None:
    submitter = trio.daemons[0]
    nodes = {daemon.ask(STATUS, GetStatus()).node: daemon for daemon in trio.daemons}
    with Watch(submitter) as watch:
        trio.until(
            lambda: all(node.accepting for node in submitter.ask(NODES, ListNodes()).nodes),
            "all take work",
        )
        terms = SubmitTask(
            module=spin(),
            input=rounds(LONG),
            gas_max=GAS_MAX,
            wall_ms_max=120_000,
            assurance="none",
        )
        task = submitter.ask(TASK_SUBMIT, terms).task_id
        (slot,) = submitter.task(task).slots
        before = about(submitter, slot.worker)
        hot = nodes.pop(slot.worker)
        warm(hot, HOT)
        released = watch.of(task, EventKind.TASK_RELEASED, node=slot.worker)
        assert released.fields["reason"] == REASON_HOT
        assert about(submitter, slot.worker).closed == Standing.TOO_HOT.value
        assert hot.ask(STATUS, GetStatus()).safe_mode.reasons == ("hot",)

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
