"""What nodes send and receive in a world: of the median node and the busiest, for a second."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sim.place import Traffic


@dataclass(frozen=True, slots=True)
class Spread:
    """A quantity of many nodes, for a second: of the median node, and of the busiest."""

    median: float
    largest: float

    def text(self, decimals: int) -> str:
        """Say it for people."""
        return f"{self.median:,.{decimals}f} ({self.largest:,.{decimals}f})"


@dataclass(frozen=True, slots=True)
class Rates:
    """What some nodes had to carry for each other, for a second."""

    who: str
    nodes: int
    sent: Spread
    sent_bytes: Spread
    received: Spread
    received_bytes: Spread

    def text(self) -> str:
        """Say it in one line."""
        return (
            f"{self.nodes} {self.who}: sent {self.sent.text(2)} messages, "
            f"{self.sent_bytes.text(0)} bytes; received {self.received.text(2)} messages, "
            f"{self.received_bytes.text(0)} bytes"
        )


RATES_SAID = "of a node and second, the median node (the busiest):"


def rates_of(who: str, carried: Sequence[Traffic], time_ms: int) -> Rates:
    """Give what one or more nodes carried in so much time, by the second."""

    def spread(counts: Iterable[int]) -> Spread:
        found = [count * 1_000 / time_ms for count in counts]
        return Spread(statistics.median(found), max(found))

    return Rates(
        who,
        len(carried),
        spread(each.sent for each in carried),
        spread(each.sent_bytes for each in carried),
        spread(each.received for each in carried),
        spread(each.received_bytes for each in carried),
    )
