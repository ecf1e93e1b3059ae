"""How a node's state lies in the store, and how it is read back after a restart."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ambientd import __version__
from ambientd.codec.canonical import decode, encode
from ambientd.codec.statements import fingerprint
from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.effects import CommittedBlock, PersistBlock, PersistSafety
from ambientd.consensus.messages import Append, EpochEnd, Snapshot, genesis_qc
from ambientd.consensus.restored import Restored
from ambientd.consensus.safety import SafetyState
from ambientd.errors import RemoteProtocolError, StoreError
from ambientd.ledger.entries import Entry, Key, decode_key, encode_key
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import KNOWN_VERSION, VERSIONS, StateVersion, Versions
from ambientd.model.base import TaskId
from ambientd.model.effect import PersistAsked, PersistMark
from ambientd.model.genesis import FIRST_EPOCH, Genesis
from ambientd.model.mark import Mark
from ambientd.model.record import Admit
from ambientd.node.compaction import LogKept, PersistSnapshot
from ambientd.node.effect import NodeEffect, PersistLedger, PersistTelemetryEpoch
from ambientd.ports.store import Delete, Put, Store, StoreTable, Write, Writer
from ambientd.runtime.row_versions import ROW_VERSION, bring_up

_log = logging.getLogger(__name__)

SAFETY_KEY = b"safety"
HEAD_KEY = b"head"
TELEMETRY_EPOCH_KEY = b"telemetry-epoch"
"""Each key names one row; nothing else is kept under it."""
MARK_KEYS = b"mark/"
"""Before a task and a slot: this node's last mark of it, which the log may have or not."""
ASKED_KEYS = b"asked/"
"""Before a task: the words by which this node was asked for it, while it waits for the log."""
END_KEYS = b"epoch-end/"
"""Before an epoch's number: the proof of how it ended."""
SNAPSHOT_KEYS = b"snapshot/"
"""Before a block's index: the snapshot of the state after it."""


def index_key(index: int) -> bytes:
    """Give a key that sorts as its index does."""
    return index.to_bytes(8, "big")


def end_key(epoch: int) -> bytes:
    """Give the key of the proof of how an epoch ended."""
    return END_KEYS + index_key(epoch)


def snapshot_key(index: int) -> bytes:
    """Give the key of the snapshot after a block."""
    return SNAPSHOT_KEYS + index_key(index)


def writes_of(effect: NodeEffect) -> list[Write] | None:
    """Give what makes a persist effect durable, or None for any other effect."""
    match effect:
        case PersistBlock(hash=digest, block=block):
            return [Put(StoreTable.BLOCK, digest, encode(block))]
        case PersistSafety():
            return [_safety_write(effect)]
        case PersistTelemetryEpoch(epoch=epoch):
            return [Put(StoreTable.LOCAL, TELEMETRY_EPOCH_KEY, encode(epoch))]
        case PersistMark():
            return [_mark_write(effect)]
        case PersistAsked():
            return [_asked_write(effect)]
        case PersistLedger():
            return _ledger_writes(effect)
        case PersistSnapshot():
            return _snapshot_writes(effect)
        case _:
            return None


def _safety_write(effect: PersistSafety) -> Write:
    row: SafetyRow = (effect.epoch, effect.state)
    return Put(StoreTable.SAFETY, SAFETY_KEY, encode(row))


def _mark_write(effect: PersistMark) -> Write:
    key = MARK_KEYS + effect.task + bytes([effect.slot])
    if effect.mark is None:
        return Delete(StoreTable.LOCAL, key)
    return Put(StoreTable.LOCAL, key, encode(effect.mark))


def _asked_write(effect: PersistAsked) -> Write:
    key = ASKED_KEYS + effect.task
    if effect.admit is None:
        return Delete(StoreTable.LOCAL, key)
    return Put(StoreTable.LOCAL, key, encode(effect.admit))


def _ledger_writes(effect: PersistLedger) -> list[Write]:
    writes: list[Write] = []
    for block in effect.committed.blocks:
        # Without the certificates over it, which its successors hold: idle, these rows are the log.
        writes.append(Put(StoreTable.COMMITTED, index_key(block.index), encode(block.block)))
        writes.append(Delete(StoreTable.BLOCK, block.hash))
    writes += [Delete(StoreTable.BLOCK, digest) for digest in effect.committed.dropped]
    for key, entry in effect.writes.items():
        name = encode_key(key)
        if entry is None:
            writes.append(Delete(StoreTable.LEDGER, name))
        else:
            writes.append(Put(StoreTable.LEDGER, name, effect.form.encode(key, entry)))
    row: HeadRow = (
        effect.committed.blocks[-1],
        effect.root,
        effect.committed.beacons,
        effect.form.number,
    )
    writes.append(Put(StoreTable.LOCAL, HEAD_KEY, encode(row)))
    end = effect.committed.end
    if end is not None:
        writes.append(Put(StoreTable.LOCAL, end_key(effect.epoch - 1), encode(end)))
    return writes


def _snapshot_writes(effect: PersistSnapshot) -> list[Write]:
    writes: list[Write] = [
        Put(StoreTable.PAGE, digest, page) for digest, page in effect.pages.items()
    ]
    snapshot = effect.snapshot
    if snapshot is not None:
        writes.append(Put(StoreTable.LOCAL, snapshot_key(snapshot.index), encode(snapshot)))
        first = snapshot.epoch - len(effect.ends)
        writes += [
            Put(StoreTable.LOCAL, end_key(epoch), encode(end))
            for epoch, end in enumerate(effect.ends, first)
        ]
    writes += [Delete(StoreTable.LOCAL, snapshot_key(each)) for each in effect.dropped_snapshots]
    writes += [Delete(StoreTable.PAGE, digest) for digest in effect.dropped_pages]
    writes += [Delete(StoreTable.COMMITTED, index_key(index)) for index in effect.deleted_blocks]
    return writes


SafetyRow: TypeAlias = tuple[int, SafetyState]
"""What a member must never forget, and the epoch in which it counts."""

HeadRow: TypeAlias = tuple[CommittedBlock, bytes, tuple[BeaconLink, ...], int]
"""The last applied block with its certificates, the state root there, every member's beacon.

And the version of the state that the ledger's rows hold.
"""


@dataclass(frozen=True, slots=True)
class Recovered:
    """Everything a node had on disk."""

    log: Restored | None
    ledger: LedgerState
    telemetry_epoch: int
    has_safety: bool
    """Whether safety state of any epoch is there: without it a key may have voted for anything."""

    def last_telemetry_epoch(self, now_ms: int) -> int:
        """Give the last epoch of observations that this key may have used.

        A store may be a copy from before the last start, or empty because an earlier one was lost:
        by the clock, no epoch is used twice all the same.
        """
        return max(self.telemetry_epoch, now_ms)

    kept: LogKept
    marks: tuple[Mark, ...] = ()
    """What this node has said of long executions, which the log may have or not."""
    asked: Mapping[TaskId, Admit] = field(default_factory=dict)
    """What it was asked to submit and waits for the log."""


def recover(store: Store, genesis: Genesis, versions: Versions = VERSIONS) -> Recovered:
    """Read a node's state back; raise StoreError when rows are newer or do not fit together."""
    try:
        return _recover(store, genesis, versions)
    except (RemoteProtocolError, ValueError) as error:
        msg = (
            f"the store does not hold what ambientd {__version__} writes (rows of version "
            f"{ROW_VERSION}, ledger of version {KNOWN_VERSION}): {error}; if another version of "
            "ambientd wrote it, run that one; if not, see that genesis.bin is the same as on any "
            "other node of the cluster; if it is, move the store away and restore a backup, or "
            "move the data directory away and join again as a new node (a key whose store is lost "
            "never votes again)"
        )
        raise StoreError(msg) from error


def _recover(store: Store, genesis: Genesis, versions: Versions) -> Recovered:
    bring_up(store)
    epoch_row = store.get(StoreTable.LOCAL, TELEMETRY_EPOCH_KEY)
    epoch = 0 if epoch_row is None else decode(epoch_row, int)
    safety_row = store.get(StoreTable.SAFETY, SAFETY_KEY)
    head_row = store.get(StoreTable.LOCAL, HEAD_KEY)
    head: CommittedBlock | None = None
    beacons: tuple[BeaconLink, ...] = ()
    if head_row is None:
        ledger = LedgerState.from_genesis(genesis, versions)
    else:
        row: HeadRow = decode(head_row, HeadRow)
        head, root, beacons, version = row
        form = _form(version, versions)
        items = _items(store.scan(StoreTable.LEDGER), form)
        ledger = LedgerState.from_items(genesis, items, head.index, version, versions)
        if ledger.root != root:
            msg = f"the entries of the ledger do not make the state after block {head.index}"
            raise ValueError(msg)
        if store.get(StoreTable.COMMITTED, index_key(head.index)) is None:
            msg = f"the committed block {head.index} is missing"
            raise ValueError(msg)
    kept_log, marks = _kept(store, ledger.applied_index), said_marks(store)
    asked = asked_tasks(store)
    tail = _tail(store, ledger.applied_index)
    if safety_row is None and head is None and not tail:
        return Recovered(
            None, ledger, epoch, has_safety=False, kept=kept_log, marks=marks, asked=asked
        )
    # What an older epoch's state says of the present one is that nothing was signed in it.
    kept: SafetyRow | None = None if safety_row is None else decode(safety_row, SafetyRow)
    present = ledger.epoch.number
    safety = kept[1] if kept is not None and kept[0] == present else None
    end_row = store.get(StoreTable.LOCAL, end_key(present - 1))
    if end_row is None and present > FIRST_EPOCH:
        msg = f"the proof of how epoch {present - 1} ended is missing"
        raise ValueError(msg)
    end = None if end_row is None else decode(end_row, EpochEnd)
    restored = Restored(safety=safety, head=head, beacons=beacons, tail=tail, end=end)
    return Recovered(
        restored,
        ledger,
        epoch,
        has_safety=kept is not None,
        kept=kept_log,
        marks=marks,
        asked=asked,
    )


def _items(rows: Iterable[tuple[bytes, bytes]], form: StateVersion) -> dict[Key, Entry]:
    keyed = ((decode_key(key), value) for key, value in rows)
    return {key: form.decode(key, value) for key, value in keyed}


def _form(version: int, versions: Versions) -> StateVersion:
    """Give the state version that the rows hold; raise StoreError where it is not known.

    Nothing is migrated here: the log says at which block the next version begins.
    """
    try:
        return versions.of(version)
    except ValueError as error:
        msg = (
            f"the ledger's rows are of version {version}, this program knows {versions.newest}: "
            "run the version that wrote them, or the one after it; nothing was changed"
        )
        raise StoreError(msg) from error


def _kept(store: Store, head_index: int) -> LogKept:
    """Give what is kept of the log; whoever lags below its first block needs the snapshot."""
    rows = list(store.scan(StoreTable.COMMITTED, limit=1))
    first = int.from_bytes(rows[0][0], "big") if rows else head_index + 1
    snapshots = snapshots_of(store)
    pages = frozenset(key for key, _ in store.scan(StoreTable.PAGE))
    missing = {digest for each in snapshots for _, digest in each.pages} - pages
    if missing:
        msg = f"{len(missing)} pages of the snapshots are missing"
        raise ValueError(msg)
    if first > 1 and (not snapshots or snapshots[0].index + 1 < first):
        msg = f"the log begins with block {first}, and no snapshot replaces those before it"
        raise ValueError(msg)
    return LogKept(first, snapshots, pages)


def snapshots_of(store: Store) -> tuple[Snapshot, ...]:
    """Give the snapshots that are kept, the oldest first."""
    rows = store.scan(StoreTable.LOCAL, snapshot_key(0), snapshot_key(2**53))
    return tuple(decode(value, Snapshot) for _, value in rows)


def said_marks(store: Store) -> tuple[Mark, ...]:
    """Give this node's last mark of each slot that it had in hand."""
    rows = store.scan(StoreTable.LOCAL, MARK_KEYS, MARK_KEYS + b"\xff" * 34)
    return tuple(decode(value, Mark) for _, value in rows)


def asked_tasks(store: Store) -> dict[TaskId, Admit]:
    """Give the tasks that wait for the log; what does not read is forgotten, and said."""
    found: dict[TaskId, Admit] = {}
    unread: list[Write] = []
    for key, value in store.scan(StoreTable.LOCAL, ASKED_KEYS, ASKED_KEYS + b"\xff" * 33):
        try:
            found[TaskId(key.removeprefix(ASKED_KEYS))] = decode(value, Admit)
        except RemoteProtocolError as error:
            unread.append(Delete(StoreTable.LOCAL, key))
            name = key.removeprefix(ASKED_KEYS).hex()
            words = "task %s waited for the log, its row does not read: ask for it again (%s)"
            _log.error(words, name, error)
    if unread:
        store.write(unread)
    return found


def keeps_asked(store: Store, task: TaskId) -> bool:
    """Tell whether a task that waits for the log is on disk."""
    return store.get(StoreTable.LOCAL, ASKED_KEYS + task) is not None


def _newest_snapshot(store: Store) -> Snapshot | None:
    start, end = snapshot_key(0), snapshot_key(2**53)
    rows = store.scan(StoreTable.LOCAL, start, end, limit=1, reverse=True)
    return next((decode(value, Snapshot) for _, value in rows), None)


def _tail(store: Store, floor: int) -> tuple[Append, ...]:
    """Give the blocks above the last applied one; those that lost against it are deleted."""
    kept: list[Append] = []
    stale: list[Write] = []
    for digest, value in store.scan(StoreTable.BLOCK):
        block: Append = decode(value, Append)
        if block.header.index > floor:
            kept.append(block)
        else:
            stale.append(Delete(StoreTable.BLOCK, digest))
    if stale:
        store.write(stale)
    return tuple(kept)


def first_safety(genesis: Genesis) -> list[Write]:
    """Give what a node keeps before its first vote, ever: that it has not voted yet."""
    state = SafetyState(genesis_qc(fingerprint(genesis), FIRST_EPOCH))
    return [_safety_write(PersistSafety(state, FIRST_EPOCH))]


def ends_of(store: Store, first: int = FIRST_EPOCH, count: int = 2**53) -> list[EpochEnd]:
    """Give how up to `count` consecutive epochs ended, from number `first`; fewer at last."""
    rows = store.scan(StoreTable.LOCAL, end_key(first), end_key(first + count), limit=count)
    return [decode(value, EpochEnd) for _, value in rows]


class StoredBlocks:
    """Committed blocks, and how epochs ended, for peers that lag (an `EpochSource`)."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def committed(self, first: int, count: int) -> Sequence[Append]:
        """Give up to `count` consecutive blocks from index `first`; fewer at the end."""
        start, end = index_key(first), index_key(first + count)

        def look_up(store: Store) -> list[tuple[bytes, bytes]]:
            return list(store.scan(StoreTable.COMMITTED, start, end, limit=count))

        rows = self._writer.read_now(look_up)
        if not rows or rows[0][0] != start:
            return []  # deleted, or not there yet
        return [decode(value, Append) for _, value in rows]

    def snapshot(self) -> Snapshot | None:
        """Give the newest snapshot that is kept whole; None while there is none."""
        return self._writer.read_now(_newest_snapshot)

    def page(self, digest: bytes) -> bytes | None:
        """Give a page of that snapshot."""
        return self._writer.read_now(lambda store: store.get(StoreTable.PAGE, digest))

    def ends(self, first: int, count: int) -> Sequence[EpochEnd]:
        """Give how up to `count` consecutive epochs ended, from number `first`; fewer at last."""
        return self._writer.read_now(lambda store: ends_of(store, first, count))
