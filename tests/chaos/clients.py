"""People who go on asking while things go wrong, and somebody who looks who leads."""

import contextlib
import itertools
import threading
import time
from functools import partial
from pathlib import Path

from ambientd.api.client import Client
from ambientd.api.operations import OWNER_SHOW, PING, STATUS, TASK_SUBMIT
from ambientd.api.owner_values import ShowOwner
from ambientd.api.requests import GetStatus, Ping, SubmitTask
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError
from tests.chaos.history import History, Islander
from tests.chaos.mesh import ChaosMesh, Island
from tests.mesh.cluster import Daemon
from tests.modules.compiled import module

PATIENCE_S = 4.0
BEGUN_MS = 2_000
ASSURANCES = ("none", "replicated")


def request_of(nonce: bytes) -> SubmitTask:
    """Give the one task that a nonce stands for: its input is the nonce."""
    assurance = ASSURANCES[nonce[-1] % 2]
    return SubmitTask(
        module=module("echo"), input=nonce, nonce=nonce, gas_max=10**6, assurance=assurance
    )


def _socket(daemon: Daemon) -> Path:
    return socket_path_for(daemon.data_dir)


class Clients:
    """One thread a client, each at a node of its own, and one a node that looks at it."""

    def __init__(self, mesh: ChaosMesh, history: History, clients: int, every_s: float) -> None:
        self._mesh = mesh
        self._history = history
        self._every_s = every_s
        self._ended = threading.Event()
        self.home: dict[bytes, Daemon] = {}
        """Where a nonce was asked for."""
        step = max(1, len(mesh.daemons) // clients)
        self.homes = homes = mesh.daemons[::step][:clients]
        askers = [partial(self._ask_on, number, home) for number, home in enumerate(homes)]
        watchers = [partial(self._look, *numbered) for numbered in enumerate(mesh.daemons)]
        self._threads = [threading.Thread(target=work) for work in (*askers, *watchers)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let all of them end."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def ask(self, home: Daemon, nonce: bytes, patience_s: float = PATIENCE_S) -> bool:
        """Ask for a task and note what came of it."""
        self.home[nonce] = home
        begin = time.monotonic()
        try:
            with Client(_socket(home)) as client:
                said = client.call(TASK_SUBMIT, request_of(nonce), patience_s)
        except (AmbientError, OSError):
            self._history.miss(nonce)
            return False
        waited_s = time.monotonic() - begin
        self._history.acknowledge(said.task_id, nonce, waited_s, was_known=said.known)
        return True

    def strand(self, home: Daemon, nonce: bytes) -> None:
        """Ask for a task where nobody can take it, and go away."""
        with contextlib.suppress(AmbientError, OSError), Client(_socket(home)) as client:
            client.call(TASK_SUBMIT, request_of(nonce), PATIENCE_S)

    def stranded(self, task: str) -> None:
        """Note a task that waits at a node that is alone."""
        self._history.strand(task)

    def _ask_on(self, number: int, home: Daemon) -> None:
        for count in itertools.count():
            if self._ended.wait(self._every_s):
                return
            self.ask(home, b"client %d question %d " % (number, count) + bytes([count % 256]))

    def _look(self, number: int, daemon: Daemon) -> None:
        while not self._ended.wait(0.5):
            island = self._mesh.island
            try:
                with Client(_socket(daemon)) as client:
                    status = client.call(STATUS, GetStatus(), 1.0)
                    self._history.see(status.epoch, status.term, status.coordinator)
                    if island is not None and number in island.members:
                        self._look_at(daemon, island, client)
            except (AmbientError, OSError):
                continue

    def _look_at(self, daemon: Daemon, island: Island, client: Client) -> None:
        """Note how a node that is cut off stands, unless its ledger moves meanwhile."""
        process = daemon.process
        # In this order, a block that is late to be told seems older, never younger.
        now_ms = client.call(PING, Ping(), 1.0).now_ms
        before = client.call(STATUS, GetStatus(), 1.0)
        in_hand = client.call(OWNER_SHOW, ShowOwner(), 1.0).running
        after = client.call(STATUS, GetStatus(), 1.0)
        is_same = before.committed_height == after.committed_height and process is daemon.process
        # One that has just begun takes up again what its ledger says that it owes.
        if is_same and before.uptime_ms > BEGUN_MS and self._mesh.island is island:
            made_ms = now_ms - before.silent_ms - island.since_ms
            seen = Islander(before.committed_height, made_ms, in_hand, before.balance_msat)
            name = f"{daemon.data_dir.name}, process {process and process.pid}"
            self._history.see_island(island.name, name, seen)
