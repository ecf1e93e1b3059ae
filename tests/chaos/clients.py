"""People who go on asking while things go wrong, and somebody who looks who leads."""

import itertools
import threading
import time
from functools import partial

from ambientd.api.client import Client
from ambientd.api.operations import STATUS, TASK_SUBMIT
from ambientd.api.requests import GetStatus, SubmitTask
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError
from tests.chaos.history import History
from tests.chaos.mesh import ChaosMesh
from tests.mesh.cluster import Daemon
from tests.modules.compiled import module

PATIENCE_S = 4.0
ASSURANCES = ("none", "replicated")


def request_of(nonce: bytes) -> SubmitTask:
    """Give the one task that a nonce stands for: its input is the nonce."""
    assurance = ASSURANCES[nonce[-1] % 2]
    return SubmitTask(
        module=module("echo"), input=nonce, nonce=nonce, gas_max=10**6, assurance=assurance
    )


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
        homes = mesh.daemons[::step][:clients]
        askers = [partial(self._ask_on, number, home) for number, home in enumerate(homes)]
        watchers = [partial(self._look, daemon) for daemon in mesh.daemons]
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
            with Client(socket_path_for(home.data_dir)) as client:
                said = client.call(TASK_SUBMIT, request_of(nonce), patience_s)
        except (AmbientError, OSError):
            self._history.miss(nonce)
            return False
        waited_s = time.monotonic() - begin
        self._history.acknowledge(said.task_id, nonce, waited_s, was_known=said.known)
        return True

    def _ask_on(self, number: int, home: Daemon) -> None:
        for count in itertools.count():
            if self._ended.wait(self._every_s):
                return
            self.ask(home, b"client %d question %d " % (number, count) + bytes([count % 256]))

    def _look(self, daemon: Daemon) -> None:
        while not self._ended.wait(0.5):
            try:
                with Client(socket_path_for(daemon.data_dir)) as client:
                    status = client.call(STATUS, GetStatus(), 1.0)
            except (AmbientError, OSError):
                continue
            self._history.see(status.epoch, status.term, status.coordinator)
