"""A node's log in one file, and a copy of it wherever copies lie.

A backup holds how epochs ended, the committed blocks, and the certificates of the last one; that
of a compacted log begins with its oldest snapshot. It is taken while the daemon runs: committed
blocks and pages never change, so they are read a portion at a time between other work. It holds
no votes; what a restoration believes of it: `runtime.restoring`.
"""

from __future__ import annotations

import functools
import hashlib
import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import trio
from msgspec import Struct

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import tagged
from ambientd.consensus.messages import QuorumCertificate, block_hash
from ambientd.errors import DamagedError, RemoteProtocolError, StoreError, UsageError
from ambientd.ports.copies import CopyPlace, Taker
from ambientd.ports.store import Store, StoreTable, Writer
from ambientd.runtime.persistence import (
    HEAD_KEY,
    TELEMETRY_EPOCH_KEY,
    HeadRow,
    ends_of,
    index_key,
    snapshots_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import WriteableBuffer

MAGIC = b"ambient backup 3\n"
ROW_BYTES_MAX = 16 * 1024 * 1024
CHECK_BYTES = 16
PORTION = 64
COPIED_BYTES = 256 * 1024
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}


class Manifest(Struct, frozen=True, array_like=True):
    """What a backup says of itself, first."""

    cluster: bytes
    height: int
    root: bytes
    telemetry_epoch: int
    ends: int
    """How many epochs have ended; their proofs come first."""
    base: int
    """The block before the first one here, 0 for the genesis; else its snapshot comes next."""
    pages: int
    """How many pages of that snapshot follow it."""
    certificate: QuorumCertificate
    """Over the block after the last committed one, which ends the backup."""

    @property
    def rows(self) -> int:
        """Give how many rows there are, this one included."""
        snapshot = 1 + self.pages if self.base else 0
        return self.height - self.base + self.ends + 2 + snapshot


Told = Callable[[int, int], None]
"""Told of each portion: how many rows are done, of how many; in whatever thread does them."""


def nobody(_done: int, _total: int) -> None:
    """Tell nobody."""


Seal = Callable[[io.BufferedReader, Taker], None]
"""Writes what one file holds, sealed, into another; may take long."""


async def write_backup(
    writer: Writer,
    cluster: bytes,
    place: CopyPlace,
    name: str,
    seal: Seal | None = None,
    told: Told = nobody,
) -> tuple[Manifest, int]:
    """Write a copy of a name that is not taken, while the node goes on; give manifest and size.

    All of it but the reading happens in a thread of its own: a slow disk, or a share that hangs,
    holds nothing up, nor the daemon's end. What is to be sealed is so as it comes: it lies nowhere
    in the clear, for whoever keeps the copies is not to read it.
    """
    rows = _RowsAsFile(writer, cluster, told)

    def work() -> int:
        draft = place.begin(name)
        try:
            taking = _Taking(draft)
            try:
                if seal is None:
                    shutil.copyfileobj(rows, taking, COPIED_BYTES)
                else:
                    seal(io.BufferedReader(rows, COPIED_BYTES), taking)
            finally:
                # Whatever came of it: a sealer may have swallowed what lies behind.
                for fault in (taking.fault, rows.fault):
                    if fault is not None:
                        raise fault
            return draft.keep()
        finally:
            draft.drop()

    try:
        size_bytes = await trio.to_thread.run_sync(work, **_ABANDON)
    except OSError as error:
        msg = f"cannot write the backup {name} to {place.where}: {error.strerror or error}"
        raise StoreError(msg) from error
    finally:
        rows.is_over = True
    assert rows.manifest is not None, "the rows begin with it"
    return rows.manifest, size_bytes


class _Taking:
    """A draft that remembers why it took no more."""

    def __init__(self, draft: Taker) -> None:
        self._draft = draft
        self.fault: BaseException | None = None

    def write(self, data: bytes, /) -> int:
        try:
            return self._draft.write(bytes(data))
        except BaseException as error:
            self.fault = error
            raise

    def flush(self) -> None:
        self._draft.flush()


class _RowsAsFile(io.RawIOBase):
    """The rows of a backup as one file that a thread reads; the node is asked for each portion."""

    def __init__(self, writer: Writer, cluster: bytes, told: Told) -> None:
        self._pieces = self._written(writer, cluster, told)
        self._left = memoryview(b"")
        self.manifest: Manifest | None = None
        self.fault: BaseException | None = None
        self.is_over = False

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer, or a part of it; 0 at the end."""
        into = memoryview(buffer).cast("B")
        while not self._left:
            try:
                self._left = memoryview(next(self._pieces, b""))
            except BaseException as error:
                self.fault = error
                raise
            if not self._left:
                return 0
        size = min(len(into), len(self._left))
        into[:size], self._left = self._left[:size], self._left[size:]
        return size

    def _written(self, writer: Writer, cluster: bytes, told: Told) -> Iterator[bytes]:
        """Give manifest, rows and their digest."""
        call = functools.partial(trio.from_thread.run, writer.call)
        manifest, before, pages, child = call(lambda store: _head_of(store, cluster))
        self.manifest = manifest
        digest, number = hashlib.sha256(), 0

        def portions() -> Iterator[Sequence[bytes]]:
            yield (MAGIC + encode(manifest), *before)
            for first in range(0, len(pages), PORTION):
                yield call(functools.partial(_pages, digests=pages[first : first + PORTION]))
            for first in range(manifest.base + 1, manifest.height + 1, PORTION):
                last = min(first + PORTION, manifest.height + 1)
                yield call(functools.partial(_blocks, first=first, last=last))
            yield (child,)

        for portion in portions():
            for row in portion:
                yield _framed(digest, number, row)
                number += 1
            told(number, manifest.rows)
            if self.is_over:
                raise StoreError("the backup was broken off: the daemon is stopping")
        yield digest.digest()


def has_blocks(store: Store) -> bool:
    """Tell whether there is anything to copy."""
    return store.get(StoreTable.LOCAL, HEAD_KEY) is not None


def _head_of(
    store: Store, cluster: bytes
) -> tuple[Manifest, list[bytes], tuple[bytes, ...], bytes]:
    """Give the manifest, the rows after it, the snapshot's pages by digest, and the last row."""
    row = store.get(StoreTable.LOCAL, HEAD_KEY)
    if row is None:
        msg = "there is nothing to back up: no block is committed yet"
        raise UsageError(msg)
    kept: HeadRow = decode(row, HeadRow)
    head, root, _, _ = kept
    epoch_row = store.get(StoreTable.LOCAL, TELEMETRY_EPOCH_KEY)
    epoch = 0 if epoch_row is None else decode(epoch_row, int)
    child = store.get(StoreTable.BLOCK, block_hash(head.child))
    if child is None:
        msg = f"the block after the committed block {head.index} is not there yet: try again"
        raise StoreError(msg)
    before = [encode(end) for end in ends_of(store)]
    ends = len(before)
    is_whole = store.get(StoreTable.COMMITTED, index_key(1)) is not None
    base = None if is_whole else next(iter(snapshots_of(store)), None)
    pages = () if base is None else tuple(digest for _, digest in base.pages)
    if base is not None:
        before.append(encode(base))
    manifest = Manifest(
        cluster,
        head.index,
        root,
        epoch,
        ends,
        0 if base is None else base.index,
        len(pages),
        head.child_qc,
    )
    return manifest, before, pages, child


def _pages(store: Store, digests: Sequence[bytes]) -> list[bytes]:
    rows = [store.get(StoreTable.PAGE, digest) for digest in digests]
    found = [row for row in rows if row is not None]
    if len(found) < len(digests):
        raise StoreError("of the snapshot some pages are gone by now: try again")
    return found


def _blocks(store: Store, first: int, last: int) -> list[bytes]:
    rows = [row for _, row in store.scan(StoreTable.COMMITTED, index_key(first), index_key(last))]
    if len(rows) != last - first:
        msg = f"of the committed blocks {first} to {last - 1} some are gone by now: try again"
        raise StoreError(msg)
    return rows


def _check(number: int, row: bytes) -> bytes:
    return tagged("ambient/backup-row/1", number.to_bytes(8, "big"), row)[:CHECK_BYTES]


def _framed(digest: hashlib._Hash, number: int, row: bytes) -> bytes:
    framed = b"".join((len(row).to_bytes(4, "big"), _check(number, row), row))
    digest.update(framed)
    return framed


def read_rows(path: Path, told: Told = nobody) -> Iterator[bytes]:
    """Give the manifest's row, then each block's; raise DamagedError naming the first bad one."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        begin = file.read(4 + CHECK_BYTES + len(MAGIC))[4 + CHECK_BYTES :]
        if not MAGIC.startswith(begin):
            raise _no_backup(path)
        file.seek(0)
        number, left, total = 0, 1, 1
        while left:
            head = file.read(4 + CHECK_BYTES)
            size = int.from_bytes(head[:4], "big")
            row = file.read(size) if size <= ROW_BYTES_MAX else b""
            if len(head) < 4 + CHECK_BYTES or len(row) < size or not row:
                msg = f"{path} ends within its row {number}: take the backup again"
                raise DamagedError(msg)
            if head[4:] != _check(number, row):
                msg = f"row {number} of {path} is damaged: use another backup"
                raise DamagedError(msg)
            digest.update(head)
            digest.update(row)
            if number == 0:
                manifest = read_manifest(row, path)
                left = total = manifest.rows
            yield row
            number, left = number + 1, left - 1
            told(number, total)
        if file.read() != digest.digest():
            msg = f"the end of {path} is damaged: use another backup"
            raise DamagedError(msg)


def read_manifest(row: bytes, path: Path) -> Manifest:
    """Read the first row; raise DamagedError when it is no backup's."""
    try:
        if row.startswith(MAGIC):
            return decode(row[len(MAGIC) :], Manifest)
    except RemoteProtocolError:
        pass
    raise _no_backup(path)


def _no_backup(path: Path) -> DamagedError:
    return DamagedError(f"{path} is no backup that this version can read")
