"""A draft of changes: what one record would do, thrown away as a whole when it is rejected."""

from dataclasses import dataclass
from typing import Protocol, cast

from msgspec.structs import replace

from ambientd.codec.merkle import Frontier
from ambientd.ledger.audit_entries import Refill
from ambientd.ledger.dispute_entries import DisputeEntry
from ambientd.ledger.entries import (
    META_KEY,
    STUDIES_KEY,
    Account,
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
    dispute_key,
    epoch_key,
    leaf_key,
    moves_key,
    offer_key,
    refill_key,
    reputation_key,
    round_key,
    study_key,
    word_key,
)
from ambientd.ledger.events import LedgerEvent, LiarNamed, NodeConvicted
from ambientd.ledger.learning_entries import RoundEntry, Studies, StudyEntry
from ambientd.ledger.proof_entries import ProofEntry, StepEntry
from ambientd.ledger.state import LedgerState
from ambientd.ledger.word_entries import NO_MARKS, LastWord, MarkEntry, OfferEntry, Topic
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.learning import StudyId
from ambientd.model.reputation import Reputation
from ambientd.rules import reputation
from ambientd.rules.auditing import AUDITORS, earns_trust

NOBODY = NodeId(b"")


@dataclass(frozen=True, slots=True)
class BlockContext:
    """Where and when in the log a record stands; the beacon is the block's randomness.

    `proposer` is nobody, and `hash` empty, for a block that is only imagined.
    """

    index: int
    term: int
    time_ms: int
    beacon: bytes
    proposer: NodeId = NOBODY
    hash: bytes = b""


class Reader(Protocol):
    """Anything that entries can be read from."""

    def get(self, key: Key) -> Entry | None:
        """Give an entry."""
        ...


class Draft:
    """Reads through to what is below, keeps writes and events to itself."""

    def __init__(self, state: LedgerState, below: Reader, context: BlockContext) -> None:
        self.state = state
        self.context = context
        self.writes: dict[Key, Entry | None] = {}
        self.events: list[LedgerEvent] = []
        self._below = below

    def get(self, key: Key) -> Entry | None:
        """Give an entry as this draft would leave it."""
        return self.writes[key] if key in self.writes else self._below.get(key)

    def put(self, key: Key, entry: Entry) -> None:
        """Write an entry."""
        self.writes[key] = entry

    def drop(self, key: Key) -> None:
        """Delete an entry."""
        self.writes[key] = None

    def tell(self, event: LedgerEvent) -> None:
        """Tell what has happened."""
        self.events.append(event)

    def take_over(self, other: "Draft") -> None:
        """Make another draft's changes part of this one."""
        self.writes.update(other.writes)
        self.events += other.events

    # The entries that most transitions touch

    @property
    def meta(self) -> Meta:
        """Give what there is one of."""
        return cast("Meta", self.get(META_KEY))

    @property
    def running_ms(self) -> int:
        """Give the block's running time."""
        return self.meta.running_ms

    def put_meta(self, meta: Meta) -> None:
        """Write what there is one of."""
        self.put(META_KEY, meta)

    @property
    def epoch_entry(self) -> EpochEntry:
        """Give the epoch at the block's beginning, and whether it is to end."""
        return cast("EpochEntry", self.get(epoch_key(self.state.epoch.number)))

    def task(self, task: TaskId) -> TaskEntry | None:
        """Give a task."""
        return cast("TaskEntry | None", self.get((Table.TASK, task)))

    def put_task(self, task: TaskId, entry: TaskEntry) -> None:
        """Write a task."""
        self.put((Table.TASK, task), entry)

    def dispute(self, task: TaskId) -> DisputeEntry | None:
        """Give how far the bisection of a disputed task is; None when it is not bisected."""
        return cast("DisputeEntry | None", self.get(dispute_key(task)))

    def put_dispute(self, task: TaskId, entry: DisputeEntry) -> None:
        """Write how far a bisection is."""
        self.put(dispute_key(task), entry)

    def proof(self, task: TaskId) -> ProofEntry | None:
        """Give what members say of a task's proof; None while none is to be checked."""
        return cast("ProofEntry | None", self.get((Table.PROOF, task)))

    def step(self, task: TaskId) -> StepEntry | None:
        """Give the promise to prove the stretch that a task's game leaves; None without one."""
        return cast("StepEntry | None", self.get((Table.STEP, task)))

    def put_step(self, task: TaskId, entry: StepEntry) -> None:
        """Write what becomes of such a promise."""
        self.put((Table.STEP, task), entry)

    def marks(self, task: TaskId) -> MarkEntry:
        """Give from where others may go on with a task."""
        return cast("MarkEntry", self.get((Table.MARKS, task)) or NO_MARKS)

    def put_marks(self, task: TaskId, entry: MarkEntry) -> None:
        """Write from where others may go on with a task."""
        self.put((Table.MARKS, task), entry)

    def put_proof(self, task: TaskId, entry: ProofEntry) -> None:
        """Write what members say of a task's proof."""
        self.put((Table.PROOF, task), entry)

    def node(self, node: NodeId) -> NodeEntry | None:
        """Give a node."""
        return cast("NodeEntry | None", self.get((Table.NODE, node)))

    def put_node(self, node: NodeId, entry: NodeEntry) -> None:
        """Write a node."""
        self.put((Table.NODE, node), entry)

    def balance_msat(self, node: NodeId) -> int:
        """Give what a node may spend."""
        return cast("Account", self.get((Table.ACCOUNT, node)) or Account()).balance_msat

    def credit(self, node: NodeId, amount_msat: int) -> None:
        """Add to a balance; a negative amount takes away, which the caller has checked."""
        balance = self.balance_msat(node) + amount_msat
        assert balance >= 0, "a balance is never negative"
        self.put((Table.ACCOUNT, node), Account(balance_msat=balance))

    def moves(self, node: NodeId) -> Moves:
        """Give what a node's owner has said of its account, and the bond that waits."""
        return cast("Moves", self.get(moves_key(node)) or Moves())

    def put_moves(self, node: NodeId, moves: Moves) -> None:
        """Write what a node's owner has said of its account."""
        self.put(moves_key(node), moves)

    def offer(self, node: NodeId) -> OfferEntry:
        """Give what a node's owner lets it take."""
        return cast("OfferEntry", self.get(offer_key(node)) or OfferEntry())

    def put_offer(self, node: NodeId, offer: OfferEntry) -> None:
        """Write what a node's owner lets it take."""
        self.put(offer_key(node), offer)

    def refill(self, convict: NodeId) -> Refill:
        """Give what is left of a convict's bond for audits of the answers that it vouched for."""
        return cast("Refill", self.get(refill_key(convict)) or Refill(left_msat=0))

    def put_refill(self, convict: NodeId, refill: Refill) -> None:
        """Write what is left of a convict's bond for audits."""
        self.put(refill_key(convict), refill)

    def speaks(self, topic: Topic, author: NodeId, said_ms: int) -> bool:
        """Note when an author speaks; False for what it said before, or at the same time.

        Whoever coordinates can bring an author's older words again at any time.
        """
        key = word_key(topic, author)
        before = cast("LastWord | None", self.get(key))
        if before is not None and said_ms <= before.said_ms:
            return False
        self.put(key, LastWord(said_ms=said_ms))
        return True

    def move_reserve(self, amount_msat: int) -> None:
        """Raise what audits are paid from, or lower it."""
        meta = self.meta
        self.put_meta(replace(meta, reserve_msat=meta.reserve_msat + amount_msat))

    def move_pool(self, amount_msat: int) -> None:
        """Raise what fees have brought, or lower it."""
        meta = self.meta
        self.put_meta(replace(meta, fee_pool_msat=meta.fee_pool_msat + amount_msat))

    def move_escrow(self, amount_msat: int) -> None:
        """Raise what lies in escrow, or lower it."""
        meta = self.meta
        self.put_meta(replace(meta, escrow_msat=meta.escrow_msat + amount_msat))

    @property
    def studies(self) -> Studies:
        """Give which studies there are."""
        return cast("Studies", self.get(STUDIES_KEY) or Studies())

    def put_studies(self, studies: Studies) -> None:
        """Write which studies there are."""
        self.put(STUDIES_KEY, studies)

    def study(self, study: StudyId) -> StudyEntry | None:
        """Give a study."""
        return cast("StudyEntry | None", self.get(study_key(study)))

    def put_study(self, study: StudyId, entry: StudyEntry) -> None:
        """Write a study."""
        self.put(study_key(study), entry)

    def round(self, study: StudyId, number: int) -> RoundEntry | None:
        """Give a round of a study."""
        return cast("RoundEntry | None", self.get(round_key(study, number)))

    def put_round(self, study: StudyId, number: int, entry: RoundEntry) -> None:
        """Write a round of a study."""
        self.put(round_key(study, number), entry)

    # The receipt log

    def append_leaf(self, digest: Digest, task: TaskId) -> int:
        """Add a leaf to the receipt log, of a task or, when that is empty, of an epoch."""
        meta = self.meta
        edge = Frontier(meta.log_size, tuple(meta.log_edge)).extended([digest])
        self.put(leaf_key(meta.log_size), Leaf(digest=digest, task=task))
        self.put_meta(
            replace(meta, log_size=edge.size, log_edge=tuple(Digest(each) for each in edge.hashes))
        )
        return meta.log_size

    # Reputation

    def reputation(self, node: NodeId, task_class: str) -> Reputation:
        """Give what is known of a node's work in a class, as of now."""
        found = cast("Reputation | None", self.get(reputation_key(node, task_class)))
        return reputation.as_of(found or reputation.UNKNOWN, self.context.time_ms)

    def reputation_permille(self, node: NodeId) -> int:
        """Give what outcomes in all classes say of a node."""
        found = (self.reputation(node, each) for each in self.state.genesis.rules.classes)
        return reputation.overall_permille(found, self.context.time_ms)

    def praise(self, node: NodeId, task: TaskEntry) -> None:
        """Count a verified outcome of a task, if its submitter could not choose who verifies it."""
        strategy = self.state.genesis.rules.strategy
        if not earns_trust(task.spec, strategy, (slot.attempt for slot in task.slots)):
            return
        before = self.reputation(node, task.spec.task_class)
        self._put_reputation(
            node, task, reputation.verified(before, task.submitter, self.context.time_ms)
        )

    def blame(self, node: NodeId, task: TaskEntry, *, is_withheld: bool) -> None:
        """Count a word that a worker gave and did not keep, or an answer that never came."""
        before, now_ms = self.reputation(node, task.spec.task_class), self.context.time_ms
        if is_withheld:
            self._put_reputation(node, task, reputation.faulty(before, now_ms))
        else:
            self._put_reputation(node, task, reputation.late(before, task.submitter, now_ms))

    def count_late(self, node: NodeId, task_class: str, asked_by: NodeId) -> None:
        """Count what a node owed and did not bring in time, outside of tasks."""
        if task_class not in self.state.genesis.rules.classes:
            return
        before = self.reputation(node, task_class)
        after = reputation.late(before, asked_by, self.context.time_ms)
        if after != before:
            self.put(reputation_key(node, task_class), after)

    def _put_reputation(self, node: NodeId, task: TaskEntry, after: Reputation) -> None:
        if after != self.reputation(node, task.spec.task_class):
            self.put(reputation_key(node, task.spec.task_class), after)

    def convict(self, name: Digest, evidence: EvidenceEntry, owed_msat: int = 0) -> None:
        """Take everything from a proven liar, and keep what proves it.

        Of its bond so much is kept for audits as its answers may cost, and as this one owes.
        """
        culprit = evidence.culprit
        entry = self.node(culprit)
        if entry is None or self.get((Table.EVIDENCE, name)) is not None:
            return
        before = 0 if entry.tombstoned else self.reputation_permille(culprit)
        self.put((Table.EVIDENCE, name), replace(evidence, reputation_before_permille=before))
        meta, moves = self.meta, self.moves(culprit)
        lost_msat = entry.bond_msat + moves.waiting_msat
        others_msat = self.state.audits.pay_msat(culprit) * (AUDITORS + 1)
        refill_msat = min(lost_msat, others_msat + owed_msat)
        pool_msat = meta.fee_pool_msat + lost_msat - refill_msat
        reserve_msat = meta.reserve_msat + refill_msat
        self.put_meta(replace(meta, fee_pool_msat=pool_msat, reserve_msat=reserve_msat))
        if refill_msat:
            self.put_refill(culprit, Refill(left_msat=refill_msat))
        if moves.waiting_msat:
            self.put_moves(culprit, replace(moves, waiting_msat=0, due_ms=0))
        self.put_node(culprit, replace(entry, bond_msat=0, tombstoned=True, accepting=False))
        if evidence.task is None:
            self.tell(NodeConvicted(culprit, evidence.kind))
        else:
            self.tell(LiarNamed(culprit, evidence.task, name, before, lost_msat))
