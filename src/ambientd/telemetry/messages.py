"""What goes into the telemetry core, and what comes out."""

from typing import TypeAlias

import msgspec

from ambientd.model.base import NodeId
from ambientd.model.telemetry import Observation, TelemetryBatch
from ambientd.telemetry.safe_mode import Mode, Reason


class Ticked(msgspec.Struct, frozen=True):
    """Time has passed."""


class Sampled(msgspec.Struct, frozen=True):
    """The probes were read; these replace the observations before them."""

    observations: tuple[Observation, ...]


class BatchReceived(msgspec.Struct, frozen=True):
    """A peer handed over somebody's encoded batch."""

    sender: NodeId
    data: bytes


class RoundTripMeasured(msgspec.Struct, frozen=True):
    """A peer answered; `round_trip_us` there and back."""

    peer: NodeId
    round_trip_us: int


class TransferMeasured(msgspec.Struct, frozen=True):
    """A large enough transfer with a peer ended."""

    kbit_per_s: int


class SizeSeen(msgspec.Struct, frozen=True):
    """A log block or a batch of this size came by."""

    size_bytes: int


class OperationEnded(msgspec.Struct, frozen=True):
    """An execution or another operation of this node succeeded or failed."""

    succeeded: bool


class ExecutionsChanged(msgspec.Struct, frozen=True):
    """So many executions are running now."""

    running: int


class CapacityChanged(msgspec.Struct, frozen=True):
    """The owner lets so many executions run at once; None is what the device was set up for."""

    capacity: int | None


class MembersChanged(msgspec.Struct, frozen=True):
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
    | CapacityChanged
    | MembersChanged
)


class PersistEpoch(msgspec.Struct, frozen=True):
    """Keep the epoch durably before any later Publish leaves."""

    epoch: int


class Publish(msgspec.Struct, frozen=True):
    """Gossip this node's own batch."""

    data: bytes


class BatchAccepted(msgspec.Struct, frozen=True):
    """A node's condition is news: keep it, show it, pass it on."""

    batch: TelemetryBatch


class Penalise(msgspec.Struct, frozen=True):
    """The sender handed over what no honest node hands over."""

    sender: NodeId
    reason: str


class ReportEvidence(msgspec.Struct, frozen=True):
    """Two signed batches of one node contradict each other."""

    culprit: NodeId
    kind: str
    first: bytes
    second: bytes


class IdentitySeenElsewhere(msgspec.Struct, frozen=True):
    """A newer batch of this very node came from outside: an old backup, or a copied key."""

    epoch: int


class SafeModeChanged(msgspec.Struct, frozen=True):
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
