"""A local mesh to measure: founded in a temporary folder, gone afterwards."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan, create_cluster
from ambientd.api.operations import STATUS
from ambientd.api.requests import GetStatus
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError

NOOP = Path(__file__).parent.parent / "examples" / "noop" / "noop.wasm"
READY_DEADLINE_S = 180.0  # on a machine with much other work


@contextmanager
def running_mesh(members: int = 4) -> Iterator[list[Path]]:
    """Give the data directories of a mesh that is up."""
    with running_daemons(members) as daemons:
        yield list(daemons)


@contextmanager
def running_daemons(
    members: int = 4, plan: ClusterPlan | None = None, *, is_asked: bool = True
) -> Iterator[dict[Path, subprocess.Popen[bytes]]]:
    """Give the daemons of a mesh that is up; whoever kills one starts another in its place.

    One that is not asked whether it is up may still be starting.
    """
    with tempfile.TemporaryDirectory(prefix="ambient-bench-") as folder:
        root = Path(folder) / "mesh"
        create_cluster(root, members, plan or ClusterPlan(bitcoin="off"))
        nodes = [root / f"node{number}" for number in range(1, members + 1)]
        daemons = {node: start_daemon(node) for node in nodes}
        try:
            for node in nodes if is_asked else ():
                await_ready(node, members - 1)
            yield daemons
        finally:
            for process in daemons.values():
                process.terminate()
            for process in daemons.values():
                process.wait(30)


def start_daemon(node: Path) -> subprocess.Popen[bytes]:
    """Start the daemon of a data directory."""
    with (node / "log").open("ab") as log:
        command = [sys.executable, "-m", "ambientd.daemon", "--data-dir", str(node)]
        return subprocess.Popen(command, stdout=log, stderr=log)


def await_ready(node: Path, peers: int) -> None:
    """Return once a daemon leads or follows, and is linked to so many peers."""
    end = time.monotonic() + READY_DEADLINE_S
    while time.monotonic() < end:
        try:
            with Client(socket_path_for(node)) as client:
                status = client.call(STATUS, GetStatus())
            if status.coordinator is not None and len(status.peers) == peers:
                return
        except (AmbientError, OSError):
            pass
        time.sleep(0.05)
    sys.exit(f"{node.name} was not ready in {READY_DEADLINE_S} s: see {node / 'log'}")


def percentile(values: list[float], share: float) -> float:
    """Give the value below which this share of the sorted values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def machine() -> str:
    """Say on what, and how busy it is."""
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    return f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, load average {load}"


def report(name: str, runs: list[float], unit: str) -> None:
    """Print the median of the runs with their range."""
    low, middle, high = min(runs), statistics.median(runs), max(runs)
    print(f"{name:36} {middle:9.1f} {unit}   (runs: {low:.1f} .. {high:.1f}, n = {len(runs)})")
