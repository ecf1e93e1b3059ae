"""Hours of the week: what lies within them, and when that changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.rules.hours import (
    DAY_MINUTES,
    WEEK_MINUTES,
    Hours,
    clock_text,
    is_within,
    next_change,
    read_hours,
)


def at(day: int, hour: int, minute: int = 0) -> int:
    return day * DAY_MINUTES + hour * 60 + minute


def hours(*texts: str) -> list[Hours]:
    read = [read_hours(text) for text in texts]
    assert all(each is not None for each in read)
    return [each for each in read if each is not None]


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("08:00-18:00", [at(0, 8), at(6, 17, 59)], [at(0, 7, 59), at(0, 18)]),
        ("22:00-06:00", [at(0, 23), at(0, 2), at(6, 5, 59)], [at(0, 6), at(3, 21, 59)]),
        ("Mon-Fri 18:00-08:00", [at(0, 18), at(5, 7, 59)], [at(0, 7), at(5, 8), at(5, 18)]),
        ("Sat 00:00-24:00", [at(5, 0), at(5, 23, 59)], [at(4, 23, 59), at(6, 0)]),
        ("Sun 20:00-04:00", [at(6, 20), at(0, 3)], [at(0, 4), at(1, 3)]),
        ("Sat-Mon 10:00-11:00", [at(5, 10), at(6, 10), at(0, 10)], [at(1, 10), at(4, 10)]),
        ("00:00-00:00", [0, WEEK_MINUTES - 1], []),
    ],
)
def test_a_window_holds_what_it_says(text: str, inside: list[int], outside: list[int]) -> None:
    windows = hours(text)
    assert [minute for minute in inside if not is_within(windows, minute)] == []
    assert [minute for minute in outside if is_within(windows, minute)] == []


@pytest.mark.parametrize(
    "text",
    [
        *("", "8-18", "08:00", "08:60-09:00", "25:00-01:00", "24:00-01:00", "Mo 08:00-09:00"),
        *("Mon-Xyz 08:00-09:00", "Mon,Tue 08:00-09:00", "08:00-09:00\n", "08:00 - 09:00"),
    ],
)
def test_what_is_no_window_is_not_read(text: str) -> None:
    assert read_hours(text) is None


def test_what_always_or_never_holds_never_changes() -> None:
    assert next_change(hours("00:00-24:00"), 5) is None
    assert next_change([], 5) is None


WINDOWS = st.lists(
    st.builds(
        Hours,
        st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True).map(tuple),
        st.integers(0, DAY_MINUTES - 1),
        st.integers(0, DAY_MINUTES),
    ),
    max_size=4,
)


@given(WINDOWS, st.integers(0, WEEK_MINUTES - 1))
def test_the_next_change_is_the_first_minute_that_differs(
    windows: list[Hours], minute: int
) -> None:
    now = is_within(windows, minute)
    change = next_change(windows, minute)
    later = ((minute + step) % WEEK_MINUTES for step in range(1, WEEK_MINUTES))
    assert change == next((each for each in later if is_within(windows, each) != now), None)


def test_a_minute_is_told_with_its_day_unless_it_is_today() -> None:
    noon = at(0, 12)
    assert clock_text(at(0, 18), noon) == "18:00"
    assert clock_text(at(1, 8), noon) == "Tue 08:00"
    assert clock_text(at(0, 8), noon) == "Mon 08:00", "next week's"
