"""How the daemons of `benchmarks.in_flight` are meanwhile: memory, patience, and the log's beat."""

import threading
import time
from pathlib import Path

import psutil

from ambientd.api.client import Client
from ambientd.api.operations import STATUS
from ambientd.api.requests import GetStatus
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError
from benchmarks.in_flight_ledger import Book
from benchmarks.mesh import percentile

SAMPLE_S = 1.0
MIB = 1024 * 1024


class Watch:
    """Looks at each daemon every second, until it is closed."""

    def __init__(self, pids: dict[Path, int], book: Book) -> None:
        self._pids = pids
        self._book = book
        self.open_least = book.open()
        self.faults: list[str] = []
        self._answers_ms: list[float] = []
        self._silent_ms: list[int] = []
        self._terms: set[int] = set()
        self._sizes: dict[str, list[float]] = {node.name: [] for node in pids}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._closed.set()
        self._thread.join(60)
        if not self._answers_ms:
            self.faults.append("no daemon said how it is")

    def _run(self) -> None:
        clients = {node: Client(socket_path_for(node)) for node in self._pids}
        while not self._closed.wait(SAMPLE_S):
            self.open_least = min(self.open_least, self._book.open())
            for node, client in clients.items():
                memory = psutil.Process(self._pids[node]).memory_info()
                self._sizes[node.name].append(memory.rss / MIB)
                begin = time.perf_counter()
                try:
                    status = client.call(STATUS, GetStatus())
                except AmbientError as error:
                    self.faults.append(f"{node.name} did not say how it is: {error}")
                    continue
                self._answers_ms.append(1000 * (time.perf_counter() - begin))
                self._silent_ms.append(status.silent_ms)
                self._terms.add(status.term)
        for client in clients.values():
            client.close()

    def tell(self) -> None:
        """Print what was seen."""
        print(f"  open at any moment: {self.open_least} at least; refused: {self._refused()}")
        for name, each in (("answer to `status`", self._answers_ms), ("log", self._silent_ms)):
            if each:
                middle, late = percentile(list(each), 0.5), percentile(list(each), 0.99)
                what = "silent for" if name == "log" else "after"
                print(f"  {name} {what} p50 {middle:.0f}, p99 {late:.0f}, most {max(each):.0f} ms")
        print(f"  terms of the log: {len(self._terms)} ({len(self._terms) - 1} given up)")
        for name, sizes in self._sizes.items():
            if sizes:
                print(
                    f"  {name}: resident set {sizes[0]:.1f} MiB first, {sizes[-1]:.1f} last, "
                    f"{max(sizes):.1f} most"
                )

    def _refused(self) -> str:
        refused = self._book.refused
        return f"{len(refused)}, the first: {refused[0]}" if refused else "none"
