"""What a terminal shows: tables as wide as it is, colours, and pictures that change in place.

It is imported on terminals only, as rich takes longer than all other imports together. Colours and
widths are rich's, which honours NO_COLOR, TERM and COLUMNS.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from ambientd.cli.bars import line_of
from ambientd.cli.console import printable
from ambientd.cli.parts import Fields, Part, Steps, Table

STYLES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("TROUBLE", "FAULTS", "convicted", "trapped", "expired", "out_of_gas", "failed"), "bold red"
    )
    | dict.fromkeys(("in part", "away", "safe mode", "disputed", "divergent", "bisected"), "yellow")
    | dict.fromkeys(("final", "agreed", "completed", "anchored", "connected"), "green")
    | dict.fromkeys(("cancelled", "none", "-"), "dim")
)
"""How a cell looks that begins with these words."""
_GAP = 2
_LAST_MIN = 24


def drawn(parts: Sequence[Part]) -> Group:
    """Put parts one below another, with a line between them."""
    pictures = [_drawn(part) for part in parts]
    return Group(*pictures[:1], *(Padding(each, (1, 0, 0, 0)) for each in pictures[1:]))


def _drawn(part: Part) -> RenderableType:
    match part:
        case str():
            return Text(printable(part))
        case Table():
            return _Fitted(part)
        case Steps():
            return _Stepping(part)
        case Fields():
            grid = RichTable.grid(padding=(0, 2, 0, 0))
            grid.add_column(no_wrap=True)
            grid.add_column(overflow="fold")
            for name, value in part.rows:
                grid.add_row(Text(printable(name), STYLES.get(name, "bold")), _cell(value))
            return grid


class _Stepping:
    """How many steps are done, in a line as wide as there is room for."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text, done, total = self._steps
        yield line_of(text, (f"{done} of {total} steps",), done, total, options.max_width)


class _Fitted:
    """A table where there is room for its columns; else each row in lines of its own."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if _least_width(self._table) <= options.max_width:
            yield _columns(self._table)
            return
        for row in self._table.rows:
            yield from _lines(self._table.columns, row, options.max_width)


def _least_width(table: Table) -> int:
    """Give what a table needs in which no cell but the last of each row is broken."""
    cells = [table.columns, *table.rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    return sum(widths[:-1]) + _GAP * (len(widths) - 1) + min(widths[-1], _LAST_MIN)


def _columns(table: Table) -> RichTable:
    drawn_table = RichTable(box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        is_last = column == table.columns[-1]
        drawn_table.add_column(column, no_wrap=not is_last, overflow="fold")
    for row in table.rows:
        drawn_table.add_row(*map(_cell, row))
    return drawn_table


def _lines(columns: Sequence[str], row: Sequence[str], room: int) -> Iterator[Text]:
    """Give a row as lines: its first cell, and each other one behind what it is."""
    line = Text.assemble((printable(row[0]), "bold"))
    for name, value in zip(columns[1:], row[1:], strict=True):
        cell = Text.assemble((f"{printable(name).lower()} ", "dim"), _cell(value))
        if line.cell_len + _GAP + cell.cell_len > room:
            yield line
            line = Text(" " * _GAP)
        else:
            line.append(" " * _GAP)
        line.append_text(cell)
    yield line


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
