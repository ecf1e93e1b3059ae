"""Progress bars on standard error, where somebody sees them; elsewhere nothing is drawn."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from sim.checkers import Checker
from sim.machine import Delivery, Effect, Host

T = TypeVar("T")
STEP_MS = 1_000


class Bar:
    """How far something is."""

    def __init__(self, shown: Progress, task: TaskID) -> None:
        self._shown = shown
        self._task = task

    @property
    def is_seen(self) -> bool:
        """Tell whether anybody looks at it."""
        return not self._shown.disable

    def advance(self) -> None:
        """Go one step further."""
        self._shown.advance(self._task)

    def show(self, completed: float, text: str | None = None) -> None:
        """Say how far it is, and what there is to say of it."""
        self._shown.update(self._task, completed=completed, description=text)


@contextmanager
def bar(text: str, total: float, *, counts: bool = True) -> Iterator[Bar]:
    """Draw a bar as long as something lasts; `counts` says how many of how many are done."""
    console = Console(stderr=True)
    number: tuple[ProgressColumn, ...] = (MofNCompleteColumn(),) if counts else ()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *number,
        TimeElapsedColumn(),
        transient=True,
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # what is written to a file belongs there
    ) as shown:
        yield Bar(shown, shown.add_task(text, total=total))


def tracked(text: str, items: Iterable[T], total: int) -> Iterator[T]:
    """Give items one by one, and show how many have been done."""
    with bar(text, total) as shown:
        for item in items:
            yield item
            shown.advance()


class WorldClock(Checker):
    """Moves a bar with a world's time."""

    def __init__(self, shown: Bar) -> None:
        self._shown = shown
        self._next_ms = 0

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look away: effects come often enough."""
        del node, delivery, now

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Note the time."""
        del node, effect
        if now >= self._next_ms:
            self._shown.show(now)
            self._next_ms = now + STEP_MS
