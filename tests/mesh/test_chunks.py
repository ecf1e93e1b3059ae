"""Real daemons bring a large input by chunks; one that dies on the way costs what it was asked for.

What is killed is killed while the file grows, and the worker's log says from whom which part came.
"""

import hashlib
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.adapters.blob_files import BlobFiles
from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import SubmitTask, WaitForTask
from ambientd.model.chunk import CHUNK_BYTES
from tests.mesh.cluster import Cluster, Daemon

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

MODULE = Path(__file__).parents[2] / "examples" / "noop" / "noop.wasm"
MIB = 1024 * 1024
INPUT = random.Random(1).randbytes(32 * MIB)
NAME = hashlib.sha256(INPUT).digest()
CHUNKS = len(INPUT) // CHUNK_BYTES
BEGUN_BYTES = 4 * MIB


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Cluster]:
    """Three daemons; the first two hold the input, and the third is named by its region."""
    plan = ClusterPlan(bitcoin="off", regions=("one", "two", "three"))
    cluster = Cluster(tmp_path / "mesh", 3, plan)
    for daemon in cluster.daemons[:2]:
        assert BlobFiles(daemon.data_dir / "blobs").put(INPUT) == NAME
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def submit(daemon: Daemon) -> str:
    """Have the third daemon execute something on the input."""
    request = SubmitTask(
        module=MODULE.read_bytes(),
        input_sha256=NAME.hex(),
        constraints=("region=three",),
        assurance="none",
        memory_bytes_max=64 * MIB,
        wall_ms_max=30_000,
    )
    return daemon.ask(TASK_SUBMIT, request).task_id


def until_begun(worker: Daemon) -> Path:
    """Wait until a part of the input is on the worker's disk."""
    partial = worker.data_dir / "blobs" / "partial" / NAME.hex()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if partial.stat().st_blocks * 512 >= BEGUN_BYTES:
                return partial
        except FileNotFoundError:
            pass
        time.sleep(0.001)
    raise AssertionError((worker.data_dir / "log").read_text(errors="replace")[-3000:])


def said_of_chunks(worker: Daemon) -> tuple[int, dict[str, int]]:
    """Give how many chunks were held before the last fetch, and how many came from whom."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", (worker.data_dir / "log").read_text())
    line = [each for each in plain.splitlines() if "a blob came by chunks" in each][-1]
    held = re.search(r"held=(\d+)", line)
    assert held is not None, line
    return int(held[1]), {peer: int(count) for peer, count in re.findall(r"'(\w+)': (\d+)", line)}


def check_arrived(mesh: Cluster, task: str) -> None:
    ended = mesh.daemons[0].ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=120_000))
    assert ended.state == "final", ended
    kept = mesh.daemons[2].data_dir / "blobs" / NAME.hex()[:2] / NAME.hex()[2:]
    assert hashlib.sha256(kept.read_bytes()).digest() == NAME


def test_a_holder_that_is_killed_in_the_middle_leaves_the_rest_to_the_other(
    mesh: Cluster,
) -> None:
    submitter, holder, worker = mesh.daemons
    keys = [str(each.status().node)[:12] for each in (submitter, holder)]  # type: ignore[union-attr]
    task = submit(submitter)
    partial = until_begun(worker)
    holder.kill()
    assert partial.exists(), "it was in the middle"
    check_arrived(mesh, task)
    held, came = said_of_chunks(worker)
    assert held == 0
    assert sum(came.values()) == CHUNKS
    assert 0 < came[keys[1]] < CHUNKS, "the one that was killed had given some"
    assert came[keys[0]] > came[keys[1]]


def test_a_worker_that_is_killed_in_the_middle_goes_on_where_it_was(mesh: Cluster) -> None:
    submitter, _, worker = mesh.daemons
    task = submit(submitter)
    partial = until_begun(worker)
    worker.kill()
    assert partial.exists(), "it was in the middle"
    worker.start()
    check_arrived(mesh, task)
    held, came = said_of_chunks(worker)
    assert held >= BEGUN_BYTES // CHUNK_BYTES - 1
    assert held + sum(came.values()) == CHUNKS
