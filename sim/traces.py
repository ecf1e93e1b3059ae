"""Executions that nobody executes: where one stands at a gas index, and how liars tell of it.

An honest execution has a checkpoint in every stride of gas, at a place and with a root that its
seed gives, up to its end. A liar's may leave the truth anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from msgspec.structs import replace as replace_struct

from ambientd.codec.digest import sha256, tagged
from ambientd.codec.statements import end_point
from ambientd.model.base import Digest
from ambientd.model.dispute import BEGINNING, KnownState, TracePoint
from ambientd.model.task import Result

STRIDE_GAS = 1_000
STATE_BYTES = 100


class TraceVice(Enum):
    """How a liar tells of an execution that did not lead to its answer."""

    WRONG_OUTPUT = "tells the truth all along, and lies about the end alone"
    WRONG_TRACE = "is false from the first instruction on"
    WRONG_STEP = "takes one false step, and goes on from there"
    WRONG_ONCE = "is false at one place and true behind it"
    WRONG_EVERYWHERE = "makes up something else each time it is asked"
    OTHERS_END = "says that it stands where the other party ended"
    ECHO = "says what the other party said, as soon as that is there"
    GARBAGE_STATE = "takes one false step, and shows a state that is none"


@dataclass(frozen=True, slots=True)
class Run:
    """One execution, or what a liar makes of it: true up to a gas index, and its own behind."""

    seed: bytes
    result: Result
    gas_reached: int
    false_from: int | None = None
    false_until: int | None = None
    own: bytes = b""

    def at(self, gas: int) -> TracePoint:
        """Give the first checkpoint that is not below a gas index, or the end."""
        number = gas // STRIDE_GAS
        found = self._checkpoint(number)
        if found.gas_index < gas:
            found = self._checkpoint(number + 1)
        return found if found.gas_index <= self.gas_reached else end_point(self.result)

    def _checkpoint(self, number: int) -> TracePoint:
        place = tagged("sim/checkpoint/1", self.seed, number.to_bytes(8, "big"))
        index = number * STRIDE_GAS + int.from_bytes(place[:4], "big") % STRIDE_GAS
        begins = self.false_from is not None and index >= self.false_from
        ends = self.false_until is not None and index >= self.false_until
        own = self.own if begins and not ends else b""
        return TracePoint(gas_index=index, root=tagged("sim/state/1", place, own))

    def known(self, point: TracePoint) -> KnownState:
        """Give a state as its blob."""
        if point == BEGINNING:
            return KnownState(point=point)
        digest = Digest(sha256(point.root))
        return KnownState(point=point, state=digest, state_size_bytes=STATE_BYTES)


def lie(vice: TraceVice, true: Run, result: Result, own: bytes) -> Run:
    """Give what a liar pretends that its execution was; it leaves the truth two thirds on."""
    step = true.gas_reached * 2 // 3
    begins: int | None = step
    if vice in (TraceVice.WRONG_OUTPUT, TraceVice.ECHO, TraceVice.OTHERS_END):
        begins = None
    elif vice in (TraceVice.WRONG_TRACE, TraceVice.WRONG_EVERYWHERE):
        begins = 0
    ends = step + 2 * STRIDE_GAS if vice is TraceVice.WRONG_ONCE else None
    return Run(true.seed, result, result.gas, begins, ends, own)


def told(
    run: Run,
    vice: TraceVice | None,
    low: TracePoint,
    targets: Sequence[int],
    other: TracePoint,
    salt: bytes,
) -> tuple[tuple[TracePoint, ...], KnownState]:
    """Give the points and the state that somebody with this run and vice tells of a stretch."""
    start = run.known(low)
    match vice:
        case TraceVice.WRONG_EVERYWHERE:
            run = replace(run, own=tagged("sim/salt/1", run.own, salt))
        case TraceVice.OTHERS_END:
            return (other,) * len(targets), start
        case TraceVice.GARBAGE_STATE if low != BEGINNING:
            start = replace_struct(start, state=Digest(tagged("sim/garbage/1", low.root)))
        case _:
            pass
    return tuple(run.at(target) for target in targets), start


def follows(true: Run, start: KnownState, until_gas: int) -> TracePoint | None:
    """Give where a referee comes from a state; None when it gets no state of that root."""
    if start != true.known(start.point):
        return None
    if start.point != BEGINNING and true.at(start.point.gas_index) != start.point:
        # A false state that somebody really holds: it leads somewhere, and to no true state.
        gas = until_gas + 1
        return TracePoint(gas_index=gas, root=tagged("sim/false/1", start.point.root))
    return true.at(until_gas)
