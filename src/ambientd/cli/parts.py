"""What commands show, before it is known where: fields, tables and lines."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ambientd.cli.console import print_fields, print_line, print_table


class Table(NamedTuple):
    """Rows below a line of headings."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Fields(NamedTuple):
    """Names and values in two columns."""

    rows: Sequence[tuple[str, str]]


class Steps(NamedTuple):
    """How much of something is done: a bar on a terminal, a line elsewhere."""

    text: str
    done: int
    total: int


Part: TypeAlias = Table | Fields | Steps | str


def print_parts(parts: Sequence[Part]) -> None:
    """Print one part below another, with a line between them."""
    for number, part in enumerate(parts):
        if number:
            print_line()
        match part:
            case Table():
                print_table(part.columns, part.rows)
            case Fields():
                print_fields(part.rows)
            case Steps():
                print_line(f"{part.text}: {part.done} of {part.total} steps")
            case str():
                print_line(part)
