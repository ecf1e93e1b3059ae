"""Reputation: a Beta distribution in integers, read pessimistically (VERIFICATION, Reputation)."""

from math import isqrt

UNIT = 1_000_000
PRIOR_GOOD = 1 * UNIT
PRIOR_BAD = 3 * UNIT
LATE_WEIGHT = 1
FAULT_WEIGHT = 8
COUNT_MAX = 1_000_000 * UNIT


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
