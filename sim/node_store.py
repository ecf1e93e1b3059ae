"""What a crash leaves of a whole node: the rows that it wrote, in memory."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from ambientd.codec.canonical import decode
from ambientd.consensus.effects import CommittedBlock
from ambientd.consensus.messages import Append
from ambientd.ports.store import Put, Store, StoreTable, Write
from ambientd.runtime.persistence import index_key


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
    """Serves the committed blocks of a store to peers that lag (a `BlockSource`)."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def committed(self, first: int, count: int) -> Sequence[Append]:
        """Give up to `count` consecutive blocks from index `first`; fewer at the end."""
        blocks: list[Append] = []
        for index in range(first, first + count):
            row = self._store.get(StoreTable.COMMITTED, index_key(index))
            if row is None:
                break
            blocks.append(decode(row, CommittedBlock).block)
        return blocks
