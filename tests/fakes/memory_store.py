"""A store in memory: the same contract as the real one, for cores, worlds and simulations."""

import bisect
from collections.abc import Iterator, Sequence

from ambientd.errors import StoreError
from ambientd.ports.store import Put, StoreTable, Write, checked


class MemoryStore:
    """Ordered tables in memory; `copy` stands for what a crashed node finds on its disk."""

    def __init__(self) -> None:
        self._tables: dict[StoreTable, dict[bytes, bytes]] = {table: {} for table in StoreTable}
        self._closed = False

    def _table(self, table: StoreTable) -> dict[bytes, bytes]:
        if self._closed:
            raise StoreError("the store in memory is closed")
        return self._tables[table]

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes in order, or none."""
        for write in checked(batch):
            rows = self._table(write.table)
            if isinstance(write, Put):
                rows[write.key] = write.value
            else:
                rows.pop(write.key, None)

    def get(self, table: StoreTable, key: bytes) -> bytes | None:
        """Give the value under a key, or None."""
        return self._table(table).get(key)

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
        rows = self._table(table)
        keys = sorted(rows)
        low = bisect.bisect_left(keys, start)
        high = len(keys) if end is None else bisect.bisect_left(keys, end)
        chosen = keys[low:high]
        if reverse:
            chosen.reverse()
        for key in chosen[:limit]:
            if key in rows:
                yield key, rows[key]

    def copy(self) -> "MemoryStore":
        """Give a store with the same rows."""
        twin = MemoryStore()
        twin._tables = {table: dict(rows) for table, rows in self._tables.items()}
        return twin

    def close(self) -> None:
        """Refuse all further use."""
        self._closed = True
