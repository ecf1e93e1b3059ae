"""What a terminal shows: tables as wide as it is, colours, and pictures that change in place.

It is imported on terminals only, as rich takes longer than all other imports together. Colours and
widths are rich's, which honours NO_COLOR, TERM and COLUMNS.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable
from rich.text import Text

from ambientd.cli.console import printable
from ambientd.cli.parts import Fields, Part, Table

STYLES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("TROUBLE", "FAULTS", "convicted", "trapped", "expired", "out_of_gas"), "bold red"
    )
    | dict.fromkeys(("away", "safe mode", "disputed", "divergent", "bisected"), "yellow")
    | dict.fromkeys(("final", "agreed", "completed", "anchored", "connected"), "green")
    | dict.fromkeys(("cancelled", "none", "-"), "dim")
)
"""How a cell looks that begins with these words."""


def drawn(parts: Sequence[Part]) -> Group:
    """Put parts one below another, with a line between them."""
    pictures = [_drawn(part) for part in parts]
    return Group(*pictures[:1], *(Padding(each, (1, 0, 0, 0)) for each in pictures[1:]))


def _drawn(part: Part) -> RenderableType:
    match part:
        case str():
            return Text(printable(part))
        case Table():
            table = RichTable(box=None, pad_edge=False, header_style="bold")
            for column in part.columns:
                table.add_column(column, no_wrap=column != part.columns[-1], overflow="fold")
            for row in part.rows:
                table.add_row(*map(_cell, row))
            return table
        case Fields():
            grid = RichTable.grid(padding=(0, 2, 0, 0))
            grid.add_column(no_wrap=True)
            grid.add_column(overflow="fold")
            for name, value in part.rows:
                grid.add_row(Text(printable(name), STYLES.get(name, "bold")), _cell(value))
            return grid


def _cell(text: str) -> Text:
    style = next((each for start, each in STYLES.items() if text.partition(",")[0] == start), "")
    return Text(printable(text), style)


def draw(parts: Sequence[Part]) -> None:
    """Draw parts on the terminal behind standard output."""
    Console(file=sys.stdout).print(drawn(parts))


@contextmanager
def picture(*, whole: bool) -> Iterator[Callable[[Sequence[Part]], None]]:
    """Draw parts in place, again and again: on the whole screen, or below what was printed."""
    console = Console(file=sys.stdout)
    with Live(console=console, screen=whole, auto_refresh=False) as live:
        yield lambda parts: live.update(drawn(parts), refresh=True)


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show on standard error that something goes on, and for how long."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(text, total=None)
        yield
