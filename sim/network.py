"""The network's behaviour: delay, loss, duplication, reordering, partitions; all from one seed."""

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Weather:
    """How bad the network is at the moment; chances in permille."""

    delay_ms_min: int = 1
    delay_ms_max: int = 12
    slow: int = 0
    slow_ms_max: int = 0
    loss: int = 0
    duplication: int = 0


CALM = Weather()


@dataclass(slots=True)
class Network:
    """Decides when, if ever, each copy of a message arrives."""

    random: random.Random
    weather: Weather = field(default_factory=Weather)
    groups: dict[bytes, int] = field(default_factory=dict)
    unheard: frozenset[tuple[bytes, bytes]] = frozenset()

    def partition(self, groups: dict[bytes, int]) -> None:
        """Let only nodes of the same group reach each other; nobody else is affected."""
        self.groups = groups

    def heal(self) -> None:
        """Let everyone reach everyone."""
        self.groups = {}

    def deafen(self, pairs: frozenset[tuple[bytes, bytes]]) -> None:
        """Lose what the first of a pair sends to the second."""
        self.unheard = pairs

    def hear(self) -> None:
        """Lose nothing more between any pair."""
        self.unheard = frozenset()

    def arrivals(self, sender: bytes, to: bytes) -> list[int]:
        """Give the delays of the copies that will arrive; empty when the message is lost."""
        if self.groups and self.groups.get(sender, 0) != self.groups.get(to, 0):
            return []
        if (sender, to) in self.unheard:
            return []
        weather = self.weather
        if not (weather.loss or weather.duplication):
            return [self._delay()]
        draw = self.random.random
        if weather.loss and draw() * 1000 < weather.loss:
            return []
        if weather.duplication and draw() * 1000 < weather.duplication:
            return [self._delay(), self._delay()]
        return [self._delay()]

    def _delay(self) -> int:
        weather = self.weather
        draw = self.random.random
        span = weather.delay_ms_max - weather.delay_ms_min + 1
        delay = weather.delay_ms_min + int(draw() * span)
        if weather.slow_ms_max and draw() * 1000 < weather.slow:
            delay += int(draw() * (weather.slow_ms_max + 1))
        return delay
