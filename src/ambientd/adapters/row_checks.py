"""What every store on disk keeps beside its rows, so that damage is found and named.

A row has a checksum over its table, key and value. A table has a count of its rows and the sum of
their checksums, changed in the same transaction: a row that is lost or doubled is found too.
"""

from dataclasses import dataclass

from ambientd.codec.digest import tagged
from ambientd.ports.store import StoreTable

CHECK_BYTES = 16
RESTORE = (
    "while no daemon runs on it, move the store away and make a new one with `ambientctl backup "
    "restore FILE`, or move the whole data directory away and join again as a new node (a key "
    "whose safety records are lost must never vote again)"
)


def row_check(table: StoreTable, key: bytes, value: bytes) -> bytes:
    """Give the checksum a row is stored with."""
    return tagged("ambient/store-row/1", table.encode(), key, value)[:CHECK_BYTES]


@dataclass(slots=True)
class Tally:
    """How many rows a table has, and the sum of their checksums."""

    rows: int = 0
    total: int = 0

    def add(self, check: bytes) -> None:
        """Count a row in."""
        self.rows += 1
        self.total = (self.total + int.from_bytes(check, "big")) % (1 << 8 * CHECK_BYTES)

    def remove(self, check: bytes) -> None:
        """Count a row out."""
        self.rows -= 1
        self.total = (self.total - int.from_bytes(check, "big")) % (1 << 8 * CHECK_BYTES)

    def check(self, table: StoreTable) -> bytes:
        """Give the checksum that the tally itself is stored with."""
        rows, total = self.rows.to_bytes(8, "big"), self.total.to_bytes(CHECK_BYTES, "big")
        return tagged("ambient/store-tally/1", table.encode(), rows, total)[:CHECK_BYTES]
