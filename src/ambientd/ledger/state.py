"""The committed state: a flat map of frozen entries, and the tree whose root names it.

Entries change in one way only: `commit` takes the writes of a whole block. The few indexes here
are derived from the entries and kept in step by the same call.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator, Mapping
from typing import cast

from ambientd.codec.statements import fingerprint
from ambientd.errors import ConfigError
from ambientd.ledger.audit_entries import AuditEntry, Unvested
from ambientd.ledger.audit_index import AuditIndex, VestingIndex
from ambientd.ledger.checkpoint_index import CheckpointIndex
from ambientd.ledger.dispute_entries import DisputeEntry
from ambientd.ledger.entries import (
    META_KEY,
    PEG_KEY,
    STUDIES_KEY,
    Account,
    CheckpointEntry,
    Entry,
    EpochEntry,
    EvidenceEntry,
    Key,
    Leaf,
    Meta,
    Moves,
    NodeEntry,
    Table,
    TaskEntry,
    coin_key,
    dispute_key,
    epoch_key,
    moves_key,
    offer_key,
    payment_key,
    peg_node_key,
    report_key,
    reputation_key,
    round_key,
    seat_key,
    study_key,
    word_key,
)
from ambientd.ledger.founders import first_entries, first_epoch
from ambientd.ledger.learning_entries import RoundEntry, Studies, StudyEntry
from ambientd.ledger.module_entries import ModuleEntry
from ambientd.ledger.module_index import ModuleIndex
from ambientd.ledger.peg_entries import PegCoinEntry, PegEntry, PegNodeEntry, PegPaymentEntry
from ambientd.ledger.peg_index import PegIndex
from ambientd.ledger.proof_entries import ProofEntry, StepEntry
from ambientd.ledger.reputation_index import ReputationIndex
from ambientd.ledger.room_index import RoomIndex
from ambientd.ledger.seat_entries import SeatEntry
from ambientd.ledger.state_tree import StateTree
from ambientd.ledger.task_index import TaskIndex, keep
from ambientd.ledger.turns import part
from ambientd.ledger.versions import VERSIONS, Changes, StateVersion, Versions
from ambientd.ledger.word_entries import NO_MARKS, LastWord, MarkEntry, OfferEntry, Topic
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.genesis import Genesis
from ambientd.model.learning import StudyId
from ambientd.model.peg import MSAT_PER_SAT
from ambientd.model.record import Epoch, NodeReport
from ambientd.model.reputation import Reputation
from ambientd.rules import reputation
from ambientd.rules.founding import genesis_fault
from ambientd.rules.receipt_tree import ReceiptTree


class LedgerState:
    """All entries, and the indexes that queries and roles need."""

    def __init__(
        self,
        genesis: Genesis,
        items: Mapping[Key, Entry],
        index: int,
        version: int,
        versions: Versions = VERSIONS,
    ) -> None:
        self.genesis = genesis
        self.cluster = fingerprint(genesis)
        self.epoch = first_epoch(genesis)
        self.applied_index = index
        self.versions = versions
        """Those that this program knows; the one that is in force is the tree's."""
        self.tree = StateTree(versions.of(version)).updated(items)
        self._items: dict[Key, Entry] = {}
        self.tasks_by = TaskIndex()
        self._nodes: list[NodeId] = []
        self._fit: list[NodeId] = []
        self.room = RoomIndex()
        self._tombstones: set[NodeId] = set()
        self._checkpoints = CheckpointIndex()
        self._seats: dict[int, set[NodeId]] = {}
        self._bonds_waiting: list[tuple[int, NodeId]] = []
        self.audits = AuditIndex()
        self.vesting = VestingIndex()
        self.epoch_leaf: int | None = None
        """Where the receipt log last named the present epoch; nowhere in the first one."""
        self.peg_index = PegIndex()
        self.reputations = ReputationIndex()
        self.modules = ModuleIndex()
        meta = cast("Meta", items[META_KEY])
        self._receipts = ReceiptTree(start=meta.kept_from, edge=meta.kept_edge)
        self._index(items)

    @classmethod
    def from_genesis(cls, genesis: Genesis, versions: Versions = VERSIONS) -> "LedgerState":
        """Give the state before the first block; raise ConfigError for impossible rules.

        Raises ValueError, with what to do, where its version is not known.
        """
        fault = genesis_fault(genesis)
        if fault is not None:
            raise ConfigError(fault)
        return cls(genesis, first_entries(genesis), 0, genesis.state_version, versions)

    @classmethod
    def from_items(
        cls,
        genesis: Genesis,
        items: Mapping[Key, Entry],
        index: int,
        version: int | None = None,
        versions: Versions = VERSIONS,
    ) -> "LedgerState":
        """Give the state of a store; its root says whether it is whole.

        In the version of the genesis it lies on top of that; a step writes every entry anew.
        """
        if version in {None, genesis.state_version}:
            items = {**cls.from_genesis(genesis, versions).items(), **items}
        return cls(genesis, items, index, version or genesis.state_version, versions)

    @property
    def form(self) -> StateVersion:
        """Give the version in force: how entries are encoded, and what is done besides."""
        return self.tree.form

    @property
    def version(self) -> int:
        """Give the number of the state version in force: rules that differ ask for it."""
        return self.tree.form.number

    @property
    def root(self) -> bytes:
        """Give the state root."""
        return self.tree.root

    def commit(self, index: int, writes: Mapping[Key, Entry | None], tree: StateTree) -> None:
        """Take a block's changes, and the tree after them."""
        if tree.form is not self.tree.form:  # all that is derived from entries begins anew
            items = {**self._items, **writes}
            kept = {key: entry for key, entry in items.items() if entry is not None}
            later = LedgerState(self.genesis, kept, index, tree.form.number, self.versions)
            self.become(later)
            self.tree = tree
            return
        self._index(writes)
        self.applied_index = index
        self.tree = tree

    def _index(self, writes: Mapping[Key, Entry | None]) -> None:
        leaves: list[tuple[bytes, Digest]] = []
        for key, entry in writes.items():
            before = self._items.get(key)
            self.peg_index.see(key, before, entry)
            self.reputations.see(key, entry)
            if entry is None:
                self._items.pop(key, None)
                self._forget(key, before)
                continue
            self._items[key] = entry
            match entry:
                case TaskEntry():
                    self.tasks_by.see(TaskId(key[1]), cast("TaskEntry | None", before), entry)
                case NodeEntry():
                    self._index_node(NodeId(key[1]), cast("NodeEntry | None", before), entry)
                case Leaf(digest=digest, task=task):
                    leaves.append((key[1], digest))
                    if not task:
                        named_at = int.from_bytes(key[1], "big")
                        self.epoch_leaf = max(named_at, self.epoch_leaf or 0)
                case CheckpointEntry():
                    self._checkpoints.see(entry)
                case EpochEntry(epoch=epoch):
                    self.epoch = max(self.epoch, epoch, key=lambda each: each.number)
                case SeatEntry(words=words):
                    said = len(before.words) if isinstance(before, SeatEntry) else 0
                    self._seats.get(said, set()).discard(NodeId(key[1]))
                    self._seats.setdefault(len(words), set()).add(NodeId(key[1]))
                case Moves():
                    self._index_moves(NodeId(key[1]), cast("Moves | None", before), entry)
                case AuditEntry():
                    known = cast("AuditEntry | None", before)
                    self.audits.put(TaskId(key[1]), known, entry)
                case ModuleEntry():
                    self.modules.see(key[1], entry)
                case Unvested():
                    self.vesting.put(key[1], cast("Unvested | None", before), entry)
                case _:
                    pass
        for place, digest in sorted(leaves):
            if int.from_bytes(place, "big") != self._receipts.size:
                msg = f"the receipt log lacks leaf {self._receipts.size}"
                raise ValueError(msg)
            self._receipts.append(digest)
        self._receipts.forget(self.meta.kept_from)

    def _forget(self, key: Key, before: Entry | None) -> None:
        if isinstance(before, TaskEntry):
            self.tasks_by.see(TaskId(key[1]), before, None)
        elif isinstance(before, AuditEntry):
            self.audits.put(TaskId(key[1]), before, None)
        elif isinstance(before, Unvested):
            self.vesting.put(key[1], before, None)
        elif isinstance(before, CheckpointEntry):
            self._checkpoints.forget(before)

    def _index_node(self, node: NodeId, before: NodeEntry | None, entry: NodeEntry) -> None:
        self.room.see(before, entry)
        keep(self._nodes, node, is_kept=True)
        keep(self._fit, node, is_kept=entry.is_fit)
        self.tasks_by.leases.see_node(node, is_gone=not entry.accepting)
        if entry.tombstoned:
            self._tombstones.add(node)
            self.audits.convict(node)

    def _index_moves(self, node: NodeId, before: Moves | None, entry: Moves) -> None:
        if before is not None and before.waiting_msat:
            self._bonds_waiting.remove((before.due_ms, node))
        if entry.waiting_msat:
            insort(self._bonds_waiting, (entry.due_ms, node))

    def changed_over(self) -> "tuple[LedgerState, Changes]":
        """Give this state in the version that its epoch names, and what the step there writes."""
        form = self.versions.of(self.epoch.state_version)
        writes = form.changes(self._items)
        kept = {key: entry for key, entry in writes.items() if entry is not None}
        later = LedgerState(self.genesis, kept, self.applied_index, form.number, self.versions)
        return later, writes

    def become(self, other: "LedgerState") -> None:
        """Take over another state of this cluster, a later one; all who look at this one see it."""
        self.__dict__.update(other.__dict__)

    # Reading

    def get(self, key: Key) -> Entry | None:
        """Give an entry."""
        return self._items.get(key)

    def items(self) -> Mapping[Key, Entry]:
        """Give every entry, for snapshots and checks; not to be changed."""
        return self._items

    @property
    def meta(self) -> Meta:
        """Give what there is one of."""
        return cast("Meta", self._items[META_KEY])

    def task(self, task: TaskId) -> TaskEntry | None:
        """Give a task."""
        return cast("TaskEntry | None", self._items.get((Table.TASK, task)))

    def dispute(self, task: TaskId) -> DisputeEntry | None:
        """Give how far the bisection of a disputed task is; None when it is not bisected."""
        return cast("DisputeEntry | None", self._items.get(dispute_key(task)))

    def proof(self, task: TaskId) -> ProofEntry | None:
        """Give what members say of a task's proof; None while none is to be checked."""
        return cast("ProofEntry | None", self._items.get((Table.PROOF, task)))

    def step(self, task: TaskId) -> StepEntry | None:
        """Give the promise to prove the stretch that a task's game leaves; None without one."""
        return cast("StepEntry | None", self._items.get((Table.STEP, task)))

    def marks(self, task: TaskId) -> MarkEntry:
        """Give from where others may go on with a task."""
        return cast("MarkEntry", self._items.get((Table.MARKS, task)) or NO_MARKS)

    def tasks(self) -> Iterator[tuple[TaskId, TaskEntry]]:
        """Walk all tasks, open and ended."""
        for key, entry in self._items.items():
            if isinstance(entry, TaskEntry):
                yield TaskId(key[1]), entry

    def open_tasks(self) -> list[tuple[TaskId, TaskEntry]]:
        """Give the tasks that have not ended, by the time of their admission, then by task."""
        tasks = (task for _, task in self.tasks_by.open)
        return [(task, cast("TaskEntry", self._items[Table.TASK, task])) for task in tasks]

    @property
    def first_deadline(self) -> int | None:
        """Give the block time at which an open task is late first; None when none can be."""
        deadlines = self.tasks_by.deadlines
        return self.in_block_time(deadlines[0][0]) if deadlines else None

    def in_block_time(self, deadline_ms: int) -> int:
        """Give a deadline in block time, as it is if no outage comes."""
        return deadline_ms + self.meta.lost_ms

    def node(self, node: NodeId) -> NodeEntry | None:
        """Give a node."""
        return cast("NodeEntry | None", self._items.get((Table.NODE, node)))

    @property
    def members(self) -> tuple[NodeId, ...]:
        """Give the present committee, in ascending order."""
        return self.epoch.members

    def epoch_entry(self, number: int) -> EpochEntry | None:
        """Give an epoch, the present one or an older."""
        return cast("EpochEntry | None", self._items.get(epoch_key(number)))

    @property
    def epoch_due(self) -> Epoch | None:
        """Give the epoch that is to follow the present one, once that is decided."""
        entry = self.epoch_entry(self.epoch.number)
        return None if entry is None else entry.due

    def seat(self, node: NodeId) -> SeatEntry | None:
        """Give what a node and the members have said about its seat."""
        return cast("SeatEntry | None", self._items.get(seat_key(node)))

    def seats(self, least: int) -> set[NodeId]:
        """Give the nodes whose seats so many have spoken on, or more: one liar makes none ripe."""
        ripe = (nodes for count, nodes in self._seats.items() if count >= least)
        return set().union(*ripe)

    def report(self, node: NodeId, member: NodeId) -> NodeReport | None:
        """Give a member's last report on a node."""
        return cast("NodeReport | None", self._items.get(report_key(node, member)))

    def last_word_ms(self, topic: Topic, author: NodeId) -> int:
        """Give when an author last spoke on a topic, by its own clock; 0 when it never did."""
        word = cast("LastWord | None", self._items.get(word_key(topic, author)))
        return 0 if word is None else word.said_ms

    def nodes(self) -> list[NodeId]:
        """Give every node, sorted; not to be changed."""
        return self._nodes

    def fit_nodes(self) -> list[NodeId]:
        """Give the nodes that take work, sorted; not to be changed."""
        return self._fit

    def able_nodes(self) -> int:
        """Count the nodes that were never convicted."""
        return len(self._nodes) - len(self._tombstones)

    def allowed_nodes(self) -> frozenset[NodeId]:
        """Give the allow-list."""
        return frozenset(self._nodes)

    def conviction(self, node: NodeId) -> EvidenceEntry | None:
        """Give what convicted a node: its first evidence, when it still had a reputation."""
        entries = self._items.values()
        found = (e for e in entries if isinstance(e, EvidenceEntry) and e.culprit == node)
        return max(found, key=lambda e: (e.reputation_before_permille, e.kind), default=None)

    @property
    def peg(self) -> PegEntry:
        """Give the peg's numbers."""
        return cast("PegEntry", self._items.get(PEG_KEY) or PegEntry())

    def peg_node(self, node: NodeId) -> PegNodeEntry:
        """Give a node's part in the peg."""
        return cast("PegNodeEntry", self._items.get(peg_node_key(node)) or PegNodeEntry())

    def peg_coin(self, txid: bytes, output: int) -> PegCoinEntry | None:
        """Give an output that pays the federation."""
        return cast("PegCoinEntry | None", self._items.get(coin_key(txid, output)))

    @property
    def studies(self) -> Studies:
        """Give which studies there are."""
        return cast("Studies", self._items.get(STUDIES_KEY) or Studies())

    def study(self, study: StudyId) -> StudyEntry | None:
        """Give a study."""
        return cast("StudyEntry | None", self._items.get(study_key(study)))

    def round(self, study: StudyId, number: int) -> RoundEntry | None:
        """Give a round of a study."""
        return cast("RoundEntry | None", self._items.get(round_key(study, number)))

    def peg_payment(self, number: int) -> PegPaymentEntry | None:
        """Give a payment of the federation."""
        return cast("PegPaymentEntry | None", self._items.get(payment_key(number)))

    def balance_msat(self, node: NodeId) -> int:
        """Give what a node may spend."""
        return cast("Account", self._items.get((Table.ACCOUNT, node)) or Account()).balance_msat

    def offer(self, node: NodeId) -> OfferEntry:
        """Give what a node's owner lets it take."""
        return cast("OfferEntry", self._items.get(offer_key(node)) or OfferEntry())

    def moves(self, node: NodeId) -> Moves:
        """Give what a node's owner has said of its account, and the bond that waits."""
        return cast("Moves", self._items.get(moves_key(node)) or Moves())

    def bonds_due(self, time_ms: int, start: int, most: int) -> list[NodeId]:
        """Give some of the nodes whose bond has waited long enough, the longest first."""
        end = bisect_right(self._bonds_waiting, time_ms, key=lambda each: each[0])
        return [node for _, node in part(self._bonds_waiting, end, start, most)]

    def reputation(self, node: NodeId, task_class: str) -> Reputation:
        """Give what is known of a node's work in a class, as of the last block."""
        found = cast("Reputation | None", self._items.get(reputation_key(node, task_class)))
        return reputation.as_of(found or reputation.UNKNOWN, self.meta.time_ms)

    def reputation_permille(self, node: NodeId) -> int:
        """Give what verified outcomes say of a node; nothing once it is convicted."""
        entry = self.node(node)
        if entry is not None and entry.tombstoned:
            return 0
        return self.reputations.permille(node, self.meta.time_ms)

    def checkpoint(self, size: int) -> CheckpointEntry | None:
        """Give the closed batch of this size."""
        key = (Table.CHECKPOINT, size.to_bytes(8, "big"))
        return cast("CheckpointEntry | None", self._items.get(key))

    def checkpoint_sizes(self) -> list[int]:
        """Give the sizes of the closed batches' trees, the newest first."""
        tables = (key for key in self._items if key[0] is Table.CHECKPOINT)
        return sorted((int.from_bytes(key[1], "big") for key in tables), reverse=True)

    def checkpoint_covering(self, leaf: int) -> CheckpointEntry | None:
        """Give the best closed batch that holds a leaf: the first anchored one, else the first."""
        size = self._checkpoints.covering(leaf)
        return None if size is None else self.checkpoint(size)

    def forgotten_checkpoints(self, leaf: int) -> list[int]:
        """Give the sizes of the batches, but for the last, that hold leaves below this one only."""
        sizes = self._checkpoints.up_to(leaf)
        return [size for size in sizes if size != self.meta.checkpoint_size]

    def anchored_sizes(self, count: int) -> list[int]:
        """Give the sizes of the newest batches with an anchor, so many at most."""
        return self._checkpoints.anchored(count)

    # The receipt log

    def receipt_log_start(self) -> int:
        """Give the first leaf that is not forgotten: heads below it cannot be told any more."""
        return self.meta.kept_from

    def receipt_log_size(self) -> int:
        """Give how many leaves there are: of settled tasks, and of epochs."""
        return self.meta.log_size

    def checkpoint_size(self) -> int:
        """Give the size of the last closed batch's tree."""
        return self.meta.checkpoint_size

    def anchored_size(self) -> int:
        """Give the size of the largest anchored tree."""
        return self.meta.anchored_size

    def receipt_log_root(self, size: int) -> Digest:
        """Give the head of the tree over the first leaves; raise ValueError beyond the last."""
        return Digest(self._receipts.root(size))

    def inclusion_path(self, leaf: int, size: int) -> tuple[Digest, ...]:
        """Give a leaf's path to the head over the first `size` leaves."""
        return tuple(Digest(step) for step in self._receipts.inclusion_path(leaf, size))

    def consistency_path(self, old_size: int, size: int) -> tuple[Digest, ...]:
        """Give the proof that one head of the receipt log grew into another."""
        return tuple(Digest(step) for step in self._receipts.consistency_path(old_size, size))

    # Checking

    def total_msat(self) -> int:
        """Add up all that exists: in accounts, at risk, unvested, in the pools, and what leaves.

        It changes with what comes in from Bitcoin, what goes out, and what that costs, alone.
        """
        meta = self.meta
        total = meta.escrow_msat + meta.fee_pool_msat + meta.reserve_msat
        total += self.peg.leaving_sat * MSAT_PER_SAT
        for entry in self._items.values():
            if isinstance(entry, Account):
                total += entry.balance_msat
            elif isinstance(entry, NodeEntry):
                total += entry.bond_msat
            elif isinstance(entry, Moves):
                total += entry.waiting_msat
            elif isinstance(entry, Unvested):
                total += entry.amount_msat
        return total
