"""Two clocks: one that only moves forward, one that people read."""

from typing import Protocol

from ambientd.model.base import Millis


class Clock(Protocol):
    """The time, in integer milliseconds."""

    def monotonic_ms(self) -> Millis:
        """Give the milliseconds since some fixed moment; never goes back. For `now`."""
        ...

    def unix_ms(self) -> Millis:
        """Give the milliseconds since 1970; may jump. For block time and people."""
        ...
