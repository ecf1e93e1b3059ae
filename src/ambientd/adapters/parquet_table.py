"""Tables as Parquet, by pyarrow; a group of rows is in memory at a time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ambientd.adapters.table_files import cannot_write, draft_of
from ambientd.errors import UsageError
from ambientd.ports.tables import Cell, Column, Kind

GROUP_ROWS = 16_384


class ParquetTable:
    """A Parquet file, compressed with zstd."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        """Begin the file; raise UsageError without pyarrow, StoreError when the disk refuses."""
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            msg = (
                "Parquet needs pyarrow, which is not installed: pip install 'pyarrow>=22', "
                "or take --format csv or jsonl"
            )
            raise UsageError(msg) from error
        kinds: dict[Kind, Any] = {
            Kind.TEXT: pyarrow.string(),
            Kind.WHOLE: pyarrow.int64(),
            Kind.REAL: pyarrow.float64(),
            Kind.YES: pyarrow.bool_(),
        }
        self._path = path
        self._draft = draft_of(path)
        self._schema = pyarrow.schema([(each.name, kinds[each.kind]) for each in columns])
        self._batch = pyarrow.RecordBatch.from_pylist
        self._rows: list[Mapping[str, Cell]] = []
        try:
            self._writer = pyarrow.parquet.ParquetWriter(
                self._draft, self._schema, compression="zstd"
            )
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """Take some rows, and write those that fill a group."""
        self._rows.extend(rows)
        while len(self._rows) >= GROUP_ROWS:
            self._write(self._rows[:GROUP_ROWS])
            del self._rows[:GROUP_ROWS]

    def _write(self, rows: list[Mapping[str, Cell]]) -> None:
        try:
            self._writer.write_batch(self._batch(rows, schema=self._schema))
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def keep(self) -> None:
        """Write what is left, and put the file in its place."""
        if self._rows:
            self._write(self._rows)
            self._rows = []
        try:
            self._writer.close()
            self._draft.replace(self._path)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def drop(self) -> None:
        """Leave nothing behind, unless it was kept."""
        try:
            self._writer.close()
        finally:
            self._draft.unlink(missing_ok=True)
