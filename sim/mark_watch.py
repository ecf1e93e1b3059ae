"""Watches the long executions of a world: all their promises, and what the world has met."""

from collections.abc import Sequence
from functools import partial

from sim.mark_checkers import (
    CanBeOpened,
    OnTheirWord,
    OrphansGoOn,
    Stays,
    TrueMarks,
    check_kept,
    check_shelves,
)
from sim.node_checkers import Onlookers
from sim.seasons import CALM_MS_MIN
from sim.stage import Observer, Stage
from sim.vices import Resident

SETTLED_MS = 6_000
"""From the healing of all until keepers are looked at."""

LOOKED_MS = 300
"""How old a mark is whose state keepers must have, by then in fair weather."""

LOOKS, LOOK_MS = 16, 500
GONE_ON, ORPHANS, KEPT = "gone-on", "goes-on-from-the-dead", "kept-by-others"
MEETINGS = (GONE_ON, ORPHANS, KEPT)
"""What some world of a sweep must meet: else states could be marked in vain and nobody saw it."""


class MarkWatch:
    """All that is held against marks."""

    def __init__(self, hosts: Sequence[Resident], cluster: bytes) -> None:
        self._hosts = hosts
        self._honest = [host for host in hosts if host.is_honest]
        self.true = TrueMarks(cluster)
        self.word = OnTheirWord(frozenset(host.key for host in self._honest), self.true)
        self.dead = OrphansGoOn({host.key: host for host in hosts})
        self.stays = Stays()
        self.kept = 0

    @property
    def checkers(self) -> tuple[Observer, ...]:
        """Give what is to look on."""
        return (Onlookers([self.true, self.word, self.dead, CanBeOpened()]),)

    def look_on(self, world: Stage, time_ms: int) -> None:
        """Lay out looks in the calm before some time, at whether keepers do what they shall."""
        heals_ms = time_ms - CALM_MS_MIN
        for look in range(LOOKS):
            world.at(heals_ms + SETTLED_MS + look * LOOK_MS, partial(self._look, world))

    def _look(self, world: Stage) -> None:
        self.stays.check(self._honest)
        self.kept += check_kept(self._honest, self.true, world.now - LOOKED_MS)

    def check(self) -> None:
        """Hold against the end what only shows there."""
        self.true.check()
        self.word.check()
        check_shelves(self._honest)

    @property
    def met(self) -> tuple[str, ...]:
        """Name what long executions have met."""
        ends = self.word.gone_on
        found = (ends, self.dead.orphans & ends, self.kept)
        return tuple(name for name, here in zip(MEETINGS, found, strict=True) if here)
