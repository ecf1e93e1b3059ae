"""A node's disk: rows that survive crashes, and what may happen to them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from ambientd.errors import StoreError
from ambientd.ports.store import Delete, StoreTable, Write
from sim.node_store import Rows


class DiskFault(StoreError):  # noqa: N818  # what befell a disk
    """A disk that does not do its work; its node ends with this, as the daemon does."""

    def __init__(self, key: bytes, text: str, *, is_durable: bool = False) -> None:
        super().__init__(text)
        self.key = key
        self.is_durable = is_durable  # what was being written is there all the same


@dataclass(frozen=True, slots=True)
class DiskLost:
    """A node got an empty disk; what it has done before counts for nothing."""


class Unreliable(ABC):
    """What keeps what a node writes: it may be full, go bad, or be cut short amid a write."""

    def __init__(self, key: bytes) -> None:
        self.is_full = False
        self.syncs = 0
        self._key = key
        self._tears_in: int | None = None
        self._keeps_torn = False

    def tear_within(self, syncs: int, *, is_kept: bool) -> None:
        """Stop the node amid a later write, which is then there whole or not at all."""
        self._tears_in, self._keeps_torn = syncs, is_kept

    def calm(self) -> None:
        """Call off what is still to come."""
        self.is_full = False
        self._tears_in = None

    def take(self, write: Callable[[], None]) -> None:
        """Let a write be done whole or not at all; raise DiskFault where the node ends by it."""
        if self.is_full:
            raise DiskFault(self._key, "the disk is full: make room and start the node again")
        is_torn = self._tears_in == 0
        if self._tears_in is not None:
            self._tears_in = None if is_torn else self._tears_in - 1
        if not is_torn or self._keeps_torn:
            write()
            self.syncs += 1
        if is_torn:
            msg = "the node stopped amid a write"
            raise DiskFault(self._key, msg, is_durable=self._keeps_torn)

    @abstractmethod
    def rot(self, table: StoreTable, pick: int) -> bool:
        """Let something in a table go bad; False when there is nothing."""

    @property
    @abstractmethod
    def is_rotten(self) -> bool:
        """Tell whether something is bad."""


class Disk(Unreliable, Rows):
    """Rows in memory, with whatever may befall them."""

    def __init__(self, key: bytes) -> None:
        Unreliable.__init__(self, key)
        Rows.__init__(self)
        self._rotten: set[tuple[StoreTable, bytes]] = set()

    def rot(self, table: StoreTable, pick: int) -> bool:
        """Let one row of a table go bad; False when there is none."""
        keys = sorted(key for key, _ in super().scan(table))
        if not keys:
            return False
        self._rotten.add((table, keys[pick % len(keys)]))
        return True

    def forget(self, table: StoreTable) -> None:
        """Lose all rows of a table."""
        super().write([Delete(table, key) for key, _ in list(super().scan(table))])

    @property
    def is_rotten(self) -> bool:
        """Tell whether a row is bad."""
        return bool(self._rotten)

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes, or none; a row that is written anew is good again."""
        self.take(partial(self._write, batch))

    def _write(self, batch: Sequence[Write]) -> None:
        super().write(batch)
        self._rotten -= {(write.table, write.key) for write in batch}

    def get(self, table: StoreTable, key: bytes) -> bytes | None:
        """Give the value under a key, or None; never a wrong one."""
        self._check(table, key)
        return super().get(table, key)

    def scan(
        self,
        table: StoreTable,
        start: bytes = b"",
        end: bytes | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Walk the rows; stop with an error at the first that is bad."""
        for key, value in super().scan(table, start, end, limit, reverse=reverse):
            self._check(table, key)
            yield key, value

    def _check(self, table: StoreTable, key: bytes) -> None:
        if (table, key) in self._rotten:
            msg = f"row {key.hex()} of table {table} is not what was written: {RESTORE}"
            raise DiskFault(self._key, msg)


class LogDisk(Unreliable):
    """The disk under a log alone: its host keeps what is written, and reads all when it starts."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self._rotten: StoreTable | None = None

    def rot(self, table: StoreTable, pick: int) -> bool:
        """Let something go bad, if anything was written."""
        del pick
        self._rotten = table if self.syncs else None
        return self.is_rotten

    @property
    def is_rotten(self) -> bool:
        """Tell whether something is bad."""
        return self._rotten is not None

    def read(self) -> None:
        """Raise DiskFault where something is bad."""
        if self._rotten is not None:
            msg = f"a row of table {self._rotten} is not what was written: {RESTORE}"
            raise DiskFault(self._key, msg)


@runtime_checkable
class Keeper(Protocol):
    """A node whose disk may fail."""

    @property
    def disk(self) -> Unreliable:
        """Give its disk."""
        ...

    def lose_disk(self) -> None:
        """Get an empty disk; what its key signed is forgotten, so it must never vote again."""
        ...

    def lose_safety(self) -> None:
        """Lose what was voted for, and nothing else."""
        ...


RESTORE = "move the data directory away; its key never votes again"
