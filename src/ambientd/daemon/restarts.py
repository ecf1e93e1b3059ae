"""When a daemon of a fleet that ended is started again, if at all.

One that was told to end stays ended, and one whose config is wrong waits for a person. Any other
starts again, ever more patiently, and after too many times in a while never.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

EXIT_DONE = 0
EXIT_USAGE = 2


@dataclass(frozen=True, slots=True)
class RestartOptions:
    """How often within what time, and how long the first wait is; each next one is doubled."""

    times_max: int = 5
    within_ms: int = 600_000
    first_wait_ms: int = 1_000

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if self.times_max < 0 or self.within_ms <= 0 or self.first_wait_ms < 0:
            msg = f"restarts of {self}: times and waits are 0 or more, the time is above 0"
            raise ValueError(msg)


class Fate(Enum):
    """What becomes of a daemon that ended."""

    ENDED = "ended"
    WAITS = "starts again"
    GIVEN_UP = "given up"


class Restarts:
    """What is known of the daemons that have ended."""

    def __init__(self, options: RestartOptions | None = None) -> None:
        self._options = options or RestartOptions()
        self._past_ms: dict[int, deque[int]] = {}
        self._due_ms: dict[int, int] = {}

    def on_ended(self, node: int, status: int, *, now: int) -> Fate:
        """Decide by the exit status, which is below 0 for a signal."""
        if status == EXIT_DONE:
            return Fate.ENDED
        past_ms = self._past_ms.setdefault(node, deque(maxlen=self._options.times_max))
        recent = sum(now - each < self._options.within_ms for each in past_ms)
        if status == EXIT_USAGE or recent >= self._options.times_max:
            return Fate.GIVEN_UP
        past_ms.append(now)
        self._due_ms[node] = now + (self._options.first_wait_ms << recent)
        return Fate.WAITS

    @property
    def next_deadline(self) -> int | None:
        """Give when the next one is due; None when nobody waits."""
        return min(self._due_ms.values(), default=None)

    def take_due(self, *, now: int) -> tuple[int, ...]:
        """Give whom to start now."""
        due = tuple(sorted(node for node, due_ms in self._due_ms.items() if due_ms <= now))
        for node in due:
            del self._due_ms[node]
        return due
