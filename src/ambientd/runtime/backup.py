"""A node's log in one file, and a store made of it again, as of its end or as of a height.

A backup holds how epochs ended, the committed blocks, and the certificates of the last one; that
of a compacted log begins with its oldest snapshot. It is taken while the daemon runs: committed
blocks never change, so they are read a portion at a time between other work. A restoration does
not trust rows: it links every block to the one before, runs it through the ledger, compares each
state root that the members certified, and checks the proofs of the snapshot and the epochs and
the last certificate.

A backup holds no votes. Whoever restores one may have voted since, so the key behind it follows
the log from then on and never votes again (`Places.voted_mark`).
"""

import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import trio
from msgspec import Struct

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import tagged
from ambientd.codec.state_pages import decode_page
from ambientd.codec.statements import fingerprint
from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.block_tree import BlockTree, derive
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.effects import Committed, CommittedBlock, SnapshotFetched
from ambientd.consensus.epochs import Epoch, end_fault, next_options, verify_epoch_chain
from ambientd.consensus.judging import root_due
from ambientd.consensus.messages import (
    Append,
    EpochEnd,
    QuorumCertificate,
    Snapshot,
    block_hash,
    records_root,
)
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.safety import SafetyRules
from ambientd.consensus.snapshots import snapshot_fault
from ambientd.errors import (
    AmbientError,
    DamagedError,
    RemoteProtocolError,
    StoreError,
    UsageError,
)
from ambientd.ledger.apply import apply_block, decode_record
from ambientd.ledger.draft import BlockContext
from ambientd.ledger.entries import Entry, Key
from ambientd.ledger.state import LedgerState, first_epoch
from ambientd.model.base import NodeId
from ambientd.model.genesis import FIRST_EPOCH, Genesis
from ambientd.node.compaction import PersistSnapshot
from ambientd.node.effect import PersistLedger
from ambientd.node.installing import beacons_of, changes, pages_of, state_of
from ambientd.node.stops import fraud_judge, options_of, read_stop
from ambientd.ports.store import Put, Store, StoreTable, Write, Writer
from ambientd.runtime.persistence import (
    HEAD_KEY,
    TELEMETRY_EPOCH_KEY,
    HeadRow,
    ends_of,
    index_key,
    snapshots_of,
    writes_of,
)

MAGIC = b"ambient backup 3\n"
ROW_BYTES_MAX = 16 * 1024 * 1024
CHECK_BYTES = 16
PORTION = 64
TELEMETRY_EPOCHS_AHEAD = 1_000_000
"""More starts than a node has between a backup and its loss: no epoch may be used twice."""


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


@dataclass(frozen=True, slots=True)
class Restored:
    """How far a restoration came."""

    height: int
    root: bytes
    of_height: int


Seal = Callable[[BinaryIO, BinaryIO], None]
"""Writes what one file holds, sealed, into another; may take long."""


async def write_backup(
    writer: Writer, cluster: bytes, path: Path, seal: Seal | None = None
) -> tuple[Manifest, int]:
    """Write a new file, mode 0600, while the store goes on; give its manifest and size.

    What is to be sealed is so as it comes: it lies nowhere in the clear, for whoever keeps the
    folder of the copies is not to read it.
    """
    draft = path.with_name(path.name + ".new")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            if seal is None:
                manifest = await _write_rows(writer, cluster, file)
            else:
                manifest = await _write_sealed(writer, cluster, file, seal)
            file.flush()
            size_bytes = file.tell()
            await trio.to_thread.run_sync(os.fsync, file.fileno())
        # A link, unlike a renaming, never replaces what is there.
        os.link(draft, path)
    except FileExistsError as error:
        msg = f"{path} exists already and is not overwritten: name another file"
        raise UsageError(msg) from error
    except OSError as error:
        msg = f"cannot write the backup {path}: {error.strerror}; name a folder with room"
        raise StoreError(msg) from error
    finally:
        draft.unlink(missing_ok=True)
    return manifest, size_bytes


async def _write_sealed(writer: Writer, cluster: bytes, file: BinaryIO, seal: Seal) -> Manifest:
    """Write the rows into a pipe whose other end is sealed in a thread of its own."""
    outlet, inlet = os.pipe()
    clear, rows = os.fdopen(outlet, "rb"), os.fdopen(inlet, "wb")
    sealing_fault: AmbientError | OSError | None = None
    fault: AmbientError | OSError | None = None
    manifest: Manifest | None = None

    def drain() -> None:
        with clear:
            seal(clear, file)

    async def sealing() -> None:
        nonlocal sealing_fault
        try:
            await trio.to_thread.run_sync(drain)
        except (AmbientError, OSError) as error:
            sealing_fault = error

    async with trio.open_nursery() as nursery:
        nursery.start_soon(sealing)
        try:
            with rows:
                manifest = await _write_rows(writer, cluster, rows)
        except (AmbientError, OSError) as error:
            fault = error
    clear.close()  # if it was cancelled before the thread began
    # Where the sealing broke off, the rows break off because of it.
    if (broken := sealing_fault or fault) is not None:
        raise broken
    assert manifest is not None, "nothing went wrong"
    return manifest


async def _write_rows(writer: Writer, cluster: bytes, file: BinaryIO) -> Manifest:
    """Write manifest, rows and their digest."""
    manifest, before, child = await writer.call(lambda store: _head_of(store, cluster))
    digest = hashlib.sha256()
    _write_row(file, digest, 0, MAGIC + encode(manifest))
    for number, row in enumerate(before, 1):
        _write_row(file, digest, number, row)
    written = 1 + len(before)
    for first in range(manifest.base + 1, manifest.height + 1, PORTION):
        last = min(first + PORTION, manifest.height + 1)
        rows = await writer.call(functools.partial(_blocks, first=first, last=last))
        for number, row in enumerate(rows, written):
            _write_row(file, digest, number, row)
        written += len(rows)
    _write_row(file, digest, written, child)
    file.write(digest.digest())
    return manifest


def _head_of(store: Store, cluster: bytes) -> tuple[Manifest, list[bytes], bytes]:
    """Give the manifest, the rows before the blocks, and the one after them."""
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
    if base is not None:
        before += [encode(base), *(_page(store, digest) for _, digest in base.pages)]
    manifest = Manifest(
        cluster,
        head.index,
        root,
        epoch,
        ends,
        0 if base is None else base.index,
        0 if base is None else len(base.pages),
        head.child_qc,
    )
    return manifest, before, child


def _page(store: Store, digest: bytes) -> bytes:
    page = store.get(StoreTable.PAGE, digest)
    if page is None:
        msg = f"the page {digest.hex()} of the snapshot is missing"
        raise StoreError(msg)
    return page


def _blocks(store: Store, first: int, last: int) -> list[bytes]:
    rows = [row for _, row in store.scan(StoreTable.COMMITTED, index_key(first), index_key(last))]
    if len(rows) != last - first:
        msg = f"of the committed blocks {first} to {last - 1} some are gone by now: try again"
        raise StoreError(msg)
    return rows


def _check(number: int, row: bytes) -> bytes:
    return tagged("ambient/backup-row/1", number.to_bytes(8, "big"), row)[:CHECK_BYTES]


def _write_row(file: BinaryIO, digest: "hashlib._Hash", number: int, row: bytes) -> None:
    for part in (len(row).to_bytes(4, "big"), _check(number, row), row):
        file.write(part)
        digest.update(part)


def read_rows(path: Path) -> Iterator[bytes]:
    """Give the manifest's row, then each block's; raise DamagedError naming the first bad one."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        begin = file.read(4 + CHECK_BYTES + len(MAGIC))[4 + CHECK_BYTES :]
        if not MAGIC.startswith(begin):
            raise _no_backup(path)
        file.seek(0)
        number, left = 0, 1
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
                left = manifest.height - manifest.base + manifest.ends + 2
                left += 1 + manifest.pages if manifest.base else 0
            yield row
            number, left = number + 1, left - 1
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


def restore(path: Path, store: Store, genesis: Genesis, height: int | None = None) -> Restored:
    """Fill an empty store with what leads up to a height, or to the end; all of it is checked.

    Blocks that were committed together come together: the height reached may be a little lower.
    """
    if store.get(StoreTable.LOCAL, HEAD_KEY) is not None:
        msg = "the store to restore into is not empty"
        raise UsageError(msg)
    rows = read_rows(path)
    manifest = read_manifest(next(rows), path)
    if manifest.cluster != fingerprint(genesis):
        msg = f"{path} is of another cluster: {manifest.cluster.hex()}"
        raise UsageError(msg)
    if height is not None and not manifest.base <= height <= manifest.height:
        msg = (
            f"{path} reaches from block {manifest.base} to {manifest.height}, and not to "
            f"{height}: use {'an older' if height < manifest.base else 'a newer'} backup"
        )
        raise UsageError(msg)
    epoch = encode(manifest.telemetry_epoch + TELEMETRY_EPOCHS_AHEAD)
    store.write([Put(StoreTable.LOCAL, TELEMETRY_EPOCH_KEY, epoch)])
    replay = _Replay(genesis, store)
    try:
        replay.ends = [decode(next(rows), EpochEnd) for _ in range(manifest.ends)]
        if manifest.base:
            snapshot: Snapshot = decode(next(rows), Snapshot)
            replay.begin_at(snapshot, tuple(next(rows) for _ in range(manifest.pages)))
        for row in rows:
            append: Append = decode(row, Append)
            if not replay.take(append, height):
                break
        else:
            replay.certify(manifest.certificate, height)
    except RemoteProtocolError as error:
        msg = f"{path}: block {replay.ledger.applied_index + 1}: {error}; use another backup"
        raise DamagedError(msg) from error
    reached = replay.ledger
    if height is None and (reached.applied_index, reached.root) != (manifest.height, manifest.root):
        msg = f"{path}: its blocks do not lead to the state it names; use another backup"
        raise DamagedError(msg)
    return Restored(reached.applied_index, reached.root, manifest.height)


class _Replay:
    """Blocks in order, each linked to the one before it and run through the ledger."""

    def __init__(self, genesis: Genesis, store: Store) -> None:
        self.ledger = LedgerState.from_genesis(genesis)
        self.ends: list[EpochEnd] = []
        self._store = store
        self._judge = fraud_judge(self.ledger)
        self._roots = {0: self.ledger.root}
        self._base = 0
        first = first_epoch(genesis)
        options = options_of(first, self.ledger.cluster, first.members[0])
        self._begin(options, None, tuple(BeaconLink(tip, 0) for tip in options.beacon_tips))

    def _begin(
        self,
        options: ConsensusOptions,
        head: CommittedBlock | None,
        beacons: tuple[BeaconLink, ...],
    ) -> None:
        committee = Committee(options.members, options.seed)
        self._options = options
        self._verifier = Verifier(options, committee)
        self._tree = BlockTree(committee, options.root, head, beacons, read_stop)

    def begin_at(self, snapshot: Snapshot, pages: tuple[bytes, ...]) -> None:
        """Begin with the state after a block, which a snapshot proves, instead of the genesis."""
        ends = tuple(self.ends[: snapshot.epoch - FIRST_EPOCH])
        options = verify_epoch_chain(self._options, ends, read_stop)
        fault = options if isinstance(options, str) else None
        if not isinstance(options, str):
            fault = snapshot_fault(snapshot, options, read_stop)
        digests = tuple(decode_page(page)[0] for page in pages)
        if fault is None and digests != tuple(digest for _, digest in snapshot.pages):
            fault = "the pages are not those of the snapshot"
        if isinstance(options, str) or fault is not None:
            msg = f"the snapshot proves nothing: {fault}"
            raise RemoteProtocolError(msg)
        fetched = SnapshotFetched(snapshot, pages, ends)
        later = state_of(fetched, self.ledger)
        writes = changes(self.ledger, later)
        self.ledger.become(later)
        self._roots, self._base = {snapshot.index: later.root}, snapshot.index
        committed = Committed((fetched.block,), beacons_of(later))
        kept = PersistSnapshot(snapshot, pages_of(fetched), ends=ends)
        applied = PersistLedger(committed, writes, later.root, snapshot.epoch, is_leap=True)
        self._store.write([*(writes_of(applied) or []), *(writes_of(kept) or [])])
        self._begin(options, fetched.block, committed.beacons)

    def take(self, append: Append, height: int | None) -> bool:
        """Take the next block in; False when what it commits lies above the height."""
        header = append.header
        if not self._tree.holds(header.parent_hash):
            msg = "it does not follow from the block before it"
            raise RemoteProtocolError(msg)
        if records_root(append.records) != header.records_root:
            msg = "its records are not those of its header"
            raise RemoteProtocolError(msg)
        block = self._tree.add(derive(append, block_hash(header)))
        place = self._options.epoch - FIRST_EPOCH
        if block.begins is not None and place < len(self.ends):
            return self._conclude(self.ends[place], block.begins, height)
        return self.certify(append.qc, height)

    def _conclude(self, end: EpochEnd, begins: Epoch, height: int | None) -> bool:
        """Commit a stop by its proof, and go on in the epoch that it begins."""
        if height is not None and end.index > height:
            return False
        fault = end_fault(end, self._options, self._verifier, read_stop)
        committed = self._tree.conclude(end) if fault is None else None
        if committed is None:
            reason = fault or "the proof is of another block"
            msg = f"the end of epoch {self._options.epoch} is not proven: {reason}"
            raise RemoteProtocolError(msg)
        self._apply(committed)
        options = next_options(self._options, begins, end.index, end.hash)
        self._begin(options, committed.blocks[-1], committed.beacons)
        return True

    def certify(self, certificate: QuorumCertificate, height: int | None) -> bool:
        """Commit what a certificate commits; False when that lies above the height."""
        child = self._tree.blocks.get(certificate.hash)
        if child is None or not SafetyRules().commits_parent(certificate):
            return True
        end = child.position.index - 1
        if height is not None and end > height:
            return False
        if not self._verifier.qc_holds(certificate):
            msg = f"the certificate over block {child.position.index} does not hold"
            raise RemoteProtocolError(msg)
        committed = self._tree.commit(child, certificate)
        if committed is not None:
            self._apply(committed)
        return True

    def _apply(self, committed: Committed) -> None:
        written: dict[Key, Entry | None] = {}
        for block in committed.blocks:
            header = block.block.header
            due = root_due(block.block.qc)
            due = None if due is not None and due < self._base else due
            if due is not None and self._roots.get(due) != header.state_root:
                msg = f"the state root after block {due} is not the one that was certified"
                raise RemoteProtocolError(msg)
            context = BlockContext(
                index=header.index,
                term=header.term,
                time_ms=header.time_ms,
                beacon=header.beacon,
                proposer=NodeId(header.proposer),
                hash=block.hash,
            )
            records = [decode_record(raw) for raw in block.block.records]
            result = apply_block(self.ledger, context, records, self._judge)
            self.ledger.commit(context.index, result.writes, result.tree)
            written.update(result.writes)
            self._roots[context.index] = result.root
            self._roots.pop(context.index - PORTION, None)
        ledger = self.ledger
        effect = PersistLedger(committed, written, ledger.root, ledger.epoch.number)
        writes: list[Write] = writes_of(effect) or []
        self._store.write(writes)
