"""A local etcd cluster to compare with: real processes, their defaults, the HTTP gateway."""

import base64
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ambientd.api.own_ports import free_ports

BASE_PORT = 4800
READY_S = 30.0
ATTEMPT_S = 0.1
"""How long one put may take before another member is asked; far above a put's time."""


class EtcdCluster:
    """Members by number; the n-th one listens for clients on port `clients[n]`."""

    def __init__(self, program: Path, root: Path, members: int) -> None:
        ports = free_ports(BASE_PORT, 2 * members)
        self.clients, self._peers = ports[:members], ports[members:]
        self._program = program
        self._root = root
        self.processes = [self._start(number, "new") for number in range(members)]

    def _start(self, number: int, state: str) -> subprocess.Popen[bytes]:
        urls = [f"http://127.0.0.1:{port}" for port in self._peers]
        names = ",".join(f"m{place}={url}" for place, url in enumerate(urls))
        client = f"http://127.0.0.1:{self.clients[number]}"
        options = {
            "name": f"m{number}",
            "data-dir": str(self._root / f"m{number}"),
            "listen-peer-urls": urls[number],
            "initial-advertise-peer-urls": urls[number],
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "initial-cluster": names,
            "initial-cluster-state": state,
        }
        command = [str(self._program), *(f"--{name}={value}" for name, value in options.items())]
        with (self._root / f"m{number}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def leader(self) -> int:
        """Wait until all members name one leader; give its number."""
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            said = [self._ask(number, "maintenance/status", {}, 1.0) for number in self._numbers()]
            leaders = {each.get("leader", "0") for each in said if each is not None}
            if None not in said and len(leaders) == 1:
                ids = [each["header"]["member_id"] for each in said if each is not None]
                (leader,) = leaders
                if leader in ids:
                    return ids.index(leader)
            time.sleep(0.05)
        sys.exit(f"etcd chose no leader in {READY_S:.0f} s: see the logs in {self._root}")

    def kill(self, number: int) -> None:
        """End a member as a crash would."""
        self.processes[number].kill()
        self.processes[number].wait(30)

    def restart(self, number: int) -> None:
        """Start a member again on what it had on disk."""
        self.processes[number] = self._start(number, "existing")

    def put(self, members: list[int], value: str) -> None:
        """Put a value, asking the members in turn until one says that it is done."""
        body = {"key": _text("failover"), "value": _text(value)}
        while True:
            for number in members:
                if self._ask(number, "kv/put", body, ATTEMPT_S) is not None:
                    return
                time.sleep(0.005)

    def _numbers(self) -> range:
        return range(len(self.clients))

    def _ask(
        self, number: int, path: str, body: dict[str, str], timeout_s: float
    ) -> dict[str, Any] | None:
        """Give the answer, or None when there is none in time."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.clients[number], timeout=timeout_s
        )
        try:
            connection.request("POST", f"/v3/{path}", json.dumps(body))
            response = connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return json.loads(data) if response.status == http.HTTPStatus.OK else None


@contextmanager
def running_etcd(program: Path, members: int) -> Iterator[EtcdCluster]:
    """Give a cluster that has a leader."""
    with tempfile.TemporaryDirectory(prefix="ambient-etcd-") as folder:
        cluster = EtcdCluster(program, Path(folder), members)
        try:
            cluster.leader()
            yield cluster
        finally:
            for process in cluster.processes:
                process.terminate()
            for process in cluster.processes:
                process.wait(30)


def _text(value: str) -> str:
    return base64.b64encode(value.encode()).decode("ascii")
