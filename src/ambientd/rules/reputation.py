"""Reputation: a Beta distribution in integers, read pessimistically (VERIFICATION; ADR 27).

Counters decay by the day of block time. That is worked out when they are looked at, a day after
the other, so that it makes no difference how often somebody looks.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import isqrt

from msgspec.structs import replace

from ambientd.model.base import NodeId
from ambientd.model.reputation import Reputation, Tally

UNIT = 1_000_000
PRIOR_GOOD = 1 * UNIT
PRIOR_BAD = 3 * UNIT
LATE_WEIGHT = 1
FAULT_WEIGHT = 8
COUNT_MAX = 1_000_000 * UNIT
NEWCOMER_OUTCOMES_MAX = 4
"""Who has as many is no newcomer: what one submitter gives a node in a week, after it has faded."""


DAY_MS = 86_400_000
WEEK_DAYS = 7
DECAY_PERCENT = 98
DAYS_MAX = 2_000
"""After so many days nothing of the largest counter is left."""

SUBMITTER_SHARE = 20
SUBMITTER_OUTCOMES_MIN = 5
"""A week counts so many outcomes of a submitter in any case, else one in `SUBMITTER_SHARE`."""

TALLIES_MAX = 24
SUBMITTER_BYTES = 8

UNKNOWN = Reputation(good=PRIOR_GOOD, bad=PRIOR_BAD)


def permille(good: int, bad: int) -> int:
    """Give max(0, mean - deviation) in thousandths, for counters in millionths."""
    total = good + bad
    mean = 1000 * good // total
    # Var = ab / ((a+b)^2 (a+b+1)); counters are scaled by UNIT, so the last term is too.
    variance_ppm = 1_000_000 * good * bad * UNIT // (total * total * (total + UNIT))
    return max(0, mean - isqrt(variance_ppm))


def praised(good: int, bad: int) -> tuple[int, int]:
    """Count one verified outcome."""
    return min(good + UNIT, COUNT_MAX), bad


def blamed(good: int, bad: int, weight: int) -> tuple[int, int]:
    """Count a fault of this weight."""
    return good, min(bad + weight * UNIT, COUNT_MAX)


def as_of(before: Reputation, now_ms: int) -> Reputation:
    """Let the days pass since somebody last looked: counters decay toward the prior."""
    day = now_ms // DAY_MS
    if day <= before.day:
        return before
    days = min(day - before.day, DAYS_MAX)
    after = replace(
        before,
        good=PRIOR_GOOD + _decayed(before.good - PRIOR_GOOD, days),
        bad=PRIOR_BAD + _decayed(before.bad - PRIOR_BAD, days),
        day=day,
    )
    week = day // WEEK_DAYS
    return after if week == before.week else replace(after, week=week, counted=0, tallies=())


@lru_cache(maxsize=4096)
def _decayed(above: int, days: int) -> int:
    for _ in range(days):
        above = above * DECAY_PERCENT // 100
    return above


def verified(before: Reputation, submitter: NodeId, now_ms: int) -> Reputation:
    """Count a verified outcome, unless its submitter has had its share of the week."""
    counted = _of_submitter(as_of(before, now_ms), submitter)
    if counted is None:
        return before
    good, bad = praised(counted.good, counted.bad)
    return replace(counted, good=good, bad=bad, streak=counted.streak + 1)


def late(before: Reputation, submitter: NodeId, now_ms: int) -> Reputation:
    """Count an answer that did not come in time, to which a submitter may have seen."""
    counted = _of_submitter(as_of(before, now_ms), submitter)
    if counted is None:
        return before
    good, bad = blamed(counted.good, counted.bad, LATE_WEIGHT)
    return replace(counted, good=good, bad=bad)


def faulty(before: Reputation, now_ms: int) -> Reputation:
    """Count what only the node itself can have done wrong: trust is to be earned anew."""
    now = as_of(before, now_ms)
    good, bad = blamed(now.good, now.bad, FAULT_WEIGHT)
    return replace(now, good=good, bad=bad, streak=0)


def _of_submitter(now: Reputation, submitter: NodeId) -> Reputation | None:
    """Note one more outcome of a submitter in this week; None when that would be too many.

    Of more submitters than are kept, a new one takes the place of the least and its count: who
    is counted too high never gets more than its share.
    """
    name = submitter[:SUBMITTER_BYTES]
    others = [tally for tally in now.tallies if tally.submitter != name]
    own = [tally.count for tally in now.tallies if tally.submitter == name]
    if not own and len(others) == TALLIES_MAX:
        least = min(others, key=lambda tally: (tally.count, tally.submitter))
        others.remove(least)
        own = [least.count]
    count = sum(own) + 1
    if count > max(SUBMITTER_OUTCOMES_MIN, (now.counted + 1) // SUBMITTER_SHARE):
        return None
    tallies = sorted([*others, Tally(submitter=name, count=count)], key=lambda each: each.submitter)
    return replace(now, counted=now.counted + 1, tallies=tuple(tallies))


def outcomes(found: Reputation) -> int:
    """Count, weighted, what was concluded about a node and has not faded yet."""
    return (found.good + found.bad - PRIOR_GOOD - PRIOR_BAD) // UNIT


def overall_permille(found: Iterable[Reputation], now_ms: int) -> int:
    """Give what a node's outcomes in all classes say of it together."""
    good, bad = PRIOR_GOOD, PRIOR_BAD
    for each in found:
        now = as_of(each, now_ms)
        good, bad = good + now.good - PRIOR_GOOD, bad + now.bad - PRIOR_BAD
    return permille(good, bad)
