"""What the REST front end of one daemon bears: lists of 20 nodes, event streams, and its price.

Four members keep the log, 20 nodes are in it. Terms that pass under load tell of heartbeats that
came too late; how long a ping at the local socket takes tells what the load costs everybody else.
"""

import argparse
import os
import selectors
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan, JoinPlan, create_cluster, join_cluster
from ambientd.api.invitation import read_token
from ambientd.api.operations import CLUSTER_INVITE, NODES, PING, STATUS, TASK_SUBMIT
from ambientd.api.requests import GetStatus, Invite, ListNodes, Ping, SubmitTask
from ambientd.api.routes import BASE_PATH, Scope
from ambientd.api.tokens import create_token
from ambientd.config.places import Places, socket_path_for
from benchmarks.mesh import NOOP, await_ready, machine, percentile, report, start_daemon
from tests.fuzz.rest import switch_on

PORT = 4470
MEMBERS = 4
LISTED = 20
CALLERS = 16
RUN_S = 5.0
LIMITS = "connections_per_address_max = 1000\n"


class Caller:
    """One kept connection that asks again as soon as it is answered."""

    def __init__(self, head: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", PORT))
        self._head = head
        self.ask()

    def ask(self) -> None:
        """Send the request once more."""
        self._data, self._size, self._begun_s = b"", 0, time.perf_counter()
        self.is_served = False
        self.socket.sendall(self._head)

    def read(self) -> float | None:
        """Take what came; give how long the answer took, once it is whole."""
        self._data += self.socket.recv(262_144)
        end = self._data.find(b"\r\n\r\n")
        if not self._size and end > 0:
            head = self._data[:end].lower()
            self.is_served = head.startswith(b"http/1.1 200")
            assert self.is_served or head.startswith(b"http/1.1 429"), head
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._size = end + 4 + int(length)
        is_whole = self._size and len(self._data) >= self._size
        return time.perf_counter() - self._begun_s if is_whole else None


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument(
        "--default-limits", action="store_true", help="as a daemon is set up, not lifted"
    )
    chosen = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="ambient-rest-") as folder:
        root = Path(folder) / "mesh"
        create_cluster(root, MEMBERS, ClusterPlan(bitcoin="off", base_port=PORT + 1))
        nodes = [root / f"node{number}" for number in range(1, MEMBERS + 1)]
        daemons = [start_daemon(node) for node in nodes]
        try:
            for node in nodes:
                await_ready(node, MEMBERS - 1)
            fill(nodes[0], Path(folder))
            off_mib = memory_mib(daemons[0])
            daemons[0].terminate()
            daemons[0].wait(30)
            if chosen.default_limits:
                switch_on_as_it_is(nodes[0])
            else:
                switch_on(nodes[0], PORT, LIMITS)
            daemons[0] = start_daemon(nodes[0])
            await_ready(nodes[0], MEMBERS - 1)
            print(f"memory: {off_mib:.1f} MiB off, {memory_mib(daemons[0]):.1f} MiB on, at rest")
            head = head_of(nodes[0])
            lists(daemons[0], nodes[0], head, chosen.runs)
            if not chosen.default_limits:  # which let 64 streams of one address be open
                streams(nodes[0], head, chosen.streams)
        finally:
            for daemon in daemons:
                daemon.terminate()
            for daemon in daemons:
                daemon.wait(30)
    print(machine())


def switch_on_as_it_is(node: Path) -> None:
    """Let a node answer HTTP with every limit as it is by itself."""
    path = Places(node).config
    chosen = f'enabled = true\nlisten = "127.0.0.1:{PORT}"\n'
    path.write_text(path.read_text().replace("[http]\n", f"[http]\n{chosen}", 1))


def fill(member: Path, folder: Path) -> None:
    """Let nodes join until the cluster has as many as are to be listed, and end them again."""
    for number in range(LISTED - MEMBERS):
        with Client(socket_path_for(member)) as client:
            text = client.call(CLUSTER_INVITE, Invite()).token
            place = folder / f"guest{number}"
            plan = JoinPlan(name=f"guest{number}", listen=f"127.0.0.1:{PORT + 40 + number}")
            join_cluster(place, read_token(text), text, plan)
            daemon = start_daemon(place)
            while len(client.call(NODES, ListNodes()).nodes) <= MEMBERS + number:
                time.sleep(0.1)
        daemon.kill()
        daemon.wait()


def head_of(node: Path) -> bytes:
    """Give a request for the list of nodes."""
    _, words = create_token(Places(node).http_file("http.tokens"), "bench", Scope.READ, 0, 0)
    first = f"GET {BASE_PATH}/nodes HTTP/1.1\r\nHost: localhost\r\n"
    return f"{first}Authorization: Bearer {words}\r\n\r\n".encode()


def memory_mib(daemon: subprocess.Popen[bytes]) -> float:
    """Give what a process has in memory."""
    lines = Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def busy_s(daemon: subprocess.Popen[bytes]) -> float:
    """Give the processor time that a process has taken."""
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def lists(daemon: subprocess.Popen[bytes], node: Path, head: bytes, runs: int) -> None:
    """Ask for lists from several connections; beside it, ping the local socket."""
    figures: dict[str, list[float]] = {}
    term = term_of(node)
    quiet = pings(node, 1.0)
    for _ in range(runs):
        pinged: list[float] = []
        beside = threading.Thread(target=lambda into=pinged: into.extend(pings(node, RUN_S)))
        beside.start()
        before_s = busy_s(daemon)
        took, turned_away = load(head)
        per_s = (len(took) + turned_away) / (busy_s(daemon) - before_s)
        beside.join()
        figures.setdefault("answers a second of processor time", []).append(per_s)
        figures.setdefault("answers 429, a second", []).append(turned_away / RUN_S)
        figures.setdefault("lists of 20 nodes, a second", []).append(len(took) / RUN_S)
        for share in (0.5, 0.99):
            name = f"an answer, p{share * 100:.0f}, ms"
            figures.setdefault(name, []).append(percentile(took, share) * 1000)
        figures.setdefault("a ping at the socket, p99, ms", []).append(
            percentile(pinged, 0.99) * 1000
        )
    for name, values in figures.items():
        report(name, values, "")
    print(f"a ping at the socket without load, p99: {percentile(quiet, 0.99) * 1000:.1f} ms")
    print(f"terms that passed under load: {term_of(node) - term}")


def load(head: bytes) -> tuple[list[float], int]:
    """Ask from all connections for a while; give how long each list took, and how many were 429."""
    waiting = selectors.DefaultSelector()
    callers = [Caller(head) for _ in range(CALLERS)]
    for caller in callers:
        waiting.register(caller.socket, selectors.EVENT_READ, caller)
    took: list[float] = []
    turned_away = 0
    end_s = time.perf_counter() + RUN_S
    while time.perf_counter() < end_s:
        for key, _ in waiting.select(1.0):
            seconds = key.data.read()
            if seconds is not None:
                if key.data.is_served:
                    took.append(seconds)
                else:
                    turned_away += 1
                key.data.ask()
    for caller in callers:
        caller.socket.close()
    return took, turned_away


def pings(node: Path, for_s: float) -> list[float]:
    """Ping a node's local socket, twenty times a second."""
    took: list[float] = []
    with Client(socket_path_for(node)) as client:
        end_s = time.perf_counter() + for_s
        while time.perf_counter() < end_s:
            begun_s = time.perf_counter()
            client.call(PING, Ping())
            took.append(time.perf_counter() - begun_s)
            time.sleep(0.05)
    return took


def term_of(node: Path) -> int:
    """Give the log's term."""
    with Client(socket_path_for(node)) as client:
        return client.call(STATUS, GetStatus()).term


def streams(node: Path, head: bytes, count: int) -> None:
    """Let many follow events, and see how long one event takes to the first and the last."""
    term = term_of(node)
    head = head.replace(f"{BASE_PATH}/nodes".encode(), f"{BASE_PATH}/events".encode())
    waiting = selectors.DefaultSelector()
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", PORT))
        connection.sendall(head)
        waiting.register(connection, selectors.EVENT_READ)
    answered: set[int] = set()
    while len(answered) < count:
        for key, _ in waiting.select(10.0):
            if b": still here" in key.fileobj.recv(65_536):  # type: ignore[union-attr]
                answered.add(key.fd)
    took: list[float] = []
    for _ in range(5):
        heard: set[int] = set()
        begun_s = time.perf_counter()
        with Client(socket_path_for(node)) as client:
            client.call(TASK_SUBMIT, SubmitTask(module=NOOP.read_bytes()))
        while len(heard) < count:
            for key, _ in waiting.select(10.0):
                if b"event: task_admitted" in key.fileobj.recv(65_536):  # type: ignore[union-attr]
                    heard.add(key.fd)
        took.append((time.perf_counter() - begun_s) * 1000)
        time.sleep(1.0)
    print(
        f"{count} streams: submit -> all have heard of it, median {statistics.median(took):.0f} ms"
    )
    print(f"terms that passed with them: {term_of(node) - term}")


if __name__ == "__main__":
    main()
