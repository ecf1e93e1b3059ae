"""What roles want done; the node signs, routes or hands each on to the runtime."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.learning_effect import BringUpdate, LearningEffect
from ambientd.model.mark import Mark
from ambientd.model.message import JobMessage
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Admit, Body
from ambientd.model.task import Result, TaskSpec


class Purpose(Enum):
    """Why a task is executed here."""

    SLOT = "slot"
    REFEREE = "referee"
    TRACE = "trace"
    SEGMENT = "segment"
    LESSON = "lesson"
    PROOF = "proof"
    STEP = "step"
    STEP_PROOF = "step proof"


@dataclass(frozen=True, slots=True)
class Propose:
    """Sign a body and bring it into the log."""

    body: Body


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Want a record in the log no more; peers that it has reached may still bring it there."""

    record_hash: bytes


@dataclass(frozen=True, slots=True)
class SendJob:
    """Send a job message to one peer."""

    to: NodeId
    message: JobMessage


@dataclass(frozen=True, slots=True)
class BroadcastJob:
    """Send a job message to every other committee member."""

    message: JobMessage


@dataclass(frozen=True, slots=True)
class Assignment:
    """One execution that this node owes: as a slot's worker or as a referee (slot 0).

    Of a trace, `slot` is the game and `attempt` the round; of a segment, and of a proof of one,
    `slot` is the game.
    """

    purpose: Purpose
    task: TaskId
    slot: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Execute:
    """Get module and input from their holders, execute, and report an ExecutionEnded.

    What audits an answer draws the random numbers of the task that it executes again: `seed_task`.
    A slot goes on from the first of its `marks` whose state can be had, of the maker or `keepers`.
    What is to be proven may be proven with `own_image`, by which members stand as what it becomes.
    A proof that is kept may be by `doubted_image` as well: its seal may be on its way.
    """

    assignment: Assignment
    spec: TaskSpec
    holders: tuple[NodeId, ...]
    seed_task: TaskId | None = None
    marks: tuple[Mark, ...] = ()
    own_image: Digest | None = None
    keepers: tuple[NodeId, ...] = ()
    doubted_image: Digest | None = None


@dataclass(frozen=True, slots=True)
class CheckProof:
    """Get a proof from its holders, verify that it is of this result, and report a ProofChecked.

    Beside the universal image it may be by `own_image`, by which present members stand. One by
    `doubted_image` is not judged: too few of them stand by it by now.
    """

    assignment: Assignment
    spec: TaskSpec
    holders: tuple[NodeId, ...]
    result: Result
    proof: Digest
    own_image: Digest | None = None
    doubted_image: Digest | None = None


@dataclass(frozen=True, slots=True)
class TraceWanted:
    """Execute so that it can be paused, and report a TraceMade.

    Wanted are the states at `low`, kept as a blob for others to fetch, and at each target: the
    first checkpoint whose gas index is not below it, or the end (protocols/12). `base` is a state
    before `low` that this node has kept, from which to go on if it is still there.
    """

    assignment: Assignment
    spec: TaskSpec
    holders: tuple[NodeId, ...]
    base: KnownState
    low: TracePoint
    targets: tuple[int, ...]
    seed_task: TaskId | None = None


@dataclass(frozen=True, slots=True)
class SegmentWanted:
    """Execute from a state that others hold to the first checkpoint not below `until_gas`.

    The state's blob is to be checked against the root of `start.point`; at the beginning there is
    none. The end is reported as a SegmentMade.
    """

    assignment: Assignment
    spec: TaskSpec
    holders: tuple[NodeId, ...]
    start: KnownState
    until_gas: int
    seed_task: TaskId | None = None


@dataclass(frozen=True, slots=True)
class ProveStep:
    """Prove where a stretch leads from a state that others hold, and report a StepMade.

    Without a start, only see whether the module is one that can be proven; the StepMade names none.
    What cannot be proven, or not by this host, ends as an ExecutionEnded that was aborted.
    """

    assignment: Assignment
    spec: TaskSpec
    holders: tuple[NodeId, ...]
    start: KnownState | None
    until_gas: int
    seed_task: TaskId | None = None


@dataclass(frozen=True, slots=True)
class CheckStep:
    """Get a proof from its holders, verify that it is of this stretch, and report a StepChecked."""

    assignment: Assignment
    spec: TaskSpec
    holders: tuple[NodeId, ...]
    proof: Digest
    start: TracePoint
    until_gas: int


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """What the host tells of an execution that came to an outcome; energy in millijoules."""

    result: Result
    engine: str
    engine_version: str
    started_ms: int
    finished_ms: int
    energy_mj: int | None
    energy_source: str
    proof: Digest | None = None
    """Of a proven task: the SHA-256 of the proof, which is kept as a blob."""

    start: Mark | None = None
    """The mark that it went on from; None where it began at the beginning."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop an execution whose answer is no longer wanted."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class LeaveOff:
    """Stop an execution with a last mark, if it can be, and report a StateReached either way."""

    assignment: Assignment


@dataclass(frozen=True, slots=True)
class FetchBlob:
    """Bring a blob here while its holders are up."""

    digest: Digest
    size_bytes: int
    holders: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class PersistMark:
    """Keep a mark of this node before it is said; None when its slot is out of its hands."""

    task: TaskId
    slot: int
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class PersistAsked:
    """Keep a task that waits for the log before its submitter is told; None when that is over."""

    task: TaskId
    admit: Admit | None


@dataclass(frozen=True, slots=True)
class FetchState:
    """Bring a marked state here for others, as soon as one of its holders is up."""

    digest: Digest
    size_bytes: int
    holders: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class DropStates:
    """Give back the room of states that nobody will go on from."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class KeepStates:
    """Of all states that are kept for others, somebody may go on from these alone."""

    digests: frozenset[Digest]


@dataclass(frozen=True, slots=True)
class SendParcel:
    """Send a small blob of a task to who needs it next, before it asks."""

    to: NodeId
    task: TaskId
    digest: Digest


@dataclass(frozen=True, slots=True)
class TakeParcel:
    """A peer has sent the bytes of this digest: hold them, within its room, for who needs them."""

    sender: NodeId
    digest: Digest
    data: bytes


@dataclass(frozen=True, slots=True)
class AnchorRoot:
    """Put a checkpoint's root into a Bitcoin transaction and report an AnchorProven."""

    size: int
    root: Digest


@dataclass(frozen=True, slots=True)
class HearAnchor:
    """Another member has sent this transaction to anchor a root: no second one is needed."""

    size: int
    root: Digest
    raw_tx: bytes


@dataclass(frozen=True, slots=True)
class LeaveAnchors:
    """The log has an anchor of this batch: sign nothing new for it or an earlier one."""

    size: int


@dataclass(frozen=True, slots=True)
class WatchAnchor:
    """The log has this anchor: see to it that it stays in the best chain, whoever made it."""

    size: int
    root: Digest
    proof: AnchorProof


@dataclass(frozen=True, slots=True)
class SeatAnchors:
    """This node's place in the committee, none without a seat: when it anchors what was undone."""

    place: int | None
    members: int


RoleEffect: TypeAlias = (
    Propose
    | Withdraw
    | SendJob
    | BroadcastJob
    | Execute
    | TraceWanted
    | SegmentWanted
    | CheckProof
    | ProveStep
    | CheckStep
    | Abandon
    | LeaveOff
    | FetchBlob
    | PersistMark
    | PersistAsked
    | FetchState
    | DropStates
    | KeepStates
    | SendParcel
    | TakeParcel
    | AnchorRoot
    | HearAnchor
    | LeaveAnchors
    | WatchAnchor
    | SeatAnchors
    | BringUpdate
    | LearningEffect
)
