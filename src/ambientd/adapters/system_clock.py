"""The machine's clocks."""

import time

from ambientd.model.base import Millis


class SystemClock:
    """Reads the operating system's monotonic and wall clocks."""

    def monotonic_ms(self) -> Millis:
        """Give the milliseconds since the machine's start; never goes back."""
        return Millis(time.monotonic_ns() // 1_000_000)

    def unix_ms(self) -> Millis:
        """Give the milliseconds since 1970."""
        return Millis(time.time_ns() // 1_000_000)
