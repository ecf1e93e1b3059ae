"""What the runtime tells a node."""

from dataclasses import dataclass
from typing import TypeAlias

from ambientd.model.base import Digest, NodeId
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
class AnchorProven:
    """A root has its confirmations."""

    size: int
    root: Digest
    proof: AnchorProof


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
    | AnchorProven
    | AnchorSigned
    | Sampled
    | RoundTripMeasured
)
