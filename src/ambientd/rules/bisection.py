"""Bisection: two traces of one execution are narrowed down to one short stretch (protocols/12).

An execution says at any gas index t where it is at t: at the first checkpoint whose index is not
below t, or at its end. Two executions with different ends agree at the beginning; between the two
lies a first stretch over which one of them took a false step.
"""

from dataclasses import dataclass, replace

from ambientd.model.dispute import BEGINNING, POINTS, SEGMENT_GAS, Trace, TracePoint
from ambientd.model.task import Result

Claims = tuple[TracePoint, TracePoint]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Both parties were at `low`, and where they were at `until_gas` they say differently."""

    low: TracePoint
    until_gas: int
    claims: Claims
    short_gas: int = SEGMENT_GAS
    """So long is a stretch that is cut no more; less where somebody is to prove it (18 §11)."""

    @property
    def is_short(self) -> bool:
        """Whether referees execute it rather than that it is cut again."""
        return self.is_short_from(self.low)

    def is_short_from(self, low: TracePoint) -> bool:
        """Whether it is that with what lies before it, from a point where both parties were."""
        return self.until_gas - low.gas_index <= self.short_gas


def whole(results: tuple[Result, Result], ends: Claims) -> Stretch:
    """Give the stretch that holds all of two executions, behind which both have ended."""
    return Stretch(BEGINNING, max(result.gas for result in results) + 1, ends)


def targets(stretch: Stretch) -> tuple[int, ...]:
    """Give the gas indices that cut a stretch into 16; none when it is short."""
    return () if stretch.is_short else cuts(stretch.low.gas_index, stretch.until_gas)


def cuts(low_gas: int, until_gas: int) -> tuple[int, ...]:
    """Give the gas indices that cut so much gas into 16."""
    step = -(-(until_gas - low_gas) // (POINTS + 1))
    return tuple(low_gas + step * number for number in range(1, POINTS + 1))


def trace_fault(trace: Trace, stretch: Stretch, party: int, ends: Claims) -> str | None:
    """Say what no execution with this end could have stated of a stretch; None when one could."""
    if (trace.low, trace.until_gas) != (stretch.low, stretch.until_gas):
        return "a trace of another stretch than the present one"
    if trace.is_pass:
        return None
    wanted, claim, end = targets(stretch), stretch.claims[party], ends[party]
    if len(trace.points) != len(wanted):
        return f"a trace of {len(trace.points)} points, {len(wanted)} are asked for"
    if bool(trace.state_size_bytes) != (stretch.low != BEGINNING):
        return "a trace without the state that it begins at"
    if ends[1 - party] in trace.points:
        return "a trace that ends as the other party's"
    bounds = [*wanted, stretch.until_gas][1:]
    after = [*trace.points, claim][1:]
    for point, target, bound, following in zip(trace.points, wanted, bounds, after, strict=True):
        if point != end and point.gas_index < target:
            return f"a point at {point.gas_index} where {target} or more was asked for"
        # Where it ended, or stands beyond the next target already, it is there as well.
        if (point == end or point.gas_index >= bound) and following != point:
            return f"a trace that leaves {point.gas_index} before it gets there"
    return None


def narrowed(stretch: Stretch, first: Trace, second: Trace) -> Stretch:
    """Give the first part of a stretch at whose end two traces differ."""
    low = stretch.low
    for target, one, other in zip(targets(stretch), first.points, second.points, strict=True):
        if one != other:
            return replace(stretch, low=low, until_gas=target, claims=(one, other))
        low = one
    return replace(stretch, low=low)
