"""Brings every accepted telemetry batch to disk, where the config wants that."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
import trio

from ambientd.codec.canonical import encode
from ambientd.errors import StoreError
from ambientd.model.base import NodeId
from ambientd.model.telemetry import TelemetryBatch

log = structlog.get_logger("ambientd.telemetry")

SYNC_S = 1.0
EACH_MS = 62
"""So often a member's batches are kept in the long run, 16 a second; a node of its own accord says
one in ten seconds."""

AHEAD_MAX = 256
"""So many may come at once."""

MEMBERS_MAX = 4_096


class Journal(Protocol):
    """Where batches go: `adapters.batch_journal.BatchJournal`."""

    is_dirty: bool
    """Whether something was added that may not be on disk yet."""

    def append(self, time_ms: int, data: bytes) -> None:
        """Add a batch; raise StoreError when the disk refuses."""
        ...

    def sync(self) -> None:
        """Force to disk what was added; raise OSError when the disk refuses."""
        ...

    def close(self) -> None:
        """Force everything to disk, and end; raise OSError when the disk refuses."""
        ...


class TelemetryJournal:
    """Keeps batches as they come; what cannot be kept is counted and said, and nothing waits."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._is_open = True
        self._due_ms: dict[NodeId, int] = {}
        self.lost = 0
        self.flooded = 0

    def note(self, batch: TelemetryBatch, now: int) -> None:
        """Hand a batch over; once this node stops, nothing is kept."""
        if not self._is_open or not self._is_in_time(batch.node, now):
            return
        try:
            self._journal.append(now, encode(batch))
        except StoreError as error:
            self.lost += 1
            if self.lost.bit_count() == 1:  # 1, 2, 4, 8, ...
                log.error("TELEMETRY IS LOST", times=self.lost, reason=str(error))

    def _is_in_time(self, node: NodeId, now: int) -> bool:
        """Take a member's turn: one that says more than it may pushes nobody else's word out."""
        # A clock that went back puts nobody off for longer than a flood does.
        latest_ms = now + (AHEAD_MAX + 1) * EACH_MS
        due_ms = min(max(self._due_ms.pop(node, now), now), latest_ms)
        if due_ms - now >= AHEAD_MAX * EACH_MS:
            self._due_ms[node] = due_ms
            self.flooded += 1
            if self.flooded.bit_count() == 1:
                log.warning("a member says more than is kept", node=node.hex(), times=self.flooded)
            return False
        while len(self._due_ms) >= MEMBERS_MAX:
            del self._due_ms[next(iter(self._due_ms))]  # who has said nothing for longest
        self._due_ms[node] = due_ms + EACH_MS
        return True

    async def run(self) -> None:
        """Bring batches to disk within a second or so, until cancelled."""
        try:
            while True:
                await trio.sleep(SYNC_S)
                if self._journal.is_dirty:
                    await self._sync()
        finally:
            self._is_open = False
            with _telling():
                self._journal.close()

    async def _sync(self) -> None:
        with _telling():
            await trio.to_thread.run_sync(self._journal.sync)


@contextmanager
def _telling() -> Iterator[None]:
    """Say that a disk refuses, which ends no node."""
    try:
        yield
    except OSError as error:
        log.error("TELEMETRY MAY BE LOST", reason=error.strerror)
