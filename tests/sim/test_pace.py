"""A soak uses its time and does not outlast it."""

from itertools import cycle, islice, repeat

from sim.plans import Plan
from sim.soak import PASSED_OVER_MAX, Pace

LONG, SHORT = Plan("log", 1, 7, 3_600_000), Plan("log", 2, 4)


def paced() -> Pace:
    pace = Pace(60.0)
    pace.took(LONG, 9.0)
    pace.took(LONG, 10.0)
    pace.took(LONG, 8.0)
    pace.took(SHORT, 1.0)
    return pace


def test_a_world_that_would_outlast_the_soak_is_passed_over() -> None:
    worlds = cycle([LONG, SHORT])
    assert paced().fitting(worlds, 49.0) == LONG
    assert paced().fitting(cycle([LONG, SHORT]), 51.0) == SHORT
    assert paced().fitting(cycle([LONG, SHORT]), 59.5) is None
    assert paced().fitting(cycle([LONG, SHORT]), 60.0) is None


def test_a_world_of_a_kind_that_was_not_seen_yet_is_tried() -> None:
    assert Pace(60.0).fitting(repeat(LONG), 59.0) == LONG


def test_no_search_for_a_short_world_goes_on_for_ever() -> None:
    worlds = iter(range(10 * PASSED_OVER_MAX))
    taken = (LONG for _ in worlds)
    assert paced().fitting(taken, 55.0) is None
    assert len(list(islice(worlds, 10 * PASSED_OVER_MAX))) == 9 * PASSED_OVER_MAX


def test_no_world_waits_behind_another_as_the_end_comes_near() -> None:
    assert paced().ahead(30.0) == 2
    assert paced().ahead(45.0) == 1
