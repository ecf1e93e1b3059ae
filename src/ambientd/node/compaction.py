"""When a node takes a snapshot, and which blocks it then lets go of (protocols/05 section 12).

due ──block S──► candidate ──S + 1 commits it, S + 2 names its root──► written page by page ──► kept
 ▲                   └── a term changed just there: no proof, so the next block is tried          │
 └────────────────────────────────── blocks far below are deleted, some with each block ◄─────────┘
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ambientd.consensus.effects import CommittedBlock
from ambientd.consensus.judging import root_due
from ambientd.consensus.messages import EpochEnd, Snapshot
from ambientd.errors import ConfigError
from ambientd.ledger.state_tree import FIRST_FORM, Page, StateTree

PAGES_A_BLOCK = 64
BLOCKS_DELETED_A_BLOCK = 1024
PAGES_OF_A_SMALL_STATE = 128
OLDER_APART = 8
"""Of the older snapshots one in so many steps stays; the newest two always do."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How often a snapshot is taken, and how many blocks below the newest one are kept.

    Older snapshots stay as long as blocks above them do: a node can be restored to any block from
    the oldest on. A state of many pages is written less often, so that writing it stays a small
    part of the work.
    """

    snapshot_blocks: int = 128
    kept_blocks: int = 8192
    is_whole: bool = False  # then every block is kept

    def __post_init__(self) -> None:
        if self.snapshot_blocks < 1 or self.kept_blocks < 0:
            msg = f"{self}: snapshots come every block or less often, and no less than 0 are kept"
            raise ConfigError(msg)


@dataclass(frozen=True, slots=True)
class LogKept:
    """What of the log is on disk: the first block, the snapshots, oldest first, and all pages."""

    first_block: int = 1
    snapshots: tuple[Snapshot, ...] = ()
    pages: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class PersistSnapshot:
    """Keep pages, then the snapshot that names them all, and only then delete; in one transaction.

    `snapshot` is None while pages are still to come. `ends` are those of the epochs before it.
    """

    snapshot: Snapshot | None
    pages: Mapping[bytes, bytes] = field(default_factory=dict)
    dropped_pages: tuple[bytes, ...] = ()
    dropped_snapshots: tuple[int, ...] = ()
    deleted_blocks: range = range(0)
    ends: tuple[EpochEnd, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    block: CommittedBlock
    epoch: int
    tree: StateTree


class Compactor:
    """Sees every committed block; says what to write and what to delete."""

    def __init__(self, options: LogOptions, kept: LogKept) -> None:
        self._options = options
        self._first_block = kept.first_block
        self._snapshots = list(kept.snapshots)
        self._on_disk = set(kept.pages)
        self._candidate: _Candidate | None = None
        self._writing: Snapshot | None = None
        self._to_write: list[Page] = []
        self._form = FIRST_FORM

    @property
    def first_block(self) -> int:
        """Give the index of the first block that is kept."""
        return self._first_block

    @property
    def snapshot(self) -> Snapshot | None:
        """Give the newest snapshot that is kept whole."""
        return self._snapshots[-1] if self._snapshots else None

    def on_block(
        self, block: CommittedBlock, epoch: int, tree: StateTree, *, ends_epoch: bool
    ) -> list[PersistSnapshot]:
        """Look at a block that was just applied; `tree` is the state after it."""
        if self._options.is_whole:
            return []
        if self._candidate is not None:
            self._prove(self._candidate, block)
            self._candidate = None
        elif self._writing is None and not ends_epoch and block.index >= self._due_index:
            self._candidate = _Candidate(block, epoch, tree)
        effects = [] if self._writing is None else [self._write(self._writing)]
        deleted = self._delete()
        return [*effects, PersistSnapshot(None, deleted_blocks=deleted)] if deleted else effects

    @property
    def _due_index(self) -> int:
        """Give where the next snapshot is taken: at the same blocks on every node."""
        step = self._options.snapshot_blocks
        newest = self.snapshot
        if newest is None:
            return step
        step <<= (len(newest.pages) // PAGES_OF_A_SMALL_STATE).bit_length()
        return (newest.index // step + 1) * step

    def _prove(self, candidate: _Candidate, child: CommittedBlock) -> None:
        """Take the candidate when its child commits it and its grandchild names its state."""
        block, root = candidate.block, candidate.tree.root
        if root_due(child.qc) != block.index or child.child.state_root != root:
            return
        links = (
            (block.block.header, block.qc),
            (child.block.header, child.qc),
            (child.child, child.child_qc),
        )
        pages = candidate.tree.pages()
        self._writing = Snapshot(
            candidate.tree.form.number,
            candidate.epoch,
            block.block,
            links,
            tuple((depth, page.digest) for depth, page in pages),
        )
        self._to_write = [page for _, page in pages if page.digest not in self._on_disk]
        self._form = candidate.tree.form

    def _write(self, snapshot: Snapshot) -> PersistSnapshot:
        now, self._to_write = self._to_write[:PAGES_A_BLOCK], self._to_write[PAGES_A_BLOCK:]
        pages = {page.digest: page.encoded(self._form) for page in now}
        self._on_disk |= pages.keys()
        if self._to_write:
            return PersistSnapshot(None, pages)
        self._writing = None
        return self._switched(snapshot, pages, range(0))

    def _switched(
        self,
        snapshot: Snapshot,
        pages: Mapping[bytes, bytes],
        deleted: range,
        ends: tuple[EpochEnd, ...] = (),
    ) -> PersistSnapshot:
        """Keep a whole snapshot; drop those that no kept block stands on, and their pages."""
        self._snapshots.append(snapshot)
        old: list[int] = []
        if len(self._snapshots) > 3 and self._is_passed(*self._snapshots[-4:-2]):
            old.append(self._snapshots.pop(-3).index)
        while len(self._snapshots) > 1 and self._snapshots[1].index <= self._edge:
            old.append(self._snapshots.pop(0).index)
        listed = {digest for each in self._snapshots for _, digest in each.pages}
        dropped = tuple(sorted(self._on_disk - listed))
        self._on_disk = listed
        return PersistSnapshot(snapshot, pages, dropped, tuple(old), deleted, ends)

    def _is_passed(self, older: Snapshot, snapshot: Snapshot) -> bool:
        """Tell whether an older one is near enough: whoever begins takes the newest."""
        apart = self._options.snapshot_blocks * OLDER_APART
        return older.index // apart == snapshot.index // apart

    @property
    def _edge(self) -> int:
        """Give the index above which every block is kept."""
        return self._snapshots[-1].index - self._options.kept_blocks

    def _delete(self) -> range:
        """Let go of some of the blocks that the oldest snapshot replaces."""
        if not self._snapshots or self._snapshots[0].index > self._edge:
            return range(0)
        first = self._first_block
        end = min(self._snapshots[0].index + 1, first + BLOCKS_DELETED_A_BLOCK)
        self._first_block = max(first, end)
        return range(first, end)

    def installed(
        self,
        snapshot: Snapshot,
        pages: Mapping[bytes, bytes],
        ends: tuple[EpochEnd, ...],
        head_index: int,
    ) -> PersistSnapshot:
        """Go on from another node's snapshot: keep it as one's own, and no block below it."""
        deleted = range(self._first_block, head_index + 1)
        self._first_block = snapshot.index
        self._candidate = self._writing = None
        self._to_write = []
        old = tuple(each.index for each in self._snapshots)
        self._snapshots = []
        return replace(self._switched(snapshot, pages, deleted, ends), dropped_snapshots=old)
