"""What the ledger holds of seats in the committee, and of beacon chains (protocols/03)."""

from ambientd.model.base import NodeId, Value
from ambientd.model.record import SeatWish


class SeatWord(Value, frozen=True):
    """What one node last said about a seat."""

    member: NodeId
    wish: SeatWish
    said_ms: int


class SeatEntry(Value, frozen=True):
    """A node's last request for a seat, and what was said about it since its seat last changed."""

    beacon_tip: bytes = b""
    asked_ms: int = 0
    is_asking: bool = False
    words: tuple[SeatWord, ...] = ()
    known_version: int = 0
    """The highest state version that the member, while it is one, said that it knows."""


class UsedTip(Value, frozen=True):
    """A beacon tip that has begun an epoch's chain, and how far its member has revealed it since.

    No chain begins there twice.
    """

    epoch: int
    value: bytes
    count: int
