import math
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ambientd.model.base import NodeId
from ambientd.model.reputation import Reputation
from ambientd.rules.auditing import is_trusted
from ambientd.rules.reputation import (
    COUNT_MAX,
    DAY_MS,
    DAYS_MAX,
    FAULT_WEIGHT,
    LATE_WEIGHT,
    PRIOR_BAD,
    PRIOR_GOOD,
    SUBMITTER_OUTCOMES_MIN,
    SUBMITTER_SHARE,
    TALLIES_MAX,
    UNIT,
    UNKNOWN,
    _decayed,
    as_of,
    blamed,
    faulty,
    late,
    overall_permille,
    permille,
    praised,
    verified,
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


NOW_MS = 20_000 * DAY_MS
SUBMITTERS = [NodeId(bytes([number]) * 32) for number in range(40)]
outcomes_of = st.lists(st.sampled_from(SUBMITTERS), max_size=400)
kinds = st.sampled_from(["verified", "late", "faulty"])


def after(*steps: tuple[str, int], days: int = 0) -> Reputation:
    """Count outcomes, each by its kind and submitter, `days` after one another."""
    found = UNKNOWN
    for place, (kind, number) in enumerate(steps):
        now_ms = NOW_MS + place * days * DAY_MS
        submitter = SUBMITTERS[number]
        if kind == "faulty":
            found = faulty(found, now_ms)
        else:
            found = (verified if kind == "verified" else late)(found, submitter, now_ms)
    return found


def of(found: Reputation) -> int:
    return permille(found.good, found.bad)


@given(st.lists(st.tuples(kinds, st.integers(0, 39)), max_size=60), st.integers(0, 3))
def test_reputation_is_in_range_and_rises_with_good_outcomes_only(
    steps: list[tuple[str, int]], days: int
) -> None:
    found = after(*steps, days=days)
    now_ms = NOW_MS + len(steps) * days * DAY_MS
    assert 0 <= of(found) <= 1000
    now = of(as_of(found, now_ms)) - 1  # mean and deviation are rounded, each by itself
    assert of(verified(found, SUBMITTERS[0], now_ms)) >= now
    assert of(late(found, SUBMITTERS[0], now_ms)) <= now + 2
    assert of(faulty(found, now_ms)) <= of(late(found, SUBMITTERS[0], now_ms)) + 1


@given(st.lists(st.integers(0, 23), min_size=1, max_size=24, unique=True), st.randoms())
def test_the_order_of_a_days_outcomes_makes_no_difference(numbers: list[int], dice: Random) -> None:
    steps = [("verified", number) for number in numbers for _ in range(SUBMITTER_OUTCOMES_MIN)]
    shuffled = dice.sample(steps, len(steps))
    assert after(*steps) == after(*shuffled)


@given(st.lists(st.tuples(kinds, st.integers(0, 39)), max_size=40), st.lists(st.integers(0, 400)))
def test_it_makes_no_difference_how_often_somebody_looks(
    steps: list[tuple[str, int]], looks: list[int]
) -> None:
    found = seen = after(*steps)
    for day in sorted(looks):
        seen = as_of(seen, NOW_MS + day * DAY_MS)
    end_ms = NOW_MS + 400 * DAY_MS
    assert as_of(seen, end_ms) == as_of(found, end_ms)


@given(st.lists(st.tuples(kinds, st.integers(0, 39)), max_size=40), st.integers(1, 1_500))
def test_what_was_counted_fades_toward_the_prior_and_no_further(
    steps: list[tuple[str, int]], days: int
) -> None:
    found = after(*steps)
    faded = as_of(found, NOW_MS + days * DAY_MS)
    assert PRIOR_GOOD <= faded.good <= found.good
    assert PRIOR_BAD <= faded.bad <= found.bad
    gone = as_of(found, NOW_MS + DAYS_MAX * DAY_MS)
    assert (gone.good, gone.bad) == (PRIOR_GOOD, PRIOR_BAD)
    assert gone.streak == found.streak, "trust does not fade: audits are what takes it away"


def test_the_largest_counter_fades_within_the_days_that_are_counted() -> None:
    assert _decayed(COUNT_MAX, DAYS_MAX) == 0


@given(outcomes_of)
def test_no_submitter_has_more_than_its_share_of_a_week(submitters: list[NodeId]) -> None:
    found, counts = UNKNOWN, Counter[NodeId]()
    for submitter in submitters:
        now = verified(found, submitter, NOW_MS)
        if now.counted > found.counted:
            counts[submitter] += 1
            most = max(SUBMITTER_OUTCOMES_MIN, now.counted // SUBMITTER_SHARE)
            assert counts[submitter] <= most
        found = now
    assert found.counted == sum(counts.values())
    assert len(found.tallies) <= TALLIES_MAX
    assert found.good == PRIOR_GOOD + found.counted * UNIT


def test_a_week_of_many_submitters_counts_them_all() -> None:
    steps = [("verified", number) for _ in range(50) for number in range(40)]
    assert after(*steps).counted > len(steps) * 0.9


def test_one_submitter_alone_makes_nobody_trusted_in_a_week() -> None:
    lone = after(*[("verified", 0)] * 1_000)
    assert lone.streak == SUBMITTER_OUTCOMES_MIN
    assert not is_trusted(lone.streak)


def test_a_fault_ends_a_streak_and_lateness_does_not() -> None:
    good = [("verified", number) for number in range(12)]
    assert after(*good).streak == 12
    assert after(*good, ("late", 0)).streak == 12
    assert after(*good, ("faulty", 0)).streak == 0


def test_classes_count_together_for_a_node_as_a_whole() -> None:
    one = after(("verified", 0), ("verified", 1))
    both = overall_permille([one, one], NOW_MS)
    assert both == permille(PRIOR_GOOD + 4 * UNIT, PRIOR_BAD)
    assert overall_permille([], NOW_MS) == permille(PRIOR_GOOD, PRIOR_BAD)
