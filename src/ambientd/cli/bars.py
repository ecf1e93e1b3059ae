"""What a terminal shows of work that goes on: one line for each, however narrow it is.

It is imported on terminals only, like `drawing`; how many columns there are, and whether there are
colours, rich says.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TimeElapsedColumn,
)
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ambientd.cli.console import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Task, TaskID

_BAR_MIN, _BAR_MAX = 8, 40
_TEXT_MIN = 12
_SPINNER_ROOM = 2


def line_of(
    text: str, told: tuple[str, ...], done: float, total: float | None, room: int
) -> "RenderableType":
    """Draw a line of a width: words, a bar where there is room for one, and what is told of it.

    Where there is too little room the last thing told goes first, then the end of the words, then
    the bar, then all words.
    """
    while len(told) > 1 and cell_len("  ".join(told)) > room - _TEXT_MIN - _BAR_MIN - 2:
        told = told[:-1]
    right = Text("  ".join(told), no_wrap=True)
    right.truncate(room, overflow="ellipsis")
    left = Text(printable(text), no_wrap=True)
    rest = room - right.cell_len - 1
    if rest < 1:
        return right
    least = min(left.cell_len, _TEXT_MIN)
    if rest < least + 1 + _BAR_MIN:
        left.truncate(rest, overflow="ellipsis")
        return Text.assemble(left, " ", right)
    left.truncate(rest - 1 - _BAR_MIN, overflow="ellipsis")
    width = min(_BAR_MAX, rest - 1 - left.cell_len)
    grid = Table.grid(padding=(0, 1, 0, 0))
    for size in (left.cell_len, width, right.cell_len):
        grid.add_column(width=size, no_wrap=True)
    grid.add_row(left, ProgressBar(total, done, width, pulse=total is None), right)
    return grid


class _Line(ProgressColumn):
    """The whole line of something that goes on; what is known of it last is for how long."""

    def __init__(self, console: Console, done: "Callable[[Task], str]") -> None:
        super().__init__()
        self._console = console
        self._done = done
        self._elapsed = TimeElapsedColumn()

    def render(self, task: "Task") -> "RenderableType":
        """Draw it as wide as the terminal is now."""
        told = (self._done(task), self._elapsed.render(task).plain)
        known = tuple(each for each in told if each)
        room = self._console.width
        return line_of(task.description, known, task.completed, task.total, room)


class _Going(ProgressColumn):
    """The line of something of which nothing is known but for how long it goes on."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._elapsed = TimeElapsedColumn()

    def render(self, task: "Task") -> Text:
        """Draw it as wide as the terminal is now."""
        elapsed = self._elapsed.render(task).plain
        room = self._console.width - _SPINNER_ROOM
        text = Text(printable(task.description), no_wrap=True)
        text.truncate(max(0, room - len(elapsed) - 1), overflow="ellipsis")
        return Text.assemble(text, " ", elapsed)


class Counter:
    """A bar of things that are counted."""

    is_seen = True

    def __init__(self, progress: Progress, shown: "TaskID") -> None:
        self._progress = progress
        self._shown = shown

    def told(self, done: int, total: int) -> None:
        """Show how many are done, of how many."""
        self._progress.update(self._shown, completed=done, total=total)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar off the screen while the answer is written to it."""
        if not sys.stdout.isatty():
            yield
            return
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show on standard error that something goes on, and for how long."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), _Going(console))
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(text, total=None)
        yield


@contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show on standard error how many bytes are done, of how many; give what is told of them."""
    console = Console(stderr=True)
    sizes = DownloadColumn(binary_units=True)
    line = _Line(console, lambda task: sizes.render(task).plain if task.total else "")
    with Progress(line, console=console, transient=True) as progress:
        shown = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(shown, completed=done, total=total)


@contextmanager
def counter(text: str, unit: str) -> Iterator[Counter]:
    """Show on standard error how many are done, of how many; the answer stays where it goes."""

    def done(task: "Task") -> str:
        """Say nothing before it is known how many there are."""
        return f"{task.completed:,.0f} of {task.total:,.0f} {unit}" if task.total else ""

    console = Console(stderr=True)
    line = _Line(console, done)
    with Progress(line, console=console, transient=True, redirect_stdout=False) as progress:
        yield Counter(progress, progress.add_task(text, total=None))
