"""Devices whose sensors a test sets, and a task long enough for one of them to overheat."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import NODES, TASK_SUBMIT
from ambientd.api.requests import ListNodes, SubmitTask
from tests.adapters.probes.machines import lay
from tests.mesh.cluster import Cluster, Daemon
from tests.mesh.modules import rounds, spin

COOL, HOT = 45_000, 91_000
WALL_MS_MAX = 120_000


def warm(daemon: Daemon, milli_celsius: int) -> None:
    """Have a device's sensor show a temperature."""
    zone = "class/thermal/thermal_zone0"
    lay(daemon.data_dir / "sys", {f"{zone}/type": "soc", f"{zone}/temp": f"{milli_celsius}"})


@contextmanager
def sensing_trio(folder: Path, gas_max: int, **written: str) -> Iterator[Cluster]:
    """Give three cool devices, not yet started, that take long tasks; `written` is by section."""
    cluster = Cluster(folder / "trio", 3, ClusterPlan(bitcoin="off"))
    lines = {
        "telemetry": 'sysfs = "sys"\ninterval_ms = 500',
        "execution": f"gas_max = {gas_max}\nwall_ms_max = {WALL_MS_MAX}",
        **written,
    }
    for daemon in cluster.daemons:
        config = daemon.data_dir / "config.toml"
        text = config.read_text()
        for section, said in lines.items():
            text = text.replace(f"[{section}]\n", f"[{section}]\n{said}\n", 1)
        config.write_text(text)
        warm(daemon, COOL)
    try:
        yield cluster
    finally:
        cluster.stop()


def submit_long(
    mesh: Cluster, submitter: Daemon, count: int, gas_max: int, marks_max: int = 0
) -> str:
    """Submit a task of many rounds, with assurance none, once every device takes work."""
    mesh.until(
        lambda: all(node.accepting for node in submitter.ask(NODES, ListNodes()).nodes),
        "all take work",
    )
    terms = SubmitTask(
        module=spin(),
        input=rounds(count),
        gas_max=gas_max,
        wall_ms_max=WALL_MS_MAX,
        assurance="none",
        marks_max=marks_max,
    )
    return submitter.ask(TASK_SUBMIT, terms).task_id
