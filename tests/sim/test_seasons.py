"""Long worlds have storms and lulls; short ones are one storm."""

import random
from itertools import pairwise

import pytest

from sim.happenings import Deafens, Parts, Pauses
from sim.plans import Finding, Plan, drawn_happenings, judge
from sim.scenarios import Outcome
from sim.seasons import CALM_MS_MIN, LONG_MS, RECOVERY_MS_MAX, Storm, storms_of, work_times
from sim.soak import HOUR_MS, long_plans


def test_a_short_world_is_one_storm_and_busy_throughout() -> None:
    dice = random.Random(1)
    assert storms_of(60_000, 4, dice) == (Storm(0, 35_000, RECOVERY_MS_MAX),)
    assert work_times(storms_of(60_000, 4, dice), 500, 45_000, 150, dice) == list(
        range(500, 45_000, 150)
    )
    assert dice.random() == random.Random(1).random()


@pytest.mark.parametrize("seed", range(5))
def test_a_long_world_has_storms_far_apart_and_ends_calm(seed: int) -> None:
    for time_ms in (LONG_MS, HOUR_MS):
        storms = storms_of(time_ms, 4, random.Random(seed))
        assert len(storms) > 1
        assert storms[-1].heals_ms <= time_ms - CALM_MS_MIN
        for before, after in pairwise(storms):
            assert after.begins_ms - before.heals_ms >= 480_000


def test_all_that_befalls_a_long_world_heals_in_time() -> None:
    plan = Plan("log", 3, 4, LONG_MS)
    happenings = drawn_happenings(plan)
    assert len(happenings) > 20
    for each in happenings:
        assert 0 <= each.at_ms < LONG_MS - CALM_MS_MIN
        if isinstance(each, Parts | Deafens):
            assert each.heals_ms > each.at_ms
        if isinstance(each, Pauses):
            assert each.until_ms > each.at_ms


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "seed", "nodes"),
    # `.ci/run` has fresh long worlds of both for five minutes, and whole nodes take a minute each.
    [("log", 2, 4), pytest.param("node", 3, 3, marks=pytest.mark.hunt)],
)
def test_the_promises_hold_in_a_long_world(scenario: str, seed: int, nodes: int) -> None:
    outcome = judge(Plan(scenario, seed, nodes, LONG_MS))
    assert not isinstance(outcome, Finding), outcome
    if isinstance(outcome, Outcome):
        assert outcome.committed < LONG_MS // 200  # it rested


def test_most_worlds_of_the_nightly_form_last_an_hour() -> None:
    source = long_plans(1)
    plans = [next(source) for _ in range(34)]
    hours = sum(plan.time_ms == HOUR_MS for plan in plans)
    assert hours > 24
    assert len({plan.seed for plan in plans}) == len(plans)
    assert {plan.scenario for plan in plans} == {"log", "node"}
