"""Pages of the ledger's tasks, the newest first, without a look at those of other pages."""

import itertools
import re
from collections.abc import Iterator

from ambientd.api.paging import check_place, cut
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.base import TaskId
from ambientd.model.task import TERMINAL, TaskState

OPEN = "open"
"""Every state of a task that has not ended."""
STATES = frozenset(each.name.lower() for each in TaskState)
_LATEST_MS = 2**53
_TIME_DIGITS = 14
_PLACE = re.compile(rf"[0-9a-f]{{{_TIME_DIGITS + 64}}}")

Found = tuple[TaskId, TaskEntry]


def total_of(state: LedgerState, wanted: str) -> int:
    """Count the tasks in a state, the open ones, or all of them."""
    counts = state.tasks_by.in_state
    if wanted in STATES:
        return counts[TaskState[wanted.upper()]]
    ended = 0 if wanted == OPEN else sum(counts[each] for each in TERMINAL)
    return ended + len(state.tasks_by.open)


def task_page(
    state: LedgerState, wanted: str, limit: int, after: str
) -> tuple[list[Found], str | None]:
    """Give some tasks, the newest first, and where the next page begins; raise OperationError.

    A state's own tasks are looked for among all that have ended, or among all that have not.
    """
    check_place(after, _PLACE)
    open_only = wanted == OPEN or (wanted in STATES and TaskState[wanted.upper()] not in TERMINAL)
    place = (int(after[:_TIME_DIGITS], 16) - _LATEST_MS, after[_TIME_DIGITS:]) if after else None
    tasks = _open_after(state, place) if open_only else _all_after(state, place)
    found = (
        (task, entry)
        for task in tasks
        if (entry := state.task(task)) is not None
        and (wanted not in STATES or entry.state.name.lower() == wanted)
    )
    return cut(list(itertools.islice(found, limit + 1)), limit, newest_first)


def _all_after(state: LedgerState, place: tuple[int, str] | None) -> Iterator[TaskId]:
    since = (place[0], bytes.fromhex(place[1])) if place else None
    return state.tasks_by.newest_after(since)


def _open_after(state: LedgerState, place: tuple[int, str] | None) -> Iterator[TaskId]:
    keys = ((-admitted_ms, task.hex(), task) for admitted_ms, task in state.tasks_by.open)
    return (task for ms, name, task in sorted(keys) if place is None or (ms, name) > place)


def newest_first(item: Found) -> str:
    """Give a task's key in a list that begins with the newest."""
    task, entry = item
    return f"{_LATEST_MS - entry.admitted_ms:0{_TIME_DIGITS}x}{task.hex()}"
