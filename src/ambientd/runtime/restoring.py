"""A store made again of a node's log in one file, as of its end or as of a height.

A restoration does not trust rows: it links every block to the one before, runs it through the
ledger, compares each state root that the members certified, and checks the proofs of the snapshot
and the epochs and the last certificate.

A backup holds no votes. Whoever restores one may have voted since, so the key behind it follows
the log from then on and never votes again (`Places.voted_mark`).
"""

from dataclasses import dataclass
from pathlib import Path

from ambientd.codec.canonical import decode, encode
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
from ambientd.errors import DamagedError, RemoteProtocolError, UsageError
from ambientd.ledger.apply import apply_block, decode_record
from ambientd.ledger.draft import BlockContext
from ambientd.ledger.entries import Entry, Key
from ambientd.ledger.founders import first_epoch
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import VERSIONS, Versions
from ambientd.model.base import NodeId
from ambientd.model.genesis import FIRST_EPOCH, Genesis
from ambientd.node.compaction import PersistSnapshot
from ambientd.node.effect import PersistLedger
from ambientd.node.installing import beacons_of, changes, pages_of, state_of
from ambientd.node.stops import fraud_judge, options_of, read_stop
from ambientd.ports.store import Put, Store, StoreTable, Write
from ambientd.runtime.backup import Told, nobody, read_manifest, read_rows
from ambientd.runtime.persistence import HEAD_KEY, TELEMETRY_EPOCH_KEY, writes_of

TELEMETRY_EPOCHS_AHEAD = 1_000_000
"""More starts than a node has between a backup and its loss: no epoch may be used twice."""
ROOTS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Restored:
    """How far a restoration came."""

    height: int
    root: bytes
    of_height: int


def restore(
    path: Path,
    store: Store,
    genesis: Genesis,
    height: int | None = None,
    told: Told = nobody,
    versions: Versions = VERSIONS,
) -> Restored:
    """Fill an empty store with what leads up to a height, or to the end; all of it is checked.

    Blocks that were committed together come together: the height reached may be a little lower.
    """
    if store.get(StoreTable.LOCAL, HEAD_KEY) is not None:
        msg = "the store to restore into is not empty"
        raise UsageError(msg)
    rows = read_rows(path, told)
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
    replay = _Replay(genesis, store, versions)
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

    def __init__(self, genesis: Genesis, store: Store, versions: Versions) -> None:
        self.ledger = LedgerState.from_genesis(genesis, versions)
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
        self._require_known(options.state_version)
        fetched = SnapshotFetched(snapshot, pages, ends)
        later = state_of(fetched, self.ledger)
        writes = changes(self.ledger, later)
        self.ledger.become(later)
        self._roots, self._base = {snapshot.index: later.root}, snapshot.index
        committed = Committed((fetched.block,), beacons_of(later))
        kept = PersistSnapshot(snapshot, pages_of(fetched), ends=ends)
        applied = PersistLedger.of(committed, writes, later, is_leap=True)
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

    def _require_known(self, version: int) -> None:
        """Refuse blocks and states of a version that this program does not know; say what to do."""
        try:
            self.ledger.versions.of(version)
        except ValueError as error:
            raise RemoteProtocolError(str(error)) from error

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
            self._require_known(self.ledger.epoch.state_version)
            result = apply_block(self.ledger, context, records, self._judge)
            self.ledger.commit(context.index, result.writes, result.tree)
            written.update(result.writes)
            self._roots[context.index] = result.root
            self._roots.pop(context.index - ROOTS_KEPT, None)
        ledger = self.ledger
        writes: list[Write] = writes_of(PersistLedger.of(committed, written, ledger)) or []
        self._store.write(writes)
