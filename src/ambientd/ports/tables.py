"""Rows with named columns, on their way into a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

Cell: TypeAlias = str | int | float | bool | None


class Kind(Enum):
    """What a column holds; any cell may be empty."""

    TEXT = str
    WHOLE = int
    REAL = float
    YES = bool


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and kind."""

    name: str
    kind: Kind


class Table(Protocol):
    """A file that is being written; nothing of it is seen before it is kept."""

    def add(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Write some rows; raise StoreError when the disk refuses."""
        ...

    def keep(self) -> None:
        """Write what is left, and put the file in its place."""
        ...

    def drop(self) -> None:
        """Leave nothing behind, unless it was kept."""
        ...
