"""What a crash leaves of a whole node: the rows that it wrote, in memory."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from ambientd.ports.store import Put, Store, StoreTable, Write
from ambientd.runtime.persistence import StoredBlocks

if TYPE_CHECKING:
    from ambientd.ports.store import Writer

T = TypeVar("T")


class Rows:
    """A store in memory; a batch is written whole or not at all."""

    def __init__(self) -> None:
        self._tables: dict[StoreTable, dict[bytes, bytes]] = {table: {} for table in StoreTable}

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes in order."""
        for write in batch:
            if isinstance(write, Put):
                self._tables[write.table][write.key] = write.value
            else:
                self._tables[write.table].pop(write.key, None)

    def get(self, table: StoreTable, key: bytes) -> bytes | None:
        """Give the value under a key, or None."""
        return self._tables[table].get(key)

    def scan(
        self,
        table: StoreTable,
        start: bytes = b"",
        end: bytes | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Walk the rows with `start` <= key < `end` in key order, or backwards."""
        rows = self._tables[table]
        keys = sorted(rows)
        keys = keys[bisect_left(keys, start) : None if end is None else bisect_left(keys, end)]
        for key in (keys[::-1] if reverse else keys)[:limit]:
            yield key, rows[key]

    def close(self) -> None:
        """Nothing is open."""


class CommittedRows:
    """Gives a store's committed blocks the way the daemon reads them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def blocks(self) -> StoredBlocks:
        """Give the source that peers that lag are served from."""
        return StoredBlocks(cast("Writer", self))

    def read_now(self, look_up: Callable[[Store], T]) -> T:
        """Look something up at once."""
        return look_up(self._store)
