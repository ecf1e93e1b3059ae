"""Safe mode: circuit breakers that stop a node from taking assignments (protocols/07 section 7).

    NORMAL --tripped--> DRAINING --drained--> SAFE
       ^                   |                    |
       +-----recovered-----+-----recovered------+

A breaker trips above one threshold and recovers below a lower one, so it does not flutter.
A breaker that has tripped and then loses its reading stays tripped.
"""

from dataclasses import dataclass
from enum import Enum


class Mode(Enum):
    """Whether the node takes assignments; DRAINING finishes those it has."""

    NORMAL = "normal"
    DRAINING = "draining"
    SAFE = "safe"


class Signal(Enum):
    """What moves a node from mode to mode."""

    TRIPPED = "tripped"
    DRAINED = "drained"
    RECOVERED = "recovered"


TRANSITIONS: dict[tuple[Mode, Signal], Mode] = {
    (Mode.NORMAL, Signal.TRIPPED): Mode.DRAINING,
    (Mode.DRAINING, Signal.DRAINED): Mode.SAFE,
    (Mode.DRAINING, Signal.RECOVERED): Mode.NORMAL,
    (Mode.SAFE, Signal.RECOVERED): Mode.NORMAL,
}


class Reason(Enum):
    """Which breaker has tripped."""

    HOT = "hot"
    SLOW = "slow"
    OVERSIZED = "oversized"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Threshold:
    """Trips once a reading was above `trip_above` for a time; recovers likewise."""

    trip_above: int
    recover_below: int
    trip_after_ms: int
    recover_after_ms: int


@dataclass(frozen=True, slots=True)
class SafeModeOptions:
    """The thresholds, and how long a quiet node counts as failing."""

    temperature_milli_celsius: Threshold = Threshold(85_000, 80_000, 0, 30_000)
    latency_us: Threshold = Threshold(100_000, 80_000, 30_000, 30_000)
    size_bytes: Threshold = Threshold(8_000_000, 8_000_000, 0, 30_000)
    consecutive_errors: Threshold = Threshold(25, 1, 0, 30_000)
    quiet_ms: int = 30_000


class Breaker:
    """One threshold over time."""

    __slots__ = ("_since_ms", "_threshold", "tripped")

    def __init__(self, threshold: Threshold) -> None:
        self._threshold = threshold
        self._since_ms: int | None = None
        self.tripped = False

    def update(self, reading: int | None, now: int) -> bool:
        """Take a reading; tell whether the breaker has tripped, or a wait of it runs.

        None is not known, and ends any wait.
        """
        limits, tripped = self._threshold, self.tripped
        if reading is None:
            self._since_ms = None
            return tripped
        if tripped:
            contrary, wait_ms = reading < limits.recover_below, limits.recover_after_ms
        else:
            contrary, wait_ms = reading > limits.trip_above, limits.trip_after_ms
        if not contrary:
            self._since_ms = None
            return tripped
        if self._since_ms is None:
            self._since_ms = now
        if now - self._since_ms >= wait_ms:
            self.tripped = not tripped
            self._since_ms = None
        return self.tripped or self._since_ms is not None


class SafeMode:
    """All breakers of one node, and its mode."""

    def __init__(self, options: SafeModeOptions) -> None:
        self._options = options
        self._breakers = (
            (Reason.HOT, Breaker(options.temperature_milli_celsius)),
            (Reason.SLOW, Breaker(options.latency_us)),
            (Reason.OVERSIZED, Breaker(options.size_bytes)),
            (Reason.FAILING, Breaker(options.consecutive_errors)),
        )
        self._is_moving = False  # a breaker was, when they were last updated
        self._errors = 0
        self._failed_ms = 0
        self._size_bytes = 0
        self.mode = Mode.NORMAL

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Give the breakers that have tripped."""
        return tuple(reason for reason, breaker in self._breakers if breaker.tripped)

    @property
    def is_steady(self) -> bool:
        """Tell whether time alone changes nothing: no breaker has tripped or waits to."""
        return (
            self.mode is Mode.NORMAL
            and not self._errors
            and not self._size_bytes
            and not self._is_moving
        )

    def note_outcome(self, now: int, *, succeeded: bool) -> None:
        """Count an operation's success or failure."""
        self._errors = 0 if succeeded else self._errors + 1
        if not succeeded:
            self._failed_ms = now

    def note_size(self, size_bytes: int) -> None:
        """Note the size of a log block or batch."""
        self._size_bytes = max(self._size_bytes, size_bytes)

    def check(
        self, temperature_milli_celsius: int | None, latency_us: int | None, running: int, now: int
    ) -> Mode:
        """Take all readings and give the mode; `running` executions hold up the draining."""
        if self.is_steady and temperature_milli_celsius is None and latency_us is None:
            return self.mode  # nothing is known, nothing was counted: no breaker moves
        if now - self._failed_ms >= self._options.quiet_ms:
            self._errors = 0
        readings = (temperature_milli_celsius, latency_us, self._size_bytes, self._errors)
        self._is_moving = False
        for (_, breaker), reading in zip(self._breakers, readings, strict=True):
            self._is_moving |= breaker.update(reading, now)
        self._size_bytes = 0
        # A breaker that has tripped is moving as well.
        has_tripped = self._is_moving and any(breaker.tripped for _, breaker in self._breakers)
        if self.mode is Mode.NORMAL and not has_tripped:
            return self.mode
        self._signal(Signal.TRIPPED if has_tripped else Signal.RECOVERED)
        if running == 0:
            self._signal(Signal.DRAINED)
        return self.mode

    def _signal(self, signal: Signal) -> None:
        self.mode = TRANSITIONS.get((self.mode, signal), self.mode)
