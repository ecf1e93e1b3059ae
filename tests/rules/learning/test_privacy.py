import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from ambientd.errors import ConfigError
from ambientd.model.base import NodeId
from ambientd.rules.learning import privacy
from ambientd.rules.learning.privacy import Terms
from ambientd.rules.studies import GROUP_MAX, groups_of, threshold_of
from tests.ledger.studies import PRIVATE

VECTORS = Path(__file__).parents[3] / "protocols" / "vectors" / "privacy.json"
CASES = json.loads(VECTORS.read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"noise {case['noise_milli']}")
def test_the_accountant_agrees_with_dp_accounting(case: dict[str, Any]) -> None:
    terms = Terms(case["clip_micro"], case["noise_milli"], case["survivors_min"])
    assert (terms.bits, terms.clip_units, terms.variance) == (
        case["bits"],
        case["clip_units"],
        case["variance"],
    )
    found = privacy.spent(terms, case["releases"])
    assert found == privacy.Spent(case["epsilon_micro"], 10_000)
    theirs = case["dp_accounting"]
    epsilon = case["epsilon_micro"] / 1e6
    assert epsilon == pytest.approx(theirs["of_our_curve"], rel=1e-5)
    assert epsilon >= theirs["of_our_curve"]
    # The exact distribution cannot cost more than the bound; the continuous one costs about that.
    assert theirs["one_dimension"] <= epsilon
    assert epsilon == pytest.approx(theirs["gaussian"], rel=0.03)


GRID = json.loads(VECTORS.read_text())["grid"]


def test_from_the_mechanism_to_epsilon_the_accountant_agrees_with_dp_accounting_to_a_percent() -> (
    None
):
    """Over noises, clips, thresholds and up to a thousand rounds; theirs is of the Gaussian."""
    assert len(GRID) == 60
    for case in GRID:
        terms = Terms(case["clip_micro"], case["noise_milli"], case["survivors_min"])
        found = privacy.spent(terms, case["releases"]).epsilon_micro
        assert found is not None
        assert found / 1e6 == pytest.approx(case["gaussian_at_our_orders"], rel=0.01), case


def test_at_orders_between_whole_ones_dp_accounting_finds_less_and_never_more() -> None:
    """The Skellam bound is proven for whole orders: what that costs is said here as it is."""
    for case in GRID:
        terms = Terms(case["clip_micro"], case["noise_milli"], case["survivors_min"])
        found = (privacy.spent(terms, case["releases"]).epsilon_micro or 0) / 1e6
        assert found >= case["gaussian"] * (1 - 1e-6), case
        if found < 5:
            assert found == pytest.approx(case["gaussian"], rel=0.01), case
        elif found < 30:
            assert found == pytest.approx(case["gaussian"], rel=0.04), case


RANGE = json.loads(VECTORS.read_text())["range"]
SAMPLED = json.loads(VECTORS.read_text())["sampled"]


def of_case(case: dict[str, Any]) -> float:
    once = privacy.cost(Terms(500_000, case["noise_milli"], 11))
    assert once is not None
    spent = tuple(case["releases"] * nano for nano in once)
    return privacy.epsilon_micro(spent, case["delta_ppb"]) / 1e6


def test_below_an_epsilon_of_8_the_accountant_is_within_a_percent_of_dp_accountings_default() -> (
    None
):
    """Whatever noise, rounds and delta; from 0.5, below which our orders are the finer ones."""
    below = [case for case in RANGE if 0.5 <= of_case(case) < 8]
    assert len(below) > 70
    for case in below:
        assert of_case(case) == pytest.approx(case["default"], rel=0.01), case


def test_at_equal_orders_the_accountant_is_within_a_ten_thousandth_of_dp_accounting() -> None:
    assert len(RANGE) == 198
    for case in RANGE:
        assert of_case(case) == pytest.approx(case["at_our_orders"], rel=1e-4), case
        # A variance is a whole number, rounded up: that is what ours may be less by.
        assert of_case(case) >= case["at_our_orders"] * (1 - 1e-6), case


def test_beyond_an_epsilon_of_8_the_accountant_says_more_by_so_much_and_never_less() -> None:
    """The Skellam bound is proven for whole orders, and beyond 8 the best one lies between two."""
    most = {30.0: 0.05, 100.0: 0.11, math.inf: 0.55}
    for case in RANGE:
        found = of_case(case)
        if found < 8:
            continue
        bound = next(share for epsilon, share in most.items() if found < epsilon)
        assert case["default"] * (1 - 1e-6) <= found <= case["default"] * (1 + bound), case


def test_nothing_is_taken_off_for_sampling_though_dp_accounting_would() -> None:
    """Who takes part is in the log: a draw that everybody sees hides nobody."""
    for case in SAMPLED:
        assert of_case(case) > 2 * case["default"], case


some_terms = st.builds(
    Terms,
    clip_micro=st.integers(10_000, 2_000_000),
    noise_milli=st.integers(100, 20_000),
    survivors_min=st.integers(1, 43),
)


@settings(max_examples=40)
@given(terms=some_terms, releases=st.integers(0, 500), more=st.integers(1, 50))
def test_what_was_spent_only_grows(terms: Terms, releases: int, more: int) -> None:
    before, after = privacy.spent(terms, releases), privacy.spent(terms, releases + more)
    assert before.epsilon_micro is not None
    assert after.epsilon_micro is not None
    assert before.epsilon_micro < after.epsilon_micro


@settings(max_examples=40)
@given(terms=some_terms, other=some_terms)
def test_costs_of_two_studies_add_up(terms: Terms, other: Terms) -> None:
    first, second = privacy.cost(terms), privacy.cost(other)
    assert first is not None
    assert second is not None
    both = privacy.composed(first, second)
    assert both == privacy.composed(second, first)
    assert privacy.epsilon_micro(both) >= max(map(privacy.epsilon_micro, (first, second)))


@settings(max_examples=20)
@given(terms=some_terms, budget=st.integers(0, 20_000_000))
def test_a_budget_holds_exactly_the_releases_that_are_said_to_fit(
    terms: Terms, budget: int
) -> None:
    count = privacy.releases_max(terms, budget)
    fits = privacy.spent(terms, count).epsilon_micro
    over = privacy.spent(terms, count + 1).epsilon_micro
    assert fits is not None
    assert over is not None
    assert fits <= budget < over or count == 10**6


@given(terms=some_terms)
def test_the_noise_of_the_fewest_survivors_is_what_was_asked(terms: Terms) -> None:
    asked = (terms.noise_milli * terms.clip_units) ** 2
    assert terms.variance * terms.survivors_min * 10**6 >= asked
    # All of it fits into 32 bits, for the largest group.
    reach = 17 * (int(terms.variance**0.5) + 2) + 64
    assert privacy.GROUP_SIZE_MAX * (terms.clip_units + reach) < 2**31


@pytest.mark.parametrize("size", range(2, GROUP_MAX + 1))
def test_every_group_that_may_be_drawn_has_terms(size: int) -> None:
    plan = changed(PRIVATE, group_size=size)
    whole = changed(plan, threshold=size)
    for count in range(size, 2 * size):
        nodes = [NodeId(b"%d" % number) for number in range(count)]
        (group,) = groups_of(nodes, bytes(32), size)
        for each in (plan, whole):
            terms = Terms(each.clip_micro, each.noise_milli, threshold_of(each, len(group)))
            assert terms.survivors_min <= len(group)


def test_without_noise_no_privacy_is_claimed() -> None:
    terms = Terms(500_000, 0, 6)
    assert privacy.cost(terms) is None
    assert privacy.spent(terms, 1) == privacy.Spent(None, 10_000)
    assert privacy.spent(terms, 0) == privacy.Spent(0, 10_000)
    assert privacy.releases_max(terms, 10**9) == 0


@pytest.mark.parametrize(
    ("clip", "noise", "survivors"),
    [
        (0, 1, 1),
        (256_000_001, 1, 1),
        (1, -1, 1),
        (1, 1_000_001, 1),
        (500_000, 1, 0),
        (500_000, 1, 128),
        (200_000_000, 500_000, 6),
        (10, 1000, 6),
    ],
)
def test_terms_that_cannot_be_kept_are_refused(clip: int, noise: int, survivors: int) -> None:
    with pytest.raises(ConfigError):
        Terms(clip, noise, survivors)
