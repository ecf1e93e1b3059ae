"""Tables as Parquet, by pyarrow; a group of rows is in memory at a time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ambientd.adapters.table_files import cannot_write, draft_of
from ambientd.errors import ConfigError, UsageError
from ambientd.ports.tables import Cell, Column, Kind

GROUP_ROWS = 16_384
BATCH_BYTES = 1 << 27
WITHOUT_PYARROW = "Parquet needs pyarrow, which is not installed: pip install 'pyarrow>=22'"


class ParquetTable:
    """A Parquet file, compressed with zstd."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        """Begin the file; raise UsageError without pyarrow, StoreError when the disk refuses."""
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            msg = f"{WITHOUT_PYARROW}, or take --format csv or jsonl"
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


def read_parquet(
    path: Path, rows_max: int, columns_max: int, bytes_max: int
) -> dict[str, Sequence[float]]:
    """Give a file's columns of numbers, a few rows unpacked at a time.

    Raises:
        ConfigError: without pyarrow.
        ValueError: for no such file, a column that holds anything else, or more than is asked for.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(f"{path}: {WITHOUT_PYARROW}") from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        if len(names) > columns_max or len(set(names)) != len(names):
            raise ValueError(f"{len(names)} columns; {columns_max} are read, each of its own name")
        for kind in file.schema_arrow.types:
            if not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
                raise ValueError(f"a column holds {kind}, and not numbers")
        row_bytes = sum(kind.bit_width for kind in file.schema_arrow.types) // 8
        if row_bytes * file.metadata.num_rows > bytes_max:
            raise ValueError("more than is read of a table")
        rows, size_bytes, batches = 0, 0, []
        # Equal numbers are packed to nothing: what is unpacked at once goes by the columns too.
        at_once = max(1, min(GROUP_ROWS, BATCH_BYTES // max(1, row_bytes)))
        for batch in file.iter_batches(batch_size=at_once):
            rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
            if rows > rows_max or size_bytes > bytes_max:
                raise ValueError("more than is read of a table")
            batches.append(batch)
        table = pyarrow.Table.from_batches(batches, file.schema_arrow)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error
    if any(column.null_count for column in table.columns):
        raise ValueError("a row has no number in a column")
    return {name: table[name].to_numpy() for name in names}
