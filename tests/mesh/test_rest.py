"""A real daemon with HTTP on: it answers, tells what happens, and stops when it is told to."""

import hashlib
import http.client
import json
import socket
from pathlib import Path

import pytest

from ambientd.api.cluster import ClusterPlan
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.api.tokens import create_token
from ambientd.client import Mesh
from ambientd.config.places import Places
from tests.fuzz.rest import switch_on
from tests.mesh.cluster import Cluster, Daemon
from tests.own_ports import own_port

pytestmark = [pytest.mark.slow, pytest.mark.mesh]

MODULE = Path(__file__).parent.parent.parent / "examples" / "noop" / "noop.wasm"
NAME = hashlib.sha256(MODULE.read_bytes()).hexdigest()


class Site:
    """One daemon's REST API, asked with a token."""

    def __init__(self, port: int, words: str) -> None:
        self.port = port
        self.told = {"Authorization": f"Bearer {words}"}

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, BASE_PATH + path, body, {**self.told, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def test_a_task_goes_its_way_over_http_and_open_streams_do_not_hold_a_stop(
    tmp_path: Path,
) -> None:
    cluster = Cluster(tmp_path / "mesh", 1, ClusterPlan(bitcoin="off"))
    [daemon] = cluster.daemons
    port = own_port() + 10
    switch_on(daemon.data_dir, port)
    tokens = Places(daemon.data_dir).http_file("http.tokens")
    site = Site(port, create_token(tokens, "test", Scope.SUBMIT, 0, 0)[1])
    try:
        cluster.start()
        assert site.ask("GET", "/ready") == (200, b'{"ready":true}')
        events = socket.create_connection(("127.0.0.1", port))
        head = f"GET {BASE_PATH}/events HTTP/1.1\r\nHost: localhost\r\n"
        events.sendall(f"{head}Authorization: {site.told['Authorization']}\r\n\r\n".encode())
        assert events.recv(65_536).startswith(b"HTTP/1.1 200")

        data = MODULE.read_bytes()
        status, kept = site.ask("PUT", f"/blobs/{NAME}", data)
        assert status == 201, kept
        terms = {"module_sha256": NAME, "assurance": "none"}
        ordered = {"Content-Type": "application/json", "Idempotency-Key": "one"}
        status, said = site.ask("POST", "/tasks", json.dumps(terms).encode(), **ordered)
        assert status == 201, said
        task = json.loads(said)["task_id"]
        status, said = site.ask("GET", f"/tasks/{task}/wait")
        assert (status, json.loads(said)["state"]) == (200, "final")
        heard = b""
        while b"event: task_ended" not in heard:
            heard += events.recv(65_536)
        assert task.encode() in heard

        daemon.stop()
        assert daemon.process is not None
        assert daemon.process.returncode == 0, "it was not killed for taking too long"
        events.close()
    finally:
        cluster.stop()


def loaded_by(daemon: Daemon) -> set[str]:
    """Give the modules that a daemon has imported, as Python told into its log."""
    lines = (daemon.data_dir / "log").read_text(errors="replace").splitlines()
    return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


def of_http(names: set[str]) -> set[str]:
    return {
        name
        for name in names
        if name.split(".")[0] in {"h11", "wsproto"} or "rest" in name.split(".")
    }


def test_a_daemon_that_runs_with_http_off_has_loaded_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    cluster = Cluster(tmp_path / "mesh", 1, ClusterPlan(bitcoin="off"))
    [daemon] = cluster.daemons
    try:
        cluster.start()
        with Mesh(daemon.data_dir) as mesh:
            mesh.run(MODULE.read_bytes(), assurance="none").wait()
        daemon.stop()
        assert "ambientd.api.desk" in loaded_by(daemon)
        assert of_http(loaded_by(daemon)) == set()
        switch_on(daemon.data_dir, own_port() + 10)
        cluster.start()
        daemon.stop()
        assert of_http(loaded_by(daemon)) >= {"h11", "ambientd.api.rest.front"}
    finally:
        cluster.stop()
