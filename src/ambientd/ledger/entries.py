"""What the ledger holds under each key (protocols/03-records.md section 5)."""

from enum import IntEnum
from typing import TypeAlias, cast

from ambientd.codec.canonical import decode, encode
from ambientd.ledger import audit_entries as audit
from ambientd.ledger import learning_entries as learning
from ambientd.ledger import peg_entries as peg
from ambientd.ledger import proof_entries as proven
from ambientd.ledger.dispute_entries import DisputeEntry
from ambientd.ledger.module_entries import ModuleEntry, PublisherEntry
from ambientd.ledger.seat_entries import SeatEntry, UsedTip
from ambientd.ledger.word_entries import LastWord, MarkEntry, OfferEntry, Topic
from ambientd.model.base import Digest, NodeId, TaskId, Value
from ambientd.model.genesis import FIRST_EPOCH, Profile
from ambientd.model.peg import PegWallet
from ambientd.model.receipt import (
    AnchorProof,
    CheckpointNote,
    RefereeVerdict,
    Settlement,
    SignedReceipt,
)
from ambientd.model.record import Epoch, NodeReport
from ambientd.model.reputation import Reputation
from ambientd.model.task import Commit, SlotState, TaskSpec, TaskState, Verdict


class Table(IntEnum):
    """The kinds of entries; a key is a table and a name."""

    META = 0
    ACCOUNT = 1
    NODE = 2
    REPUTATION = 3
    TASK = 4
    LEAF = 5
    CHECKPOINT = 6
    EVIDENCE = 7
    INVITE = 8
    REPORT = 9
    EPOCH = 10
    SEAT = 11
    TIP = 12
    MOVES = 13
    WORD = 14
    DISPUTE = 15
    AUDIT = 16
    UNVESTED = 17
    HEADERS = 18
    REFILL = 19
    PEG = 21
    PEG_NODE = 22
    PEG_COIN = 23
    PEG_PAYMENT = 24
    PEG_WALLET = 25
    OFFER = 26
    PEG_CHANGE = 27
    PEG_END = 28
    MODULE = 29
    PUBLISHER = 30
    STUDIES = 31
    STUDY = 32
    ROUND = 33
    PEG_LEAST = 34
    LESSON = 35
    PEG_RETURN = 36
    PROOF = 37
    STEP = 38
    IMAGE = 39
    IMAGE_AUTHOR = 40
    MARKS = 41


PRIORITY_MS = 60_000
"""How much longer a task must have waited to go before one of the next priority."""

Key: TypeAlias = tuple[Table, bytes]
META_KEY: Key = (Table.META, b"")
HEADERS_KEY: Key = (Table.HEADERS, b"")


def encode_key(key: Key) -> bytes:
    """Give a key's bytes; keys of one table sort together."""
    return bytes([key[0]]) + key[1]


def decode_key(data: bytes) -> Key:
    """Read a key; raise ValueError for an unknown table."""
    if not data:
        msg = "a ledger key has at least one byte"
        raise ValueError(msg)
    return Table(data[0]), data[1:]


def report_key(node: NodeId, member: NodeId) -> Key:
    """Give the key of a member's last report on a node."""
    return Table.REPORT, node + member


def epoch_key(number: int) -> Key:
    """Give the key of an epoch."""
    return Table.EPOCH, number.to_bytes(8, "big")


def seat_key(node: NodeId) -> Key:
    """Give the key of what was said about a node's seat."""
    return Table.SEAT, node


def reputation_key(node: NodeId, task_class: str) -> Key:
    """Give the key of a node's reputation in a class of tasks."""
    return Table.REPUTATION, node + task_class.encode()


def leaf_key(index: int) -> Key:
    """Give the key of a leaf of the receipt log."""
    return Table.LEAF, index.to_bytes(8, "big")


def moves_key(node: NodeId) -> Key:
    """Give the key of what a node's owner has said of its account."""
    return Table.MOVES, node


def word_key(topic: Topic, author: NodeId) -> Key:
    """Give the key of when an author last spoke on a topic."""
    return Table.WORD, bytes([topic]) + author


def audit_key(task: TaskId) -> Key:
    """Give the key of what becomes of an unreplicated task's answer."""
    return Table.AUDIT, task


def unvested_key(worker: NodeId, task: TaskId) -> Key:
    """Give the key of a worker's pay for a task that has not vested."""
    return Table.UNVESTED, worker + task


def refill_key(convict: NodeId) -> Key:
    """Give the key of what is left of a convict's bond for audits."""
    return Table.REFILL, convict


def dispute_key(task: TaskId) -> Key:
    """Give the key of how far the bisection of a disputed task is."""
    return Table.DISPUTE, task


def offer_key(node: NodeId) -> Key:
    """Give the key of what a node's owner lets it take."""
    return Table.OFFER, node


def module_key(publisher: NodeId, name: str) -> Key:
    """Give the key of a publisher's module."""
    return Table.MODULE, publisher + name.encode()


def image_key(module: Digest, translation: Digest) -> Key:
    """Give the key of what a module's own image is by one translation."""
    return Table.IMAGE, module + translation


def publisher_key(node: NodeId) -> Key:
    """Give the key of how much a node has published."""
    return Table.PUBLISHER, node


def tip_key(tip: bytes) -> Key:
    """Give the key of a beacon tip that was used."""
    return Table.TIP, tip


PEG_KEY: Key = (Table.PEG, b"")


def peg_node_key(node: NodeId) -> Key:
    """Give the key of a node's part in the peg."""
    return Table.PEG_NODE, node


def coin_key(txid: bytes, output: int) -> Key:
    """Give the key of an output that pays the federation."""
    return Table.PEG_COIN, txid + output.to_bytes(4, "big")


def payment_key(number: int) -> Key:
    """Give the key of a payment of the federation."""
    return Table.PEG_PAYMENT, number.to_bytes(8, "big")


def wallet_key(number: int) -> Key:
    """Give the key of a wallet of the federation."""
    return Table.PEG_WALLET, number.to_bytes(8, "big")


STUDIES_KEY: Key = (Table.STUDIES, b"")


def lesson_key(task: TaskId) -> Key:
    """Give the key of what a participant has signed of its training."""
    return Table.LESSON, task


def study_key(study: bytes) -> Key:
    """Give the key of a study."""
    return Table.STUDY, study


def round_key(study: bytes, number: int) -> Key:
    """Give the key of a study's round."""
    return Table.ROUND, study + number.to_bytes(4, "big")


class Meta(Value, frozen=True):
    """What there is one of: the receipt log's edges, the pools, the clock.

    Leaves below `kept_from` are forgotten, and `kept_edge` is the tree's right edge there. What
    outages took of block time is `lost_ms`; the rest is *running time*, which deadlines are of.
    """

    time_ms: int = 0
    log_size: int = 0
    log_edge: tuple[Digest, ...] = ()
    kept_from: int = 0
    kept_edge: tuple[Digest, ...] = ()
    checkpoint_size: int = 0
    anchored_size: int = 0
    escrow_msat: int = 0
    fee_pool_msat: int = 0
    reserve_msat: int = 0
    lost_ms: int = 0

    @property
    def running_ms(self) -> int:
        """Give the running time."""
        return self.time_ms - self.lost_ms


class Account(Value, frozen=True):
    """What a node may spend."""

    balance_msat: int = 0


class NodeEntry(Value, frozen=True):
    """A node as the ledger knows it; the condition is what the members' reports say together."""

    profile: Profile
    is_member: bool
    bond_msat: int = 0
    tombstoned: bool = False
    accepting: bool = True
    safe_mode: bool = False
    health_percent: int = 50
    load_percent: int = 50
    latency_ms: int = 1000
    carbon_g_per_kwh: int = 1000
    capacity: int = 1
    open_slots: int = 0
    engine: int = 0
    closed: int = 0  # why its owner lets it take no work (`Closed`), 0 when it takes some
    queued_ms: int = 0
    """The time that its open slots may take, one after the other."""
    memory_bytes_max: int = 0  # what one task may need there, 0 where its owner does not say

    @property
    def is_fit(self) -> bool:
        """Whether the node takes work."""
        is_well = self.accepting and not self.tombstoned and not self.safe_mode
        return is_well and not self.closed


class Slot(Value, frozen=True):
    """One of the replicas that a task asks for."""

    slot: int
    attempt: int
    worker: NodeId = NodeId(b"")
    state: SlotState = SlotState.WAITING
    deadline_ms: int = 0
    commit: Commit | None = None
    receipt: SignedReceipt | None = None


class Payment(Value, frozen=True):
    """What one node was paid for a task."""

    node: NodeId
    amount_msat: int


class Audited(Value, frozen=True):
    """What an audit executes again: a task, and whose answer to it."""

    task: TaskId
    worker: NodeId


class TaskEntry(Value, frozen=True):
    """A task from admission to its end."""

    submitter: NodeId
    nonce: bytes
    until_ms: int
    admit_signature: bytes
    spec: TaskSpec
    state: TaskState
    admitted_ms: int
    escrow_msat: int
    slots: tuple[Slot, ...] = ()
    tried: tuple[NodeId, ...] = ()
    deadline_ms: int = 0
    verdicts: tuple[RefereeVerdict, ...] = ()
    settlement: Settlement | None = None
    leaf: int | None = None
    payments: tuple[Payment, ...] = ()
    refunded_msat: int = 0
    ended_ms: int = 0
    answered: bool = False
    """Whether any worker ever sealed an answer: the task can be executed."""
    audits: Audited | None = None
    """What this task audits, if it is an audit: nobody admitted it, and the reserve pays for it."""

    expires_ms: int = 0  # when the task is late as a whole, in running time; 0 for never

    @property
    def queued_ms(self) -> int:
        """Give the task's place among those that wait: by age, each priority a while ahead."""
        return self.admitted_ms - self.spec.priority * PRIORITY_MS

    @property
    def receipts(self) -> tuple[SignedReceipt, ...]:
        """Give the opened answers in the order of the slots."""
        return tuple(slot.receipt for slot in self.slots if slot.receipt is not None)

    @property
    def lone_worker(self) -> NodeId | None:
        """Give on whose word alone a settled answer stands: no other worker or referee gave it."""
        settled = self.settlement
        if settled is None or settled.verdict not in {Verdict.NONE, Verdict.BISECTED}:
            return None
        same = [each.receipt for each in self.receipts if each.receipt.result == settled.result]
        return same[0].worker if len(same) == 1 else None

    def answer_of(self, worker: NodeId) -> SignedReceipt:
        """Give a worker's opened answer; it has one."""
        return next(signed for signed in self.receipts if signed.receipt.worker == worker)

    @property
    def seed_task(self) -> TaskId | None:
        """Give the task that an audit does again, whose random numbers it draws; None of others."""
        return None if self.audits is None else self.audits.task

    @property
    def barred(self) -> frozenset[NodeId]:
        """Give who may have no slot of this task: nobody audits itself."""
        return frozenset() if self.audits is None else frozenset({self.audits.worker})

    def has_verdict_of(self, referee: NodeId) -> bool:
        """Tell whether a referee has spoken."""
        return any(verdict.referee == referee for verdict in self.verdicts)


class Leaf(Value, frozen=True):
    """One leaf of the receipt log: of a settled task, or of an epoch when `task` is empty."""

    digest: Digest
    task: TaskId


class CheckpointEntry(Value, frozen=True):
    """A closed batch, its anchor once there is one, and whose committee has cosigned it."""

    note: CheckpointNote
    anchor: AnchorProof | None = None
    epoch: int = FIRST_EPOCH


class EvidenceEntry(Value, frozen=True):
    """What convicts a node, so that anyone can replay it."""

    culprit: NodeId
    kind: str
    task: TaskId | None
    receipt: SignedReceipt | None
    verdicts: tuple[RefereeVerdict, ...]
    first: bytes = b""
    second: bytes = b""
    reputation_before_permille: int = 0


class Invite(Value, frozen=True):
    """An invite key that has been used."""

    node: NodeId


class EpochEntry(Value, frozen=True):
    """An epoch, the block it builds on, and which one is to follow it, once that is decided."""

    epoch: Epoch
    root_index: int = 0
    due: Epoch | None = None


class Moves(Value, frozen=True):
    """When a node's owner last moved its money, and the bond that is on its way back.

    What waits is at risk as before, and counts for nothing else.
    """

    said_ms: int = 0
    waiting_msat: int = 0
    due_ms: int = 0


Entry: TypeAlias = (
    Meta
    | Account
    | NodeEntry
    | Reputation
    | TaskEntry
    | Leaf
    | CheckpointEntry
    | EvidenceEntry
    | Invite
    | NodeReport
    | EpochEntry
    | SeatEntry
    | UsedTip
    | Moves
    | LastWord
    | OfferEntry
    | audit.AuditEntries
    | peg.PegEntries
    | DisputeEntry
    | ModuleEntry
    | PublisherEntry
    | learning.LearningEntries
    | proven.ProofEntries
    | MarkEntry
)

ENTRY_TYPES: dict[Table, type[Entry]] = {
    Table.META: Meta,
    Table.ACCOUNT: Account,
    Table.NODE: NodeEntry,
    Table.REPUTATION: Reputation,
    Table.TASK: TaskEntry,
    Table.LEAF: Leaf,
    Table.CHECKPOINT: CheckpointEntry,
    Table.EVIDENCE: EvidenceEntry,
    Table.INVITE: Invite,
    Table.REPORT: NodeReport,
    Table.EPOCH: EpochEntry,
    Table.SEAT: SeatEntry,
    Table.TIP: UsedTip,
    Table.MOVES: Moves,
    Table.WORD: LastWord,
    Table.AUDIT: audit.AuditEntry,
    Table.UNVESTED: audit.Unvested,
    Table.HEADERS: audit.BitcoinWindow,
    Table.REFILL: audit.Refill,
    Table.PEG: peg.PegEntry,
    Table.PEG_NODE: peg.PegNodeEntry,
    Table.PEG_COIN: peg.PegCoinEntry,
    Table.PEG_PAYMENT: peg.PegPaymentEntry,
    Table.PEG_WALLET: PegWallet,
    Table.PEG_CHANGE: peg.PegChangeEntry,
    Table.PEG_END: peg.PegEndEntry,
    Table.PEG_LEAST: peg.PegLeastEntry,
    Table.PEG_RETURN: peg.PegReturnEntry,
    Table.DISPUTE: DisputeEntry,
    Table.OFFER: OfferEntry,
    Table.MODULE: ModuleEntry,
    Table.PUBLISHER: PublisherEntry,
    Table.STUDIES: learning.Studies,
    Table.STUDY: learning.StudyEntry,
    Table.ROUND: learning.RoundEntry,
    Table.LESSON: learning.LessonEntry,
    Table.PROOF: proven.ProofEntry,
    Table.STEP: proven.StepEntry,
    Table.IMAGE: proven.ImageEntry,
    Table.IMAGE_AUTHOR: proven.ImageAuthor,
    Table.MARKS: MarkEntry,
}


def encode_entry(entry: Entry) -> bytes:
    """Give an entry's canonical bytes."""
    return encode(entry)


def decode_entry(key: Key, data: bytes) -> Entry:
    """Read the entry of a key; raise RemoteProtocolError when it is malformed."""
    return cast("Entry", decode(data, ENTRY_TYPES[key[0]]))
