"""A real daemon keeps its blobs in a bucket of an independent S3 server, which goes and returns."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import TASK_SUBMIT, TASK_WAIT
from ambientd.api.replies import Task
from ambientd.api.requests import SubmitTask, WaitForTask
from ambientd.errors import AmbientError
from tests.adapters.s3_server import BUCKET, serving
from tests.mesh.cluster import Cluster, Daemon
from tests.own_ports import fresh_port

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]

MODULE = Path(__file__).parents[2] / "examples" / "noop" / "noop.wasm"
MIB = 1024 * 1024
FOLDER = "blobs-of-a-mesh"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Give one node whose blobs lie in a bucket."""
    cluster = Cluster(tmp_path / "mesh", 1, ClusterPlan(bitcoin="off"))
    config = cluster.daemons[0].data_dir / "config.toml"
    said = f'\n[store]\nblobs = "s3://{BUCKET}/{FOLDER}"\n'
    config.write_text(config.read_text().replace("\n[store]\n", said))
    try:
        yield cluster
    finally:
        cluster.stop()


def large(number: int) -> bytes:
    """Give an input that no memory of small blobs holds."""
    return random.Random(number).randbytes(2 * MIB)


def has_run(daemon: Daemon, data: bytes) -> Task:
    request = SubmitTask(
        module=MODULE.read_bytes(),
        input=data,
        assurance="none",
        memory_bytes_max=64 * MIB,
        wall_ms_max=20_000,
    )
    task = daemon.ask(TASK_SUBMIT, request).task_id
    return daemon.ask(TASK_WAIT, WaitForTask(task=task, timeout_ms=60_000))


def kept(folder: Path) -> set[str]:
    """Name the objects of the one node below the folder."""
    return {f"{file.parent.name}{file.name}" for file in folder.glob("*/??/*") if file.is_file()}


def test_a_bucket_holds_what_a_folder_would_and_its_loss_ends_no_daemon(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    [daemon], port = cluster.daemons, fresh_port()
    folder = tmp_path / "s3" / "buckets" / BUCKET / FOLDER
    with serving(tmp_path / "s3", port) as told:
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        cluster.start()
        assert has_run(daemon, large(1)).state == "final"
        assert hashlib.sha256(large(1)).hexdigest() in kept(folder)
        assert not list((daemon.data_dir / "blobs").glob("[0-9a-f][0-9a-f]/*"))
    with pytest.raises(AmbientError, match="s3://"):
        has_run(daemon, large(2))
    cluster.check_alive()
    assert daemon.status() is not None
    with serving(tmp_path / "s3", port):
        assert has_run(daemon, large(3)).state == "final"
        assert hashlib.sha256(large(3)).hexdigest() in kept(folder)
        daemon.kill()
        daemon.start()
        cluster.until(lambda: cluster._is_ready(daemon, 0), "it is back")
        assert has_run(daemon, large(1)).state == "final"
