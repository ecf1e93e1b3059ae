"""What every node said over the last hour and the last day."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.model.base import NodeId
from ambientd.model.telemetry import Measure, Observation
from ambientd.telemetry.series import LINK, NAMES, RESOLUTIONS, Line, Series
from tests.telemetry.builders import OTHER, PEER

HOUR, DAY = RESOLUTIONS["hour"], RESOLUTIONS["day"]
NODE_BYTES_MAX = 90_000


def watts(value: int | None) -> tuple[Observation, ...]:
    return (Observation(name=Measure.POWER, value=value, source="rapl"),)


def only(series: Series, span: str, now: int) -> Line:
    [line] = series.of(PEER, span, now)
    return line


def test_a_step_is_the_mean_of_what_was_said_in_it() -> None:
    series = Series()
    for at_ms, value in ((0, 1_000), (9_000, 3_000), (10_000, 7_000)):
        series.note(PEER, watts(value), at_ms)
    hour = only(series, "hour", 10_000)
    assert (hour.name, hour.source, hour.values[-2:]) == ("power_watt", "rapl", (2_000, 7_000))
    assert only(series, "day", 10_000).values[-1] == pytest.approx(11_000 / 3)


def test_a_value_stands_as_long_as_its_node_counts_as_heard() -> None:
    series = Series()
    series.note(PEER, watts(5_000), 0)
    assert only(series, "hour", 50_000).values[-6:] == (5_000, 5_000, 5_000, 5_000, None, None)


def test_what_is_not_known_is_no_zero_and_what_is_unknown_is_not_kept() -> None:
    series = Series()
    strange = Observation(name="strange_percent", value=1, source="a later version")
    series.note(PEER, (*watts(None), strange), 0)
    assert series.of(PEER, "hour", 0) == ()
    assert series.follows(PEER)
    assert not series.follows(OTHER)


def test_a_link_is_half_a_round_trip_from_here() -> None:
    series = Series()
    series.note_link(PEER, 4_000, 0)
    line = only(series, "hour", 0)
    assert (line.name, line.values[-1]) == (LINK, 2_000)


def test_nobody_who_is_here_is_pushed_out_and_who_was_silent_for_a_day_is() -> None:
    series = Series(nodes_max=1)
    series.note(PEER, watts(1), 0)
    series.note(OTHER, watts(1), DAY.kept_ms)
    assert not series.follows(OTHER)
    series.note(OTHER, watts(1), DAY.kept_ms + 1)
    assert series.follows(OTHER)
    assert not series.follows(PEER)


@given(st.lists(st.tuples(st.integers(0, 5_000_000), st.integers(0, 1000)), max_size=30))
def test_the_last_hour_is_what_was_said_in_it_however_long_the_pauses(
    said: list[tuple[int, int]],
) -> None:
    series, now, steps = Series(), 0, dict[int, list[int]]()
    for pause_ms, value in said:
        now += pause_ms
        series.note(PEER, watts(value), now)
        steps.setdefault(now // HOUR.step_ms, []).append(value)
    found = {0: None} if not said else dict(enumerate(only(series, "hour", now).values))
    first = now // HOUR.step_ms - HOUR.steps + 1
    for number, value in found.items():
        if (here := steps.get(first + number)) is not None:
            assert value is not None
            assert abs(value - sum(here) / len(here)) < 0.001
        else:
            before = [first + number - back in steps for back in (1, 2, 3) if back <= number]
            assert (value is None) == (not any(before))


def test_a_node_takes_memory_of_a_fixed_size() -> None:
    series = Series()
    observations = tuple(Observation(name=name, value=1, source="test") for name in sorted(NAMES))
    tracemalloc.start()
    try:
        for now in range(0, DAY.kept_ms, 600_000):
            series.note(NodeId(b"n" * 32), observations, now)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < NODE_BYTES_MAX
