"""What goes into the telemetry core, and what comes out."""

from dataclasses import dataclass
from typing import TypeAlias

from ambientd.model.base import NodeId
from ambientd.model.telemetry import Observation, TelemetryBatch
from ambientd.telemetry.safe_mode import Mode, Reason


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """The probes were read; these replace the observations before them."""

    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class BatchReceived:
    """A peer handed over somebody's encoded batch."""

    sender: NodeId
    data: bytes


@dataclass(frozen=True, slots=True)
class RoundTripMeasured:
    """A peer answered; `round_trip_us` there and back."""

    peer: NodeId
    round_trip_us: int


@dataclass(frozen=True, slots=True)
class TransferMeasured:
    """A large enough transfer with a peer ended."""

    kbit_per_s: int


@dataclass(frozen=True, slots=True)
class SizeSeen:
    """A log block or a batch of this size came by."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class OperationEnded:
    """An execution or another operation of this node succeeded or failed."""

    succeeded: bool


@dataclass(frozen=True, slots=True)
class ExecutionsChanged:
    """So many executions are running now."""

    running: int


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """These nodes belong to the cluster; the telemetry of all others is ignored."""

    nodes: frozenset[NodeId]


Event: TypeAlias = (
    Ticked
    | Sampled
    | BatchReceived
    | RoundTripMeasured
    | TransferMeasured
    | SizeSeen
    | OperationEnded
    | ExecutionsChanged
    | MembersChanged
)


@dataclass(frozen=True, slots=True)
class PersistEpoch:
    """Keep the epoch durably before any later Publish leaves."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Gossip this node's own batch."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BatchAccepted:
    """A node's condition is news: keep it, show it, pass it on."""

    batch: TelemetryBatch


@dataclass(frozen=True, slots=True)
class Penalise:
    """The sender handed over what no honest node hands over."""

    sender: NodeId
    reason: str


@dataclass(frozen=True, slots=True)
class ReportEvidence:
    """Two signed batches of one node contradict each other."""

    culprit: NodeId
    kind: str
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class IdentitySeenElsewhere:
    """A newer batch of this very node came from outside: an old backup, or a copied key."""

    epoch: int


@dataclass(frozen=True, slots=True)
class SafeModeChanged:
    """This node's mode is now another one, for these reasons."""

    mode: Mode
    reasons: tuple[Reason, ...]


Effect: TypeAlias = (
    PersistEpoch
    | Publish
    | BatchAccepted
    | Penalise
    | ReportEvidence
    | IdentitySeenElsewhere
    | SafeModeChanged
)
