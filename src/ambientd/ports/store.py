"""What a node keeps: ordered tables of byte strings, and blobs named by their hash.

A store is synchronous and used by one thread at a time; `runtime.store_writer` brings it to
coroutines. Nothing is ever half written: a batch is one atomic, durable transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Protocol, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")

KEY_BYTES_MAX = 512
VALUE_BYTES_MAX = 16 * 1024 * 1024

OPEN_FILES_MAX = 64
"""A store has no more files with its tables open at a time; its logs come on top."""


class StoreTable(StrEnum):
    """Every table there is; a new one is added here and nowhere else."""

    SAFETY = "safety"
    BLOCK = "block"
    COMMITTED = "committed"
    LEDGER = "ledger"
    PAGE = "page"
    LEAF = "leaf"
    TASK_INDEX = "task_index"
    BLOB_META = "blob_meta"
    NOTE = "note"
    ANCHOR = "anchor"
    HEADER = "header"
    OBSERVATION = "observation"
    LOCAL = "local"


class Put(msgspec.Struct, frozen=True):
    """Insert a row, or replace the one with this key."""

    table: StoreTable
    key: bytes
    value: bytes


class Delete(msgspec.Struct, frozen=True):
    """Remove a row; removing a row that is not there is no error."""

    table: StoreTable
    key: bytes


Write: TypeAlias = Put | Delete


class Store(Protocol):
    """Ordered tables of byte strings; every error is a StoreError fit for a person."""

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes in order, or none; they survive a power cut once this returns."""
        ...

    def get(self, table: StoreTable, key: bytes) -> bytes | None:
        """Give the value under a key, or None when there is none."""
        ...

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
        ...

    def close(self) -> None:
        """Release the store; closing twice is no error."""
        ...


class Writer(Protocol):
    """A store for coroutines; batches are applied in the order in which `write` was called."""

    async def write(self, batch: Sequence[Write]) -> None:
        """Return when the whole batch is durable; raise StoreError when nothing of it is."""
        ...

    async def call(self, action: Callable[[Store], T]) -> T:
        """Run a function with the store, after all writes called before; for reads."""
        ...

    def read_now(self, action: Callable[[Store], T]) -> T:
        """Run a short look-up at once, between two transactions."""
        ...


class BlobStore(Protocol):
    """Byte strings named by their SHA-256: modules, inputs and outputs."""

    def put(self, data: bytes) -> bytes:
        """Keep a blob durably and give its name; keeping it twice is no error."""
        ...

    def get(self, name: bytes) -> bytes | None:
        """Give the bytes with this hash, or None; wrong bytes are never given."""
        ...

    def has(self, name: bytes) -> bool:
        """Tell whether a blob of this name is kept, without reading it."""
        ...

    def delete(self, name: bytes) -> None:
        """Forget a blob; forgetting an unknown one is no error."""
        ...


def checked(batch: Sequence[Write]) -> Sequence[Write]:
    """Give the batch back, or raise ValueError when a key or a value is out of bounds."""
    for write in batch:
        if not 0 < len(write.key) <= KEY_BYTES_MAX:
            msg = f"a key of table {write.table} has {len(write.key)} bytes, not 1..{KEY_BYTES_MAX}"
            raise ValueError(msg)
        if isinstance(write, Put) and len(write.value) > VALUE_BYTES_MAX:
            msg = (
                f"the value of {write.table} {write.key.hex()} has {len(write.value)} bytes, "
                f"at most {VALUE_BYTES_MAX} are kept in a row; keep it as a blob"
            )
            raise ValueError(msg)
    return batch
