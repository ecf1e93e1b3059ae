"""What the runtime tells a node."""

from dataclasses import dataclass
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.effect import Assignment, ExecutionReport
from ambientd.model.execution import AbortCause
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Body, Record
from ambientd.model.task import TaskSpec
from ambientd.model.telemetry import Observation


@dataclass(frozen=True, slots=True)
class Started:
    """The node begins or resumes; what it owes from before is taken up again."""


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """A peer sent a frame."""

    sender: NodeId
    frame: bytes


@dataclass(frozen=True, slots=True)
class GossipReceived:
    """A peer's telemetry arrived by gossip."""

    sender: NodeId
    data: bytes


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A peer can be reached now."""

    peer: NodeId


@dataclass(frozen=True, slots=True)
class PeerLost:
    """A peer cannot be reached any more."""

    peer: NodeId


@dataclass(frozen=True, slots=True)
class BodiesProposed:
    """The owner of this node wants bodies signed, all at once, and brought into the log."""

    bodies: tuple[Body, ...]


@dataclass(frozen=True, slots=True)
class RecordOffered:
    """A record signed by somebody who is not yet a peer, to be brought into the log."""

    record: Record


@dataclass(frozen=True, slots=True)
class ExecutionEnded:
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


@dataclass(frozen=True, slots=True)
class TraceMade:
    """A trace came out: a point for each target, and the state at its beginning as a kept blob.

    An execution that did not get so far ends as an ExecutionEnded that was aborted.
    """

    assignment: Assignment
    points: tuple[TracePoint, ...]
    start: KnownState


@dataclass(frozen=True, slots=True)
class SegmentMade:
    """A disputed stretch was executed; `end` is where that led.

    When it could not be done, or the state is not that of its root, an ExecutionEnded says so.
    """

    assignment: Assignment
    end: TracePoint


@dataclass(frozen=True, slots=True)
class AnchorProven:
    """A root has its confirmations."""

    size: int
    root: Digest
    proof: AnchorProof


@dataclass(frozen=True, slots=True)
class HeadersSeen:
    """This node's own chain has come further; its last headers, and the first one's height."""

    height: int
    headers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AnchorSigned:
    """This node has signed and sent a transaction that carries a root."""

    size: int
    root: Digest
    raw_tx: bytes


@dataclass(frozen=True, slots=True)
class Sampled:
    """The device's probes were read."""

    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class RoundTripMeasured:
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
    | RecordOffered
    | ExecutionEnded
    | TraceMade
    | SegmentMade
    | AnchorProven
    | HeadersSeen
    | AnchorSigned
    | Sampled
    | RoundTripMeasured
)
