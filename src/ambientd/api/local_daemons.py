"""Daemons of one cluster on this machine: started, asked, and ended, each by its own pid."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.api.cluster import Founded, FoundedNode
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError

STOP_DEADLINE_S = 15.0
LOCAL_PORTS = range(20_000, 32_000, 80)
"""Where meshes for the time being look for ports of their own, a step each: below what systems
give to outgoing connections. A step has room for the largest committee."""

_PAUSE_S = 0.1
_TAIL_CHARS = 1_500


class DaemonsError(AmbientError):
    """Daemons that were started do not do what they were started for."""


class LocalDaemon(msgspec.Struct):
    """One node's folder and, while it runs, its process."""

    founded: FoundedNode
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """Give what the daemon prints."""
        return self.founded.data_dir / "daemon.log"

    def client(self) -> Client:
        """Give a fresh connection to its daemon."""
        data_dir = self.founded.data_dir
        return Client(socket_path_for(data_dir), data_dir)


class LocalDaemons:
    """All daemons of one cluster on this machine."""

    def __init__(self, founded: Founded) -> None:
        self.nodes = [LocalDaemon(node) for node in founded.nodes]
        self.names = {node.node.hex(): node.name for node in founded.nodes}
        self.liars = [node.node.hex() for node in founded.nodes if node.lies]
        self._leash: int | None = None

    def start(self) -> None:
        """Start one process a node, in a session of its own so that Ctrl-C reaches only us.

        Each ends when its standard input does: with us, even where we are killed.
        """
        theirs, self._leash = os.pipe()
        command = [sys.executable, "-m", "ambientd.daemon", "--with-stdin", "--data-dir"]
        try:
            for node in self.nodes:
                with node.log.open("ab") as log:
                    node.process = subprocess.Popen(
                        [*command, str(node.founded.data_dir)],
                        stdin=theirs,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
        finally:
            os.close(theirs)

    def wait_ready(self, deadline_s: float) -> replies.Status:
        """Wait until every node sees that all are there and take work; give the first's status."""
        end_s = time.monotonic() + deadline_s
        waiting = list(self.nodes)
        first: replies.Status | None = None
        while waiting:
            self.check_alive()
            status, lacks = self._look(waiting[0])
            if status is not None and not lacks:
                first = status if first is None else first
                waiting.pop(0)
                continue
            if time.monotonic() > end_s:
                name = waiting[0].founded.name
                msg = f"{name} is not ready after {deadline_s:g} s; it {lacks}"
                raise DaemonsError(msg)
            time.sleep(_PAUSE_S)
        if first is None:
            msg = "a mesh without nodes is never ready"
            raise DaemonsError(msg)
        return first

    def _look(self, node: LocalDaemon) -> tuple[replies.Status | None, str]:
        """Ask a node how it is; give its answer and what it lacks to be ready, if anything."""
        try:
            with node.client() as client:
                status = client.call(operations.STATUS, requests.GetStatus(), timeout_s=5.0)
                known = client.call(operations.NODES, requests.ListNodes(), timeout_s=5.0).nodes
        except AmbientError:
            return None, f"does not answer: {_last_words(node.log)}"
        if status.coordinator is None or len(status.peers) < len(self.nodes) - 1:
            sees = f"sees {len(status.peers)} peers, coordinator {status.coordinator or 'none'}"
            return status, sees
        idle = ", ".join(each.name for each in known if not each.accepting)
        return status, f"knows from the ledger that {idle} takes no work" if idle else ""

    def check_alive(self) -> None:
        """Raise DaemonsError with its last words when a daemon has ended."""
        for node in self.nodes:
            if node.process is not None and node.process.poll() is not None:
                msg = (
                    f"{node.founded.name} ended with status {node.process.returncode}: "
                    f"{_last_words(node.log)}"
                )
                raise DaemonsError(msg)

    def stop(self) -> bool:
        """End all daemons, gently first; tell whether none had to be killed."""
        running = [node.process for node in self.nodes if node.process is not None]
        for process in running:
            if process.poll() is None:
                process.terminate()
        end_s = time.monotonic() + STOP_DEADLINE_S
        gently = True
        for process in running:
            try:
                process.wait(max(0.0, end_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                gently = False
                # It is not reaped yet, so the pid still names its session and nothing else.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._leash is not None:
            os.close(self._leash)
            self._leash = None
        return gently


def _last_words(log: Path) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "it left no log"
    return " / ".join(text[-_TAIL_CHARS:].splitlines()[-4:]) or "it said nothing"
