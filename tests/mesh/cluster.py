"""A real cluster for a test: real daemons, real sockets, real keys; stopped by pid."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan, create_cluster
from ambientd.api.operations import READY, STATUS, TASK_SHOW, Operation
from ambientd.api.replies import Status, Task
from ambientd.api.requests import GetReadiness, GetStatus, ShowTask
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError
from tests.own_ports import fresh_port, own_port

R = TypeVar("R")
T = TypeVar("T")

READY_DEADLINE_S = 120.0
POLL_S = 0.05


class Daemon:
    """One node's process."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.process: subprocess.Popen[bytes] | None = None
        self.python = Path(sys.executable)
        """Whose program it runs."""

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ask(self, operation: Operation[Any, R], request: object) -> R:
        with Client(socket_path_for(self.data_dir)) as client:
            return client.call(operation, request)

    def start(self) -> None:
        with (self.data_dir / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.python, "-m", "ambientd.daemon", "--data-dir", str(self.data_dir)],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def move(self) -> None:
        """Listen at a port of this run's own: the one that `join` found free is anybody's yet."""
        config = self.data_dir / "config.toml"
        found = re.compile(r'^(listen = "[^"]*:)\d+"', re.MULTILINE)
        text, count = found.subn(rf'\g<1>{fresh_port()}"', config.read_text("utf-8"))
        assert count == 1, text
        config.write_text(text, "utf-8")

    def status(self) -> Status | None:
        try:
            return self.ask(STATUS, GetStatus())
        except (AmbientError, OSError):
            return None

    def why_unready(self) -> str:
        """Give why it does not take part; nothing when it does."""
        try:
            self.ask(READY, GetReadiness())
        except (AmbientError, OSError) as error:
            return str(error)
        return ""

    def task(self, task_id: str) -> Task:
        return self.ask(TASK_SHOW, ShowTask(task=task_id))


class Cluster:
    """All nodes of one test."""

    def __init__(self, root: Path, members: int, plan: ClusterPlan | None = None) -> None:
        plan = plan or ClusterPlan(block_interval_ms=200)
        create_cluster(root, members, replace(plan, base_port=own_port()))
        self.root = root
        self.daemons = [Daemon(root / f"node{number}") for number in range(1, members + 1)]

    def start(self, count: int | None = None) -> None:
        """Start the first `count` daemons, or all, and wait until they have found each other."""
        started = self.daemons[:count]
        for daemon in started:
            daemon.start()
        for daemon in started:
            self.until(
                lambda d=daemon: self._is_ready(d, len(started) - 1),
                f"{daemon.data_dir.name} is ready",
            )

    def _is_ready(self, daemon: Daemon, peers: int) -> bool:
        assert daemon.process is not None
        assert daemon.process.poll() is None, f"{daemon.data_dir} ended at its start"
        status = daemon.status()
        return (
            status is not None
            and status.coordinator is not None
            and len(status.peers) >= peers
            and status.committed_height > 0
            and not daemon.why_unready()
        )

    def check_alive(self) -> None:
        """Fail with the last words of a daemon that has ended by itself."""
        for daemon in self.daemons:
            if daemon.process is not None and daemon.process.poll() is not None:
                log = (daemon.data_dir / "log").read_text(errors="replace")[-3000:]
                status = daemon.process.returncode
                raise AssertionError(f"{daemon.data_dir.name} ended with status {status}\n{log}")

    def by_id(self, node_id: str) -> Daemon:
        for daemon in self.daemons:
            status = daemon.status()
            if status is not None and status.node == node_id:
                return daemon
        raise AssertionError(f"no running daemon has the id {node_id}")

    def until(
        self, condition: Callable[[], T], what: str, deadline_s: float = READY_DEADLINE_S
    ) -> T:
        """Poll until the condition gives something; fail with the daemons' last words.

        What takes long to ask, as whatever starts a program, is asked a third of the time at most:
        the daemons need the processor more. What has come by the deadline is found.
        """
        end = time.monotonic() + deadline_s
        while True:
            asked = time.monotonic()
            found = condition()
            if found:
                return found
            if asked >= end:
                break
            answered = time.monotonic()
            time.sleep(max(0.0, min(max(POLL_S, 2 * (answered - asked)), end - answered)))
        tails = "\n".join(
            f"--- {d.data_dir.name}\n" + (d.data_dir / "log").read_text(errors="replace")[-1500:]
            for d in self.daemons
            if (d.data_dir / "log").exists()
        )
        raise AssertionError(f"not within {deadline_s} s: {what}\n{tails}")

    def stop(self) -> None:
        for daemon in self.daemons:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.terminate()
        for daemon in self.daemons:
            daemon.stop()
