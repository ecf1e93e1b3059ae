"""What a node asks of the runtime; persist effects are on disk before anything else leaves."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from ambientd.consensus.effects import Committed, PersistBlock, PersistSafety, VoteDecided
from ambientd.ledger.entries import Entry, Key
from ambientd.ledger.events import LedgerEvent
from ambientd.ledger.state import LedgerState
from ambientd.ledger.state_tree import FIRST_FORM
from ambientd.ledger.versions import StateVersion
from ambientd.model.base import NodeId
from ambientd.model.effect import (
    Abandon,
    AnchorRoot,
    CheckProof,
    CheckStep,
    DropStates,
    Execute,
    FetchBlob,
    FetchState,
    HearAnchor,
    KeepStates,
    LeaveAnchors,
    LeaveOff,
    PersistAsked,
    PersistMark,
    ProveStep,
    SeatAnchors,
    SegmentWanted,
    SendParcel,
    TakeParcel,
    TraceWanted,
    WatchAnchor,
)
from ambientd.model.learning_effect import BringUpdate, LearningEffect
from ambientd.node.compaction import PersistSnapshot
from ambientd.telemetry.messages import BatchAccepted, IdentitySeenElsewhere, SafeModeChanged


class PersistLedger(msgspec.Struct, frozen=True):
    """Keep committed blocks and what they changed, in one transaction.

    `epoch` is the one that the last block leaves: the next one where `committed` has an end.
    With `is_leap` the block is a snapshot's, and those between it and the last one are not there.
    The entries are those of one state version, `form`: no other is in force by then.
    """

    committed: Committed
    writes: Mapping[Key, Entry | None]
    root: bytes
    epoch: int
    is_leap: bool = False
    form: StateVersion = FIRST_FORM

    @classmethod
    def of(
        cls,
        committed: Committed,
        writes: Mapping[Key, Entry | None],
        ledger: LedgerState,
        *,
        is_leap: bool = False,
    ) -> "PersistLedger":
        """Give what keeps a ledger that these blocks led to."""
        epoch = ledger.epoch.number
        return cls(committed, writes, ledger.root, epoch, is_leap, ledger.form)


class PersistTelemetryEpoch(msgspec.Struct, frozen=True):
    """Keep the count of this node's starts before telemetry of a new epoch leaves."""

    epoch: int


class SendFrame(msgspec.Struct, frozen=True):
    """Send to one peer."""

    to: NodeId
    frame: bytes


class BroadcastFrame(msgspec.Struct, frozen=True):
    """Send to every peer."""

    frame: bytes


class PublishGossip(msgspec.Struct, frozen=True):
    """Gossip this node's own telemetry."""

    data: bytes


class AllowNodes(msgspec.Struct, frozen=True):
    """The allow-list has changed."""

    nodes: frozenset[NodeId]


class Told(msgspec.Struct, frozen=True):
    """The log has decided something that people and programs may wait for."""

    event: LedgerEvent
    index: int
    time_ms: int


class ConditionChanged(msgspec.Struct, frozen=True):
    """The telemetry core has news for people: a node's condition or this node's mode."""

    news: BatchAccepted | IdentitySeenElsewhere | SafeModeChanged


class CoordinatorElected(msgspec.Struct, frozen=True):
    """A term began."""

    term: int
    coordinator: NodeId


class PeerMisbehaved(msgspec.Struct, frozen=True):
    """A peer broke the protocol: count it, and drop the peer when it goes on."""

    peer: NodeId
    reason: str


class RecordDropped(msgspec.Struct, frozen=True):
    """A record that this node proposed was not taken, and why."""

    record_hash: bytes
    reason: str


class BlocksMissed(msgspec.Struct, frozen=True):
    """This node wants every block, and had to go on from a snapshot all the same."""

    index: int


Persist: TypeAlias = (
    PersistBlock
    | PersistSafety
    | PersistLedger
    | PersistSnapshot
    | PersistTelemetryEpoch
    | PersistMark
    | PersistAsked
)
NodeEffect: TypeAlias = (
    Persist
    | SendFrame
    | BroadcastFrame
    | PublishGossip
    | AllowNodes
    | Told
    | ConditionChanged
    | CoordinatorElected
    | PeerMisbehaved
    | RecordDropped
    | BlocksMissed
    | VoteDecided
    | Execute
    | TraceWanted
    | SegmentWanted
    | CheckProof
    | CheckStep
    | ProveStep
    | Abandon
    | LeaveOff
    | FetchBlob
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
