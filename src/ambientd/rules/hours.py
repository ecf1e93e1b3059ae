"""Hours of the week in which an owner lets a node work, such as "Mon-Fri 18:00-08:00"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
_FORM = re.compile(
    r"(?:(?P<first>[A-Z][a-z]{2})(?:-(?P<last>[A-Z][a-z]{2}))? )?"
    r"(?P<from_hour>[0-9]{2}):(?P<from_minute>[0-9]{2})"
    r"-(?P<until_hour>[0-9]{2}):(?P<until_minute>[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class Hours:
    """One window on some days, in minutes of the day; past midnight where it ends no later."""

    days: tuple[int, ...]
    from_minute: int
    until_minute: int

    @property
    def length(self) -> int:
        """Give for how many minutes it lasts."""
        return (self.until_minute - self.from_minute - 1) % DAY_MINUTES + 1


def read_hours(text: str) -> Hours | None:
    """Read "18:00-08:00", "Sat 00:00-24:00" or "Mon-Fri 18:00-08:00"; None when it is none."""
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    first, last = found["first"], found["last"]
    if first is not None and (first not in DAYS or (last or first) not in DAYS):
        return None
    begin = 0 if first is None else DAYS.index(first)
    end = len(DAYS) - 1 if first is None else DAYS.index(last or first)
    days = tuple((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    from_minute = _minutes(found["from_hour"], found["from_minute"])
    until_minute = _minutes(found["until_hour"], found["until_minute"])
    if from_minute is None or until_minute is None or from_minute == DAY_MINUTES:
        return None
    return Hours(days, from_minute, until_minute)


def _minutes(hour: str, minute: str) -> int | None:
    value = int(hour) * 60 + int(minute)
    return value if int(minute) < 60 and value <= DAY_MINUTES else None


def is_within(hours: Sequence[Hours], week_minute: int) -> bool:
    """Tell whether a minute, counted from Monday's midnight, is in one of the windows."""
    return any(
        (week_minute - day * DAY_MINUTES - each.from_minute) % WEEK_MINUTES < each.length
        for each in hours
        for day in each.days
    )


def next_change(hours: Sequence[Hours], week_minute: int) -> int | None:
    """Give the minute of the week at which being within changes; None when it never does."""
    now = is_within(hours, week_minute)
    edges = {
        (day * DAY_MINUTES + each.from_minute + offset) % WEEK_MINUTES
        for each in hours
        for day in each.days
        for offset in (0, each.length)
    }
    later = sorted(edges, key=lambda edge: (edge - week_minute - 1) % WEEK_MINUTES)
    return next((edge for edge in later if is_within(hours, edge) != now), None)


def clock_text(week_minute: int, from_minute: int) -> str:
    """Write a minute of the week as people say it, with its day unless that is today's."""
    day, minute = divmod(week_minute, DAY_MINUTES)
    text = f"{minute // 60:02}:{minute % 60:02}"
    is_today = (week_minute - from_minute) % WEEK_MINUTES < DAY_MINUTES and (
        day == from_minute // DAY_MINUTES
    )
    return text if is_today else f"{DAYS[day]} {text}"
