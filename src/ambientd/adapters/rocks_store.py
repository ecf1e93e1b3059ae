"""The store on RocksDB, for nodes that write much: one folder, one ordered space of keys.

A row lies under "table/key" as its checksum and its value; beside the rows each table has its
tally (`row_checks`). RocksDB checks its own blocks and its log, and refuses a log that is damaged
before its end; only a tail that was cut short is dropped. The package `rocksdict` is optional.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ambientd.adapters.durable_files import sync_directory
from ambientd.adapters.row_checks import CHECK_BYTES, RESTORE, Tally, row_check
from ambientd.errors import ConfigError, StoreError
from ambientd.ports.store import OPEN_FILES_MAX, Put, StoreTable, Write, checked

if TYPE_CHECKING:
    from rocksdict import Options, Rdict, ReadOptions, WriteOptions

MIB = 1 << 20
WRITE_BUFFER_BYTES = 8 * MIB
ALL_BUFFERS_BYTES = 16 * MIB
BLOCK_CACHE_BYTES = 16 * MIB
LOGS_BYTES_MAX = 32 * MIB
SCAN_ROWS = 256

_FORMAT_NAME = b"ambient store "
_FORMAT_KEY, _FORMAT = b"!format", _FORMAT_NAME + b"1"
_FULL = ("No space left", "File too large", "quota")


def _row_key(table: StoreTable, key: bytes) -> bytes:
    return table.encode() + b"/" + key


def _tally_key(table: StoreTable) -> bytes:
    return b"!tally/" + table.encode()


class RocksStore:
    """One folder; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create the folder (mode 0700), and check every row.

        Raises ConfigError when the package is missing, StoreError when the folder cannot be used
        or is damaged.
        """
        try:
            import rocksdict
        except ImportError as error:
            msg = (
                'the store engine "rocksdb" needs the package rocksdict: install '
                'ambientd[rocksdb], or set engine = "sqlite" under [store]'
            )
            raise ConfigError(msg) from error
        self.path = path
        self._lib = rocksdict
        self._failed = False
        self._db: Rdict | None = None
        self._tallies: dict[StoreTable, Tally] = {}
        self._sync_writes: WriteOptions = rocksdict.WriteOptions()
        self._sync_writes.sync = True
        if not path.exists():
            self._create()
        elif not (path / "CURRENT").is_file():
            # RocksDB would begin anew here, and the node would forget everything.
            msg = f"{path} is not a store of this program, or its file CURRENT is lost; {RESTORE}"
            raise StoreError(msg)
        try:
            with self._errors("open"):
                self._db = rocksdict.Rdict(str(path), self._options())
                kept = self._open.get(_FORMAT_KEY)
            if kept is not None and kept != _FORMAT and kept.startswith(_FORMAT_NAME):
                msg = (
                    f"{path} is an {kept.decode(errors='replace')}, this program knows "
                    f"{_FORMAT.decode()}: run the version that wrote it, or a newer one"
                )
                raise StoreError(msg)
            if kept != _FORMAT:
                msg = f"{path} is not a store of this program (or its mark is lost): {RESTORE}"
                raise StoreError(msg)
            self.verify()
        except BaseException:
            self.close()
            raise

    def _create(self) -> None:
        """Make a folder that is whole before it bears its name."""
        fresh = self.path.with_name(self.path.name + ".new")
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            with self._errors("create"):
                options = self._options()
                options.create_if_missing(True)
                db = self._lib.Rdict(str(fresh), options)
                db.set_write_options(self._sync_writes)
                db.put(_FORMAT_KEY, _FORMAT)
                db.close()
            sync_directory(fresh)
            fresh.rename(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            msg = (
                f"cannot open the store {self.path}: {error.strerror}; "
                "the daemon's user must own the data directory and its disk must be writable"
            )
            raise StoreError(msg) from error

    def _options(self) -> "Options":
        lib = self._lib
        blocks = lib.BlockBasedOptions()
        blocks.set_block_cache(lib.Cache(BLOCK_CACHE_BYTES))
        blocks.set_cache_index_and_filter_blocks(True)
        blocks.set_bloom_filter(10.0, False)
        options = lib.Options(raw_mode=True)
        options.create_if_missing(False)
        options.set_block_based_table_factory(blocks)
        options.set_paranoid_checks(True)
        # The other modes forget what follows damage, or refuse what any power cut leaves.
        options.set_wal_recovery_mode(lib.DBRecoveryMode.tolerate_corrupted_tail_records())
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        options.set_db_write_buffer_size(ALL_BUFFERS_BYTES)
        options.set_max_total_wal_size(LOGS_BYTES_MAX)
        options.set_max_open_files(OPEN_FILES_MAX)
        options.set_max_file_opening_threads(1)
        options.set_max_background_jobs(2)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(MIB)
        options.set_stats_dump_period_sec(0)
        options.set_stats_persist_period_sec(0)
        return options

    @property
    def _open(self) -> "Rdict":
        if self._db is None:
            msg = f"the store {self.path} is closed"
            raise StoreError(msg)
        return self._db

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn RocksDB's errors into ours, with the folder, what was wrong and what to do."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            # The library raises nothing more precise.
            text = str(error)
            if any(word in text for word in _FULL):
                advice = (
                    "the disk is full; all that was acknowledged is kept; make room and restart "
                    "the daemon"
                )
            elif text.startswith("Corruption"):
                advice = f"the files are damaged; {RESTORE}"
            else:
                advice = "check that the disk is there, writable, not full and not in use"
            msg = f"cannot {doing} {self.path}: {text}; {advice}"
            raise StoreError(msg) from error

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes in order, or none; durable once this returns."""
        checked(batch)
        if self._failed:
            msg = f"{self.path} is closed for writing after a failed write: restart the daemon"
            raise StoreError(msg)
        db, group = self._open, self._lib.WriteBatch(raw_mode=True)
        checks: dict[tuple[StoreTable, bytes], bytes | None] = {}
        tallies: dict[StoreTable, Tally] = {}
        for write in batch:
            table, name = write.table, (write.table, write.key)
            if table not in tallies:
                kept = self._tallies[table]
                tallies[table] = Tally(kept.rows, kept.total)
            old = checks[name] if name in checks else self._check_of(table, write.key)
            if old is not None:
                tallies[table].remove(old)
            if isinstance(write, Put):
                check = row_check(table, write.key, write.value)
                group.put(_row_key(table, write.key), check + write.value)
                tallies[table].add(check)
                checks[name] = check
            else:
                group.delete(_row_key(table, write.key))
                checks[name] = None
        for table, tally in tallies.items():
            group.put(_tally_key(table), _tally_row(table, tally))
        try:
            with self._errors("write to"):
                db.write(group, self._sync_writes)
        except StoreError:
            # RocksDB writes no more after an error in its log, and what arrived is unknown.
            self._failed = True
            raise
        self._tallies.update(tallies)

    def _check_of(self, table: StoreTable, key: bytes) -> bytes | None:
        with self._errors(f"read {table} {key.hex()} of"):
            row = self._open.get(_row_key(table, key))
        return None if row is None else row[:CHECK_BYTES]

    def get(self, table: StoreTable, key: bytes) -> bytes | None:
        """Give the value under a key; StoreError when its row is damaged."""
        with self._errors(f"read {table} {key.hex()} of"):
            row = self._open.get(_row_key(table, key))
        return None if row is None else self._whole(table, key, row)

    def _whole(self, table: StoreTable, key: bytes, row: bytes) -> bytes:
        value = bytes(row[CHECK_BYTES:])
        if row_check(table, key, value) != row[:CHECK_BYTES]:
            msg = f"{self.path}: table {table}, key {key.hex()} is damaged; {RESTORE}"
            raise StoreError(msg)
        return value

    def scan(
        self,
        table: StoreTable,
        start: bytes = b"",
        end: bytes | None = None,
        limit: int | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Walk the rows with `start` <= key < `end` in key order, or backwards.

        Reads in portions, so that a walk pins nothing: rows written meanwhile may appear.
        """
        low = _row_key(table, start)
        high = table.encode() + b"0" if end is None else _row_key(table, end)
        left, skip = limit, len(table) + 1
        while (left is None or left > 0) and low < high:
            portion = SCAN_ROWS if left is None else min(SCAN_ROWS, left)
            with self._errors(f"read table {table} of"):
                rows = self._portion(low, high, portion, reverse=reverse)
            for name, row in rows:
                yield name[skip:], self._whole(table, name[skip:], row)
            if len(rows) < portion:
                return
            if left is not None:
                left -= len(rows)
            if reverse:
                high = rows[-1][0]
            else:
                low = rows[-1][0] + b"\0"

    def _portion(
        self, low: bytes, high: bytes, count: int, *, reverse: bool
    ) -> list[tuple[bytes, bytes]]:
        options: ReadOptions = self._lib.ReadOptions()
        options.fill_cache(False)
        rows: list[tuple[bytes, bytes]] = []
        walk = self._open.iter(options)
        if reverse:
            walk.seek_for_prev(high)
            if walk.valid() and walk.key() == high:
                walk.prev()
        else:
            walk.seek(low)
        while walk.valid() and len(rows) < count:
            name = bytes(walk.key())
            if not low <= name < high:
                break
            rows.append((name, bytes(walk.value())))
            if reverse:
                walk.prev()
            else:
                walk.next()
        walk.status()
        return rows

    def verify(self) -> None:
        """Read everything once; raise StoreError naming the first damaged row or table."""
        for table in StoreTable:
            seen = Tally()
            for key, value in self.scan(table):
                seen.add(row_check(table, key, value))
            with self._errors(f"check table {table} of"):
                kept = self._open.get(_tally_key(table))
            if kept is None and not seen.rows:
                kept = _tally_row(table, seen)
            if kept != _tally_row(table, seen):
                rows = "an unknown number of" if kept is None else int.from_bytes(kept[:8], "big")
                msg = (
                    f"{self.path}: table {table} has {seen.rows} rows and should have "
                    f"{rows}, or rows were exchanged; {RESTORE}"
                )
                raise StoreError(msg)
            self._tallies[table] = seen

    def close(self) -> None:
        """Release the folder; closing twice is no error."""
        if self._db is not None:
            with contextlib.suppress(Exception):
                self._db.close()
            self._db = None


def _tally_row(table: StoreTable, tally: Tally) -> bytes:
    rows, total = tally.rows.to_bytes(8, "big"), tally.total.to_bytes(CHECK_BYTES, "big")
    return rows + total + tally.check(table)
