"""When a world's weather is bad: once in a short world; in a long one in storms with lulls between.

In a lull next to nothing is wanted, so the log rests, and single mishaps find it at rest.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from msgspec.structs import replace

from ambientd.rules.verdicts import liars_max
from sim.faults import Fault
from sim.happenings import (
    CALM_RATE_MSAT_VB,
    Crashes,
    Deafens,
    Happening,
    Parts,
    Reorganises,
    draw,
    draw_more,
)
from sim.mishaps import draw_dropouts, draw_heats, draw_marks, draw_strikes, draw_updates

CALM_MS_MIN = 25_000
RECOVERY_MS_MAX = 10_000
# Who lies or is gone for good may be next in turn, f times, 6.4 s each time (protocols/05).
LONGEST_TERM_MS = 6_400
LATE_RECOVERY_MS_MAX = CALM_MS_MIN
LONG_MS = 1_500_000  # always more than one storm
STORM_MS = (15_000, 30_000)
LULL_MS = (480_000, 1_200_000)
SELDOM_MS = (5_000, 60_000)
DEPTHS = (1, 1, 2, 3, 5, 6, 7, 10, 20, 60)  # six confirmations are what an anchor waits for
RATES_MSAT_VB = (1_000, 1_000, 3_000, 10_000)
BUSY_EVERY = 3  # a storm in a long world has a third of the work of a short world


@dataclass(frozen=True, slots=True)
class Storm:
    """Bad weather, and when all of it heals."""

    begins_ms: int
    heals_ms: int
    recovery_ms_max: int = LATE_RECOVERY_MS_MAX

    @property
    def recovers_ms(self) -> int:
        """Give when commits must have resumed."""
        return self.heals_ms + self.recovery_ms_max


def storms_of(time_ms: int, members: int, dice: random.Random) -> tuple[Storm, ...]:
    """Give the storms of a world; the last one leaves time to come to rest."""
    last_ms = time_ms - CALM_MS_MIN
    if time_ms < LONG_MS:
        recovery_ms = max(RECOVERY_MS_MAX, liars_max(members) * LONGEST_TERM_MS)
        return (Storm(0, max(last_ms, time_ms // 4), recovery_ms),)
    storms = [Storm(0, dice.randrange(*STORM_MS))]
    while (begins_ms := storms[-1].heals_ms + dice.randrange(*LULL_MS)) + STORM_MS[1] < last_ms:
        storms.append(Storm(begins_ms, begins_ms + dice.randrange(*STORM_MS)))
    return tuple(storms)


def drawn(
    storms: Sequence[Storm],
    nodes: int,
    honest: Sequence[int],
    forgetful: Sequence[int],
    faults: frozenset[Fault],
    dice: tuple[random.Random, random.Random],
) -> tuple[Happening, ...]:
    """Draw what befalls the nodes, with one source for the old faults and one for the newer."""
    happenings: list[Happening] = []
    for storm in storms:
        lasts_ms = storm.heals_ms - storm.begins_ms
        found = draw(nodes, honest, faults, dice[0], lasts_ms)
        found += draw_more(nodes, honest, forgetful, faults, dice[1], lasts_ms)
        happenings += [_later(each, storm.begins_ms) for each in found]
    for before, after in pairwise(storms):
        happenings += _mishaps(before.recovers_ms, after.begins_ms, nodes, honest, faults, dice[1])
    return tuple(happenings)


def _later(happening: Happening, by_ms: int) -> Happening:
    if not by_ms:
        return happening
    if isinstance(happening, Parts | Deafens):
        heals_ms = happening.heals_ms + by_ms
        return replace(happening, at_ms=happening.at_ms + by_ms, heals_ms=heals_ms)
    if hasattr(happening, "until_ms"):
        until_ms = happening.until_ms + by_ms
        return replace(happening, at_ms=happening.at_ms + by_ms, until_ms=until_ms)
    return replace(happening, at_ms=happening.at_ms + by_ms)


def _mishaps(
    from_ms: int,
    to_ms: int,
    nodes: int,
    honest: Sequence[int],
    faults: frozenset[Fault],
    dice: random.Random,
) -> Iterator[Happening]:
    """Draw what goes wrong in a lull: a node stops for a while, or the network falls apart."""
    at_ms = from_ms + dice.randrange(10_000, 60_000)
    while at_ms + 40_000 < to_ms:
        if Fault.CRASH in faults and dice.randrange(2):
            yield Crashes(at_ms, dice.choice(honest), 0, dice.choice([300, 2_000, 20_000]))
        elif Fault.PARTITION in faults and dice.randrange(2):
            groups = tuple(dice.randrange(2) for _ in range(nodes))
            yield Parts(at_ms, groups, at_ms + dice.randrange(2_000, 30_000))
        at_ms += dice.randrange(40_000, 200_000)


def drawn_reorganisations(storms: Sequence[Storm], dice: random.Random) -> tuple[Happening, ...]:
    """Draw what befalls the Bitcoin chain: often in storms, a few times in each lull."""
    happenings: list[Happening] = []
    for storm in storms:
        at_ms = storm.begins_ms + dice.randrange(3_000, 6_000)
        while at_ms < storm.heals_ms:
            depth, rate_msat_vb = dice.choice(DEPTHS), dice.choice(RATES_MSAT_VB)
            happenings.append(Reorganises(at_ms, depth, rate_msat_vb, not dice.randrange(3)))
            at_ms += dice.randrange(1_500, 6_000)
    for before, after in pairwise(storms):
        for _ in range(dice.randrange(3)):
            at_ms = dice.randrange(before.recovers_ms, after.begins_ms)
            depth = dice.choice(DEPTHS)
            happenings.append(Reorganises(at_ms, depth, CALM_RATE_MSAT_VB, forgets=False))
    return tuple(happenings)


def drawn_newer(
    storms: Sequence[Storm],
    nodes: int,
    honest: Sequence[int],
    faults: frozenset[Fault],
    drawing: Callable[[int], random.Random],
) -> tuple[Happening, ...]:
    """Draw what worlds came to have later, each from a source of its own."""
    dropouts, heats, strikes = drawing(14_009), drawing(15_013), drawing(16_007)
    updates, marks = drawing(17_011), drawing(18_013)
    happenings: list[Happening] = []
    for storm in storms:
        times = storm.begins_ms, storm.heals_ms
        if Fault.DROPOUTS in faults:
            happenings += draw_dropouts(nodes, *times, dropouts)
        if Fault.HEAT in faults:
            happenings += draw_heats(honest, *times, heats)
        if Fault.TIMED_CRASH in faults:
            happenings += draw_strikes(*times, strikes)
        if Fault.VERSIONS in faults:
            happenings += draw_updates(nodes, *times, updates)
        if Fault.MARKS in faults:
            happenings += draw_marks(nodes, *times, marks)
    return tuple(happenings)


def work_times(
    storms: Sequence[Storm], first_ms: int, end_ms: int, every_ms: int, dice: random.Random
) -> list[int]:
    """Give when something is wanted: all along in a short world and in storms, else seldom."""
    if len(storms) == 1:
        return list(range(first_ms, end_ms, every_ms))
    times: list[int] = []
    time_ms = first_ms
    while time_ms < end_ms:
        times.append(time_ms)
        stormy = any(storm.begins_ms <= time_ms <= storm.recovers_ms for storm in storms)
        time_ms += every_ms * BUSY_EVERY if stormy else dice.randrange(*SELDOM_MS)
        begins = (storm.begins_ms for storm in storms)
        time_ms = min([time_ms, *(at for at in begins if times[-1] < at)])
    return times
