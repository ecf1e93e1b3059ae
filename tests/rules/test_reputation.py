import math

from hypothesis import given
from hypothesis import strategies as st

from ambientd.rules.reputation import (
    COUNT_MAX,
    FAULT_WEIGHT,
    LATE_WEIGHT,
    PRIOR_BAD,
    PRIOR_GOOD,
    UNIT,
    blamed,
    permille,
    praised,
)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_reputation_is_mean_less_deviation_of_the_beta_distribution(good: int, bad: int) -> None:
    a, b = good + 1, bad + 3
    exact = a / (a + b) - math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    counted = permille(PRIOR_GOOD + good * UNIT, PRIOR_BAD + bad * UNIT)
    assert abs(counted - 1000 * max(0.0, exact)) <= 2


def test_a_newcomer_begins_low_and_rises_only_with_many_outcomes() -> None:
    counters = PRIOR_GOOD, PRIOR_BAD
    assert permille(*counters) < 100
    seen = [permille(*counters)]
    for _ in range(50):
        counters = praised(*counters)
        seen.append(permille(*counters))
    assert seen == sorted(seen)
    assert 500 < seen[10] < 700
    assert seen[50] > 850


def test_a_withheld_answer_costs_what_eight_late_ones_do() -> None:
    counters = 20 * UNIT, PRIOR_BAD
    late = counters
    for _ in range(8):
        late = blamed(*late, LATE_WEIGHT)
    assert blamed(*counters, FAULT_WEIGHT) == late
    assert permille(*late) < permille(*counters)


@given(st.integers(1, COUNT_MAX), st.integers(1, COUNT_MAX))
def test_reputation_stays_in_range_and_counters_below_their_bound(good: int, bad: int) -> None:
    assert 0 <= permille(good, bad) <= 1000
    assert max(praised(good, bad)) <= COUNT_MAX
    assert max(blamed(good, bad, FAULT_WEIGHT)) <= COUNT_MAX
