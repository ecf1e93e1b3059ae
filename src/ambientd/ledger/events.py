"""What the ledger tells after each block; roles, people and programs live on these."""

from dataclasses import dataclass, field
from typing import TypeAlias

from ambientd.ledger.audit_entries import AuditSource
from ambientd.ledger.choices import Choice
from ambientd.ledger.image_events import ImageEvent
from ambientd.ledger.learning_events import LearningEvent
from ambientd.ledger.peg_events import PegEvent
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import SegmentVerdict
from ambientd.model.mark import Mark
from ambientd.model.proof import ProofWord
from ambientd.model.receipt import AnchorProof, RefereeVerdict, Settlement, SignedReceipt
from ambientd.model.record import Body, SeatWish
from ambientd.model.task import TaskState


@dataclass(frozen=True, slots=True)
class TaskAdmitted:
    """A task is in, its fee in escrow."""

    task: TaskId
    escrow_msat: int


@dataclass(frozen=True, slots=True)
class SlotAssigned:
    """A worker owes an answer."""

    task: TaskId
    slot: int
    attempt: int
    worker: NodeId
    deadline_ms: int
    choice: Choice | None = field(default=None, compare=False, repr=False)
    """Why it went to this worker, for whoever explains it; nothing follows from it."""


@dataclass(frozen=True, slots=True)
class SlotReleased:
    """A worker does not owe this answer any more; `reason` says why."""

    task: TaskId
    slot: int
    worker: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class StateMarked:
    """A worker has said where its execution stands: whoever has the slot next may go on there."""

    task: TaskId
    mark: Mark


@dataclass(frozen=True, slots=True)
class SlotCommitted:
    """A worker has sealed its answer."""

    task: TaskId
    slot: int
    worker: NodeId


@dataclass(frozen=True, slots=True)
class TaskCommitted:
    """All answers are sealed; they may be opened now."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class SlotRevealed:
    """A worker has opened its answer."""

    task: TaskId
    slot: int
    worker: NodeId
    receipt: SignedReceipt


@dataclass(frozen=True, slots=True)
class TaskDisputed:
    """The answers differ: the parties bisect the task, or the referees execute it themselves."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class RefereeSpoke:
    """A referee has given its finding, on the whole or on a segment."""

    task: TaskId
    verdict: RefereeVerdict | SegmentVerdict


@dataclass(frozen=True, slots=True)
class RoundBegan:
    """Two parties owe their traces of a stretch of gas."""

    task: TaskId
    game: int
    round: int
    parties: tuple[NodeId, NodeId]
    low_gas: int
    until_gas: int


@dataclass(frozen=True, slots=True)
class PartySpoke:
    """A party has given its trace."""

    task: TaskId
    game: int
    round: int
    party: NodeId


@dataclass(frozen=True, slots=True)
class PartyBlamed:
    """A party did not give its trace in time: it is not paid."""

    task: TaskId
    game: int
    party: NodeId


@dataclass(frozen=True, slots=True)
class SegmentReached:
    """A dispute was narrowed down to a stretch that the referees execute."""

    task: TaskId
    game: int
    start_gas: int
    until_gas: int


@dataclass(frozen=True, slots=True)
class WholeWanted:
    """A bisection was given up: the referees execute the task themselves."""

    task: TaskId
    reason: str


@dataclass(frozen=True, slots=True)
class ProofSpoke:
    """A member has said what it finds of a proof."""

    task: TaskId
    word: ProofWord


@dataclass(frozen=True, slots=True)
class StepPromised:
    """A node will prove the stretch that a game leaves."""

    task: TaskId
    game: int
    prover: NodeId


@dataclass(frozen=True, slots=True)
class StepShown:
    """A node has named the proof of the stretch that it promised."""

    task: TaskId
    game: int
    prover: NodeId


@dataclass(frozen=True, slots=True)
class StepGivenUp:
    """There is no proof of the stretch, or a wrong one: the members execute it."""

    task: TaskId
    game: int
    prover: NodeId
    reason: str
    is_blamed: bool


@dataclass(frozen=True, slots=True)
class LiarNamed:
    """A node is convicted: reputation nothing, bond gone, no more work."""

    node: NodeId
    task: TaskId
    evidence: Digest
    reputation_before_permille: int
    bond_lost_msat: int


@dataclass(frozen=True, slots=True)
class Paid:
    """A node was paid out of a task's escrow."""

    task: TaskId
    node: NodeId
    amount_msat: int


@dataclass(frozen=True, slots=True)
class HeadersTaken:
    """The ledger knows the Bitcoin chain up to a height."""

    height: int


@dataclass(frozen=True, slots=True)
class AuditOpened:
    """An unreplicated answer is executed again, because it was drawn or its worker convicted."""

    task: TaskId
    audit: TaskId
    source: AuditSource


@dataclass(frozen=True, slots=True)
class ResultSuspected:
    """All who vouched for an answer are convicted: it stands on nothing until it is audited."""

    task: TaskId
    submitter: NodeId
    worker: NodeId


@dataclass(frozen=True, slots=True)
class ResultConfirmed:
    """An audit has come to the same result."""

    task: TaskId
    worker: NodeId


@dataclass(frozen=True, slots=True)
class ResultRevoked:
    """A quorum of referees has found another result than the one that was accepted."""

    task: TaskId
    submitter: NodeId
    worker: NodeId
    leaf: int


@dataclass(frozen=True, slots=True)
class AuditUndecided:
    """An audit came to no result."""

    task: TaskId


@dataclass(frozen=True, slots=True)
class PayWaits:
    """A worker's pay for a task vests at a time, if nothing comes up."""

    task: TaskId
    node: NodeId
    amount_msat: int
    due_ms: int


@dataclass(frozen=True, slots=True)
class PayLost:
    """A convicted worker's pay for a task that had not vested goes to the reserve."""

    task: TaskId
    node: NodeId
    amount_msat: int


@dataclass(frozen=True, slots=True)
class PremiumPaid:
    """A task's share of what audits cost has gone from its escrow to the reserve."""

    task: TaskId
    amount_msat: int


@dataclass(frozen=True, slots=True)
class Refunded:
    """What was left of the escrow went back to the submitter."""

    task: TaskId
    node: NodeId
    amount_msat: int


@dataclass(frozen=True, slots=True)
class TaskFinal:
    """A task has its settlement, which is a leaf of the receipt log."""

    task: TaskId
    settlement: Settlement
    leaf: int


@dataclass(frozen=True, slots=True)
class TaskClosed:
    """A task has ended, whichever way."""

    task: TaskId
    state: TaskState


@dataclass(frozen=True, slots=True)
class NodeJoined:
    """A node is on the allow-list."""

    node: NodeId
    name: str


@dataclass(frozen=True, slots=True)
class NodeConvicted:
    """Evidence that has nothing to do with a task was accepted."""

    node: NodeId
    kind: str


@dataclass(frozen=True, slots=True)
class NodeOffered:
    """A node's owner lets it take work; or none, for the reason `closed`, if that is not 0.

    One task may need `memory_bytes_max` there, 0 where the owner does not say.
    """

    node: NodeId
    closed: int
    memory_bytes_max: int = 0


@dataclass(frozen=True, slots=True)
class CheckpointClosed:
    """A batch of receipts has a cosigned head."""

    size: int
    root: Digest


@dataclass(frozen=True, slots=True)
class BatchAnchored:
    """A head is in a Bitcoin block."""

    size: int
    root: Digest
    proof: AnchorProof


@dataclass(frozen=True, slots=True)
class SeatSpoken:
    """Somebody has said whether a node shall sit in the committee."""

    speaker: NodeId
    node: NodeId
    wish: SeatWish


@dataclass(frozen=True, slots=True)
class EpochDue:
    """The committee is to change: the log ends the epoch as soon as it can."""

    number: int
    members: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class EpochBegan:
    """Another committee keeps the log from here on."""

    number: int
    members: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class Transferred:
    """A node has passed credits on to another."""

    node: NodeId
    to: NodeId
    amount_msat: int
    said_ms: int


@dataclass(frozen=True, slots=True)
class BondRaised:
    """A node has put credits at risk."""

    node: NodeId
    amount_msat: int
    said_ms: int


@dataclass(frozen=True, slots=True)
class BondAskedBack:
    """A node wants bond back: all that waits of it is due at a time, if nothing comes up."""

    node: NodeId
    amount_msat: int
    due_ms: int
    said_ms: int


@dataclass(frozen=True, slots=True)
class BondReturned:
    """What a node had asked back of its bond is in its balance again."""

    node: NodeId
    amount_msat: int


@dataclass(frozen=True, slots=True)
class ModulePublished:
    """A version of a module is in the registry."""

    publisher: NodeId
    name: str
    version: str
    manifest: Digest


@dataclass(frozen=True, slots=True)
class ModuleYanked:
    """A publisher advises against a version of its module."""

    publisher: NodeId
    name: str
    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordRejected:
    """A record changed nothing."""

    author: NodeId
    kind: str
    reason: str
    task: TaskId | None
    body: Body | None = field(default=None, repr=False)
    """What the record said: which of its author's it was."""


LedgerEvent: TypeAlias = (
    TaskAdmitted
    | SlotAssigned
    | SlotReleased
    | StateMarked
    | SlotCommitted
    | TaskCommitted
    | SlotRevealed
    | TaskDisputed
    | RefereeSpoke
    | RoundBegan
    | PartySpoke
    | PartyBlamed
    | SegmentReached
    | WholeWanted
    | ProofSpoke
    | StepPromised
    | StepShown
    | StepGivenUp
    | LiarNamed
    | Paid
    | HeadersTaken
    | AuditOpened
    | ResultSuspected
    | ResultConfirmed
    | ResultRevoked
    | AuditUndecided
    | PayWaits
    | PayLost
    | PremiumPaid
    | Refunded
    | TaskFinal
    | TaskClosed
    | NodeJoined
    | NodeConvicted
    | NodeOffered
    | CheckpointClosed
    | BatchAnchored
    | SeatSpoken
    | EpochDue
    | EpochBegan
    | Transferred
    | BondRaised
    | BondAskedBack
    | BondReturned
    | PegEvent
    | ModulePublished
    | ModuleYanked
    | LearningEvent
    | ImageEvent
    | RecordRejected
)
