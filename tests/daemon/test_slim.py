"""A slim daemon's memory holds nothing that nobody has asked for; the rest comes with who asks."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.operations import TASK_OUTPUT, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import GetOutput, SubmitTask, WaitForTask
from tests.mesh.cluster import Cluster
from tests.modules import compiled

PROGRAM = """
import sys
from ambientd.adapters.slim_standard import openssl_later
with openssl_later(with_hashes=not {is_slim}):
    import ambientd.daemon.composition
absent = {absent!r}
assert not absent & sys.modules.keys(), absent & sys.modules.keys()
import hashlib, hmac, ssl, trio
assert trio._ssl._stdlib_ssl.SSLContext is ssl.SSLContext
assert hashlib.sha256(b"abc").hexdigest().startswith("ba7816bf")
said = hmac.new(b"Jefe", b"what do ya want for nothing?", "sha256").hexdigest()
assert said.startswith("5bdcc146bf60754e6a042426089575c7"), said
"""
HEAVY = {
    "ssl",
    "blake3",
    "embit",
    "google.protobuf.internal.python_message",
    "http.client",
    "mmh3",
    "ambientd.adapters.interfaces",
    "ambientd.adapters.libp2p.dht",
    "ambientd.adapters.mdns",
    "ambientd.adapters.rocks_store",
    "ambientd.api.desk",
    "ambientd.api.replies",
    "ambientd.daemon.bitcoin_parts",
    "ambientd.daemon.front_desk",
    "libp2p.kad_dht",
    "zeroconf",
}
MDNS_PORT = 5353


@pytest.mark.parametrize(("is_slim", "absent"), [(False, HEAVY), (True, HEAVY | {"_hashlib"})])
def test_what_a_daemon_imports_is_what_it_needs_before_anybody_asks(
    is_slim: bool, absent: set[str]
) -> None:
    program = PROGRAM.format(is_slim=is_slim, absent=absent)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.mesh
@pytest.mark.slow
def test_a_slim_mesh_answers_who_asks_and_executes_what_it_is_given(tmp_path: Path) -> None:
    plan = ClusterPlan(bitcoin="off", options={"memory": {"profile": "slim"}})
    cluster = Cluster(tmp_path / "mesh", 3, plan)
    for daemon in cluster.daemons:
        daemon.start()
    try:
        first = cluster.daemons[0]
        cluster.until(lambda: b"ready" in (first.data_dir / "log").read_bytes(), "it is ready")
        assert first.process is not None
        before = psutil.Process(first.process.pid).memory_info().rss
        cluster.until(first.status, "it answers")
        process = psutil.Process(first.process.pid)
        after = process.memory_info().rss
        assert MDNS_PORT not in [each.laddr.port for each in process.net_connections("udp")]
        assert after > before, "what answers was there before anybody asked"
        request = SubmitTask(module=compiled.module("echo"), input=b"slim")
        task = first.ask(TASK_SUBMIT, request).task_id
        assert first.ask(TASK_WAIT, WaitForTask(task=task)).verdict == "agreed"
        assert first.ask(TASK_OUTPUT, GetOutput(task=task)).data == b"slim"
    finally:
        cluster.stop()
