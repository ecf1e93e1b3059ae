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
        if self.groups.get(sender, 0) != self.groups.get(to, 0) or (sender, to) in self.unheard:
            return []
        weather = self.weather
        if self.random.randrange(1000) < weather.loss:
            return []
        copies = 2 if self.random.randrange(1000) < weather.duplication else 1
        return [self._delay() for _ in range(copies)]

    def _delay(self) -> int:
        weather = self.weather
        delay = self.random.randint(weather.delay_ms_min, weather.delay_ms_max)
        if weather.slow_ms_max and self.random.randrange(1000) < weather.slow:
            delay += self.random.randint(0, weather.slow_ms_max)
        return delay
