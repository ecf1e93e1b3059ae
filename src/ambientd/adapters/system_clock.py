"""The machine's clocks."""

import time

from ambientd.model.base import Millis

# CLOCK_MONOTONIC stands still while a Linux machine sleeps; CLOCK_BOOTTIME goes on.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """Reads the operating system's steady and wall clocks."""

    def monotonic_ms(self) -> Millis:
        """Give the milliseconds since the machine's start; never goes back."""
        return Millis(time.clock_gettime_ns(_STEADY) // 1_000_000)

    def unix_ms(self) -> Millis:
        """Give the milliseconds since 1970."""
        return Millis(time.time_ns() // 1_000_000)
