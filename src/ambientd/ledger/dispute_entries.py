"""What the ledger holds of a dispute that is bisected (protocols/12)."""

from enum import IntEnum

from ambientd.model.base import NodeId, Value
from ambientd.model.dispute import BEGINNING, SegmentVerdict, Trace, TracePoint


class DisputeState(IntEnum):
    """What a disputed task waits for: traces of the parties, or findings of the referees."""

    TRACING = 0
    SEGMENT = 1
    WHOLE = 2


class Game(Value, frozen=True):
    """Two parties, by their slots, and the stretch of gas over which they disagree.

    Of the two in each pair one belongs to each party: what it says of the stretch's end, its trace
    of the present round, and the trace in which it claimed the end; none when that is its receipt.
    """

    number: int
    parties: tuple[int, int]
    round: int = 0
    low: TracePoint = BEGINNING
    until_gas: int = 0
    claims: tuple[TracePoint, TracePoint] = (BEGINNING, BEGINNING)
    traces: tuple[Trace | None, Trace | None] = (None, None)
    claimed: tuple[Trace | None, Trace | None] = (None, None)
    verdicts: tuple[SegmentVerdict, ...] = ()


class RefereedGas(Value, frozen=True):
    """The gas of the segments on which a referee found what was decided."""

    referee: NodeId
    gas: int


class DisputeEntry(Value, frozen=True):
    """A bisected dispute: its present game, the slots that lost one, and who is not to be paid."""

    state: DisputeState
    game: Game | None = None
    games: int = 0
    out: tuple[int, ...] = ()
    unpaid: tuple[NodeId, ...] = ()
    refereed: tuple[RefereedGas, ...] = ()
