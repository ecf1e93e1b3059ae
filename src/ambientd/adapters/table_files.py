"""Tables as text: CSV (RFC 4180) and lines of JSON."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from ambientd.errors import StoreError
from ambientd.ports.tables import Cell, Column

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def draft_of(path: Path) -> Path:
    """Give where a file is written until it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def cannot_write(path: Path, error: OSError) -> StoreError:
    """Say that a file cannot be written."""
    reason = error.strerror or str(error)
    return StoreError(f"{path}: cannot be written: {reason}; free space or choose another path")


class _TextTable:
    """A text file that is put in its place once it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = draft_of(path)
        try:
            self._file = self._draft.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise cannot_write(path, error) from error

    def keep(self) -> None:
        """Put the file in its place."""
        try:
            self._file.close()
            self._draft.replace(self._path)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def drop(self) -> None:
        """Leave nothing behind, unless it was kept."""
        self._file.close()
        self._draft.unlink(missing_ok=True)


class CsvTable(_TextTable):
    """Comma-separated values under a line of names; what is not known is empty."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        """Begin the file; raise StoreError when it cannot be written."""
        super().__init__(path)
        self._columns = columns
        self._writer = csv.writer(self._file)
        self._writer.writerow([column.name for column in columns])

    def add(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Write some rows."""
        try:
            for row in rows:
                self._writer.writerow([_csv(row[column.name]) for column in self._columns])
        except OSError as error:
            raise cannot_write(self._path, error) from error


def _csv(cell: Cell) -> Cell:
    """Give a cell that no spreadsheet takes for a formula: names are what strangers say."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


class JsonLinesTable(_TextTable):
    """One JSON object a line."""

    def add(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Write some rows."""
        try:
            self._file.writelines(msgspec.json.encode(row).decode() + "\n" for row in rows)
        except OSError as error:
            raise cannot_write(self._path, error) from error
