"""What every node said over the last hour and the last day, in memory of a fixed size.

Each value becomes part of the mean of its step, at every resolution. Nothing is written to a
disk, and nothing decides by it: it is for people who look.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan
from types import MappingProxyType

from ambientd.model.base import NodeId
from ambientd.model.telemetry import Measure, Observation

NODES_MAX = 256
HELD_MS = 35_000
"""A value stands for the steps after it so long: as long as its node counts as heard."""
LINK = "link_ms"
"""One way to that node, as measured from here."""
LINK_SOURCE = "round-trips"


@dataclass(frozen=True, slots=True)
class Resolution:
    """How long a step is, and how many of them are kept."""

    step_ms: int
    steps: int

    @property
    def kept_ms(self) -> int:
        """Give how far back it reaches."""
        return self.step_ms * self.steps


RESOLUTIONS = MappingProxyType({"hour": Resolution(10_000, 360), "day": Resolution(300_000, 288)})
# An engine is no amount, and no code of one is between two others.
NAMES = frozenset({LINK} | {each.value for each in Measure if each is not Measure.ENGINE})


class _Ring:
    """The means of the last steps; not a number where nothing was known."""

    __slots__ = ("_count", "_number", "_resolution", "_sum", "_values")

    def __init__(self, resolution: Resolution) -> None:
        self._resolution = resolution
        self._values = array("f", [nan]) * resolution.steps
        self._number: int | None = None  # of the last step that was written, since 1970
        self._sum = self._count = 0

    def note(self, value: int, now: int) -> None:
        """Take a value into the present step."""
        steps, number = self._resolution.steps, now // self._resolution.step_ms
        last = number - steps if self._number is None else self._number
        if number < last:
            return
        if number > last:
            for empty in range(max(last + 1, number - steps + 1), number):
                self._values[empty % steps] = nan
            self._sum = self._count = 0
        self._number = number
        self._sum += value
        self._count += 1
        self._values[number % steps] = self._sum / self._count

    def read(self, now: int) -> list[float | None]:
        """Give the means of the last steps, the present one last."""
        steps, step_ms = self._resolution.steps, self._resolution.step_ms
        newest = now // step_ms
        last = newest - steps if self._number is None else self._number
        found: list[float | None] = []
        held, left = None, 0
        for number in range(newest - steps + 1, newest + 1):
            value = self._values[number % steps] if last - steps < number <= last else nan
            if not isnan(value):
                held, left = value, HELD_MS // step_ms
            elif left:
                left -= 1
            else:
                held = None
            found.append(held)
        return found


class _Track:
    """One measure of one node, at every resolution, and what measured it last."""

    __slots__ = ("rings", "source")

    def __init__(self) -> None:
        self.rings = {name: _Ring(each) for name, each in RESOLUTIONS.items()}
        self.source = ""

    def note(self, value: int, source: str, now: int) -> None:
        self.source = source
        for ring in self.rings.values():
            ring.note(value, now)


@dataclass(frozen=True, slots=True)
class Line:
    """One measure over time, in thousandths of its unit; None where it was not known."""

    name: str
    source: str
    values: tuple[float | None, ...]


class Series:
    """The last hour and the last day of so many nodes; who is here is not pushed out by others.

    A node and a measure take 3 kB once a value is known, so a node takes 77 kB at most.
    """

    def __init__(self, nodes_max: int = NODES_MAX) -> None:
        self._nodes_max = nodes_max
        self._tracks: dict[NodeId, dict[str, _Track]] = {}
        self._heard_ms: dict[NodeId, int] = {}

    def note(self, node: NodeId, observations: Iterable[Observation], now: int) -> None:
        """Take what a node said."""
        if not self._has_room_for(node, now):
            return
        for each in observations:
            if each.value is not None and each.name in NAMES:
                self._track(node, each.name).note(each.value, each.source, now)

    def note_link(self, node: NodeId, round_trip_us: int, now: int) -> None:
        """Take a round trip from here; half of it is one way."""
        if self._has_room_for(node, now):
            self._track(node, LINK).note(round_trip_us // 2, LINK_SOURCE, now)

    def of(self, node: NodeId, span: str, now: int) -> tuple[Line, ...]:
        """Give what is known of a node over a span, a line for each measure, sorted by name."""
        tracks = self._tracks.get(node, {})
        lines = (
            Line(name, track.source, tuple(track.rings[span].read(now)))
            for name, track in sorted(tracks.items())
        )
        return tuple(line for line in lines if any(value is not None for value in line.values))

    def follows(self, node: NodeId) -> bool:
        """Tell whether this node's series are kept here."""
        return node in self._tracks

    def _track(self, node: NodeId, name: str) -> _Track:
        tracks = self._tracks[node]
        if name not in tracks:
            tracks[name] = _Track()
        return tracks[name]

    def _has_room_for(self, node: NodeId, now: int) -> bool:
        """Find room; what a node left that was silent for longer than a day makes some."""
        if node not in self._tracks and len(self._tracks) >= self._nodes_max:
            oldest = min(self._heard_ms, key=lambda each: (self._heard_ms[each], each))
            if now - self._heard_ms[oldest] <= RESOLUTIONS["day"].kept_ms:
                return False
            del self._tracks[oldest], self._heard_ms[oldest]
        self._tracks.setdefault(node, {})
        self._heard_ms[node] = now
        return True
