"""What the host tells the log. `now` goes beside each: Unix ms that never run backwards."""

import msgspec

from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.messages import Message


class Started(msgspec.Struct, frozen=True):
    """The node is up; comes once, before anything else.

    `awaited_ms` is the block time that the ledger waits for: 0 when the next block changes
    something without records, None when no time does.
    """

    awaited_ms: int | None = None


class Tick(msgspec.Struct, frozen=True):
    """A deadline may have passed (`Consensus.next_deadline`)."""


class Applied(msgspec.Struct, frozen=True):
    """The host has applied every `Committed` so far: state roots it lacked may be known now.

    `awaited_ms` as in Started.
    """

    awaited_ms: int | None = None


class Installed(msgspec.Struct, frozen=True):
    """The host has taken the state of the last `SnapshotFetched`, which has these beacons.

    `awaited_ms` as in Started.
    """

    beacons: tuple[BeaconLink, ...]
    awaited_ms: int | None = None


class MessageReceived(msgspec.Struct, frozen=True):
    """A peer, authenticated by the transport, sent a message."""

    sender: bytes
    message: Message


class RecordSubmitted(msgspec.Struct, frozen=True):
    """This node wants a record in the log."""

    record: bytes


class RecordsSubmitted(msgspec.Struct, frozen=True):
    """This node wants records in the log, which travel together."""

    records: tuple[bytes, ...]


class RecordSettled(msgspec.Struct, frozen=True):
    """This node no longer wants the record with this leaf hash."""

    record_hash: bytes


class RoundTripMeasured(msgspec.Struct, frozen=True):
    """The transport measured a round trip to a member."""

    round_trip_ms: int


EpochEvent = (
    Started
    | Tick
    | Applied
    | MessageReceived
    | RecordSubmitted
    | RecordsSubmitted
    | RecordSettled
    | RoundTripMeasured
)
"""What one epoch's log is told."""
Event = EpochEvent | Installed
