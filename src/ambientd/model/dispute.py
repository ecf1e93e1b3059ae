"""What parties and referees of a dispute sign while it is bisected (protocols/12-disputes.md)."""

from ambientd.model.base import DIGEST_BYTES, Digest, NodeId, TaskId, Value

POINTS = 15
"""The points of a trace: they cut the disputed stretch of gas into 16."""

SEGMENT_GAS = 1_000_000
"""A stretch that is no longer is executed by the referees instead of cut again."""


class TracePoint(Value, frozen=True):
    """Where an execution stands at a gas index: the state's root (08), or at the end the result's.

    At the end the gas index is the result's gas, and the root the result root (06).
    """

    gas_index: int
    root: bytes


BEGINNING = TracePoint(gas_index=0, root=bytes(DIGEST_BYTES))
"""Before the first instruction: both parties know it from the specification."""


class KnownState(Value, frozen=True):
    """An execution state as a blob of protocols/08 bytes; no blob at the beginning."""

    point: TracePoint
    state: Digest = Digest(bytes(DIGEST_BYTES))
    state_size_bytes: int = 0


AT_BEGINNING = KnownState(point=BEGINNING)


class Trace(Value, frozen=True):
    """A party's word on one round: its execution at each target, signed (domain `trace`).

    The stretch of gas in dispute begins at the state `low`, whose blob is `state`, and ends at
    `until_gas`; the targets follow from these two.
    """

    task: TaskId
    party: NodeId
    game: int
    round: int
    low: TracePoint
    until_gas: int
    points: tuple[TracePoint, ...]
    state: Digest
    state_size_bytes: int
    signature: bytes

    @property
    def is_pass(self) -> bool:
        """Whether the party cannot pause this execution, and asks for the whole to be executed."""
        return not self.points and not self.state_size_bytes


FalseStep = tuple[Trace | None, Trace | None, KnownState | None]
"""What shows where a convicted party began and came to: its trace of the stretch's start, the one
with its claim (none: its receipt), and the start as the other party showed it."""


class SegmentVerdict(Value, frozen=True):
    """A referee's execution of the disputed stretch, from the agreed start (domain `segment`).

    `end` is the first checkpoint whose gas index is not below `until_gas`, or the end.
    """

    task: TaskId
    game: int
    referee: NodeId
    start: TracePoint
    until_gas: int
    end: TracePoint
    signature: bytes
