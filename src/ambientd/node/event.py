"""What the runtime tells a node."""

from typing import TypeAlias

import msgspec

from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.effect import Assignment, ExecutionReport
from ambientd.model.execution import AbortCause
from ambientd.model.mark import Mark
from ambientd.model.offer import Wish
from ambientd.model.proof import Finding
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Body, Record
from ambientd.model.task import TaskSpec
from ambientd.node.learning_event import LearningDone
from ambientd.telemetry.messages import Sampled, TransferMeasured


class Started(msgspec.Struct, frozen=True):
    """The node begins or resumes; what it owes from before is taken up again."""


class Ticked(msgspec.Struct, frozen=True):
    """Time has passed."""


class FrameReceived(msgspec.Struct, frozen=True):
    """A peer sent a frame."""

    sender: NodeId
    frame: bytes


class GossipReceived(msgspec.Struct, frozen=True):
    """A peer's telemetry arrived by gossip."""

    sender: NodeId
    data: bytes


class PeerConnected(msgspec.Struct, frozen=True):
    """A peer can be reached now."""

    peer: NodeId


class PeerLost(msgspec.Struct, frozen=True):
    """A peer cannot be reached any more."""

    peer: NodeId


class BodiesProposed(msgspec.Struct, frozen=True):
    """The owner of this node wants bodies signed, all at once, and brought into the log."""

    bodies: tuple[Body, ...]


class TaskTakenBack(msgspec.Struct, frozen=True):
    """The owner of this node wants a task no more that waits for the log."""

    task: TaskId


class OwnerWished(msgspec.Struct, frozen=True):
    """The owner of this node lets it take work, or none, and which."""

    wish: Wish


class RecordOffered(msgspec.Struct, frozen=True):
    """A record signed by somebody who is not yet a peer, to be brought into the log."""

    record: Record


class WorkEvent(msgspec.Struct, frozen=True):
    """What the host tells of work that the node has asked of it."""


class ExecutionEnded(WorkEvent, frozen=True):
    """An execution came to its outcome, or was aborted, which is no outcome.

    `aborted` says why. The host is at fault when `host_failed`; a task is not tried again here
    when `declined`, because it asks for more than this device's owner allows. `cause` is what the
    submitter is told.
    """

    assignment: Assignment
    spec: TaskSpec
    report: ExecutionReport | None
    aborted: str = ""
    host_failed: bool = False
    declined: bool = False
    cause: AbortCause = AbortCause.OTHER


class TraceMade(WorkEvent, frozen=True):
    """A trace came out: a point for each target, and the state at its beginning as a kept blob.

    An execution that did not get so far ends as an ExecutionEnded that was aborted.
    """

    assignment: Assignment
    points: tuple[TracePoint, ...]
    start: KnownState


class SegmentMade(WorkEvent, frozen=True):
    """A disputed stretch was executed; `end` is where that led.

    When it could not be done, or the state is not that of its root, an ExecutionEnded says so.
    """

    assignment: Assignment
    end: TracePoint


class StateReached(WorkEvent, frozen=True):
    """An execution stands at a state that is kept as a blob; None where there is no new one.

    `start` as in its report. With `is_last` it has left off, as it was told.
    """

    assignment: Assignment
    reached: KnownState | None
    start: Mark | None = None
    is_last: bool = False


class StateKept(WorkEvent, frozen=True):
    """A state lies here for others, or for this node to go on from; `point` is where it stands.

    A blob that is no state stands at the beginning.
    """

    kept: KnownState


class ProofChecked(WorkEvent, frozen=True):
    """A proof was judged; cycles are 0 unless it holds.

    What this host could not do ends as an ExecutionEnded that was aborted.
    """

    assignment: Assignment
    finding: Finding
    cycles: int = 0


class StepMade(WorkEvent, frozen=True):
    """A disputed stretch was proven; the proof is kept as a blob."""

    assignment: Assignment
    proof: Digest


class StepChecked(WorkEvent, frozen=True):
    """A proof of a disputed stretch was judged; `end` is where it leads, if the proof holds.

    What this host could not do ends as an ExecutionEnded that was aborted.
    """

    assignment: Assignment
    finding: Finding
    cycles: int = 0
    end: TracePoint | None = None


class AnchorProven(msgspec.Struct, frozen=True):
    """A root has its confirmations."""

    size: int
    root: Digest
    proof: AnchorProof


class HeadersSeen(msgspec.Struct, frozen=True):
    """This node's own chain has come further; its last headers, and the first one's height."""

    height: int
    headers: tuple[bytes, ...]


class AnchorSigned(msgspec.Struct, frozen=True):
    """This node has signed and sent a transaction that carries a root."""

    size: int
    root: Digest
    raw_tx: bytes


class RoundTripMeasured(msgspec.Struct, frozen=True):
    """A heartbeat to a peer came back."""

    peer: NodeId
    round_trip_us: int


Event: TypeAlias = (
    Started
    | Ticked
    | FrameReceived
    | GossipReceived
    | PeerConnected
    | PeerLost
    | BodiesProposed
    | TaskTakenBack
    | OwnerWished
    | RecordOffered
    | ExecutionEnded
    | StateReached
    | StateKept
    | TraceMade
    | SegmentMade
    | ProofChecked
    | StepMade
    | StepChecked
    | AnchorProven
    | HeadersSeen
    | AnchorSigned
    | Sampled
    | RoundTripMeasured
    | TransferMeasured
    | LearningDone
)
