"""The store on SQLite: write-ahead log, checksummed rows, whole-file check at the opening.

SQLite does not notice every flipped bit. So each row carries a checksum, and each table a count
and a sum over its rows' checksums, changed in the same transaction: at the opening every row is
read once, and a row that was altered, lost or doubled is found before anything is served. The
log file is checked before SQLite sees it, as SQLite drops what follows a damaged frame without
a word (`sqlite_wal`). See docs/adr/0006-store.md.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from ambientd.adapters.durable_files import sync_directory
from ambientd.adapters.row_checks import CHECK_BYTES, RESTORE, Tally, row_check
from ambientd.adapters.sqlite_wal import damage_in_log
from ambientd.errors import StoreError
from ambientd.ports.store import Put, StoreTable, Write, checked

APPLICATION_ID = 0x416D6269
SCHEMA_VERSION = 1
SCAN_ROWS = 256
PAGE_BYTES = 4096

_FATAL = {sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC}
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class SqliteStore:
    """One database file; used by one thread at a time."""

    def __init__(
        self, path: Path, *, durable: bool = True, size_bytes_max: int | None = None
    ) -> None:
        """Open or create the file (mode 0600), and check every row.

        `durable=False` keeps the file whole after a power cut but may lose the last seconds.
        Raises StoreError when the file cannot be used or is damaged.
        """
        self.path = path
        self._failed = False
        self._db: sqlite3.Connection | None = None
        self._create_file()
        # Without a sync at each commit a torn log is no sign of damage.
        damage = damage_in_log(path.with_name(path.name + "-wal")) if durable else None
        if damage is not None:
            msg = f"{path}-wal is damaged: {damage}; {RESTORE}"
            raise StoreError(msg)
        try:
            with self._errors("open"):
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                self._configure(durable=durable, size_bytes_max=size_bytes_max)
            self.verify()
            with self._errors("fold the log into"):
                # A torn tail must not lie behind new frames: it would look like damage later.
                # And a file that cannot be written to should say so now.
                self._open.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._open.execute("BEGIN IMMEDIATE")
                self._open.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
                self._open.execute("ROLLBACK")
        except BaseException:
            self.close()
            raise

    def _create_file(self) -> None:
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.fchmod(handle, 0o600)
            os.close(handle)
            sync_directory(self.path.parent)
        except OSError as error:
            msg = (
                f"cannot open the store {self.path}: {error.strerror}; "
                "the daemon's user must own the data directory and its disk must be writable"
            )
            raise StoreError(msg) from error

    @property
    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            msg = f"the store {self.path} is closed"
            raise StoreError(msg)
        return self._db

    def _configure(self, *, durable: bool, size_bytes_max: int | None) -> None:
        run = self._open.execute
        # No second connection exists, so the log's index needs no shared memory: a full disk
        # then shows as an error and never as a signal.
        run("PRAGMA locking_mode=EXCLUSIVE")
        run("PRAGMA trusted_schema=OFF")
        run("PRAGMA cell_size_check=ON")
        run("PRAGMA temp_store=MEMORY")
        there = {name for (name,) in run("SELECT name FROM sqlite_master WHERE type='table'")}
        owner = run("PRAGMA application_id").fetchone()[0]
        version = run("PRAGMA user_version").fetchone()[0]
        fresh = not there and owner == 0
        if not fresh and owner != APPLICATION_ID:
            msg = f"{self.path} is not a store of this program (or its header is damaged): "
            raise StoreError(msg + RESTORE)
        if not fresh and version != SCHEMA_VERSION:
            msg = (
                f"{self.path} has store version {version}, this program knows {SCHEMA_VERSION}: "
                "run the version that wrote it, or a newer one"
            )
            raise StoreError(msg)
        if run("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
            msg = f"{self.path} cannot keep a write-ahead log: use a local file system"
            raise StoreError(msg)
        run(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        run("PRAGMA journal_size_limit=16777216")
        if size_bytes_max is not None:
            page_bytes = run("PRAGMA page_size").fetchone()[0]
            run(f"PRAGMA max_page_count={max(1, size_bytes_max // page_bytes)}")
        if not fresh and "tally" not in there:
            msg = f"{self.path}: the counts of all tables are missing; {RESTORE}"
            raise StoreError(msg)
        if not there >= {"tally", *StoreTable}:
            self._create_tables()

    def _create_tables(self) -> None:
        run = self._open.execute
        run("BEGIN IMMEDIATE")
        run(f"PRAGMA application_id={APPLICATION_ID}")
        run(f"PRAGMA user_version={SCHEMA_VERSION}")
        columns = "(key BLOB PRIMARY KEY, value BLOB NOT NULL, chk BLOB NOT NULL) WITHOUT ROWID"
        for table in StoreTable:
            run(f"CREATE TABLE IF NOT EXISTS {table} {columns}")
        run(
            "CREATE TABLE IF NOT EXISTS tally (name TEXT PRIMARY KEY, row_count INTEGER NOT NULL, "
            "total BLOB NOT NULL, chk BLOB NOT NULL) WITHOUT ROWID"
        )
        counted = {name for (name,) in run("SELECT name FROM tally")}
        for table in StoreTable:
            # A table that was counted and is gone keeps its count, and fails the check.
            if table not in counted:
                self._keep_tally(table, Tally())
        run("COMMIT")

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn SQLite's errors into ours, with the file, what was wrong and what to do."""
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # A damaged name may be quoted in the error's own text, and then not even decode.
            # Errors without a code come from values that are not of their column's type.
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
            if code in _FATAL:
                # What reached the disk is unknown after a failed sync, and a second sync lies.
                self._failed = True
                advice = "the disk failed; restart the daemon, and replace the disk if it recurs"
            elif code in _FULL:
                advice = (
                    "the disk or the allowed size is full; nothing was written and all before "
                    "is kept; make room and try again"
                )
            elif code & 0xFF in _CORRUPT:
                advice = f"the file is damaged; {RESTORE}"
            else:
                advice = "check that the disk is there, writable and not full"
            msg = f"cannot {doing} {self.path}: {error}; {advice}"
            raise StoreError(msg) from error

    def write(self, batch: Sequence[Write]) -> None:
        """Apply all writes in order, or none; durable once this returns."""
        checked(batch)
        if self._failed:
            msg = f"{self.path} is closed for writing after a failed sync: restart the daemon"
            raise StoreError(msg)
        run = self._open.execute
        with self._errors("write to"):
            try:
                run("BEGIN IMMEDIATE")
                tallies: dict[StoreTable, Tally] = {}
                for write in batch:
                    if write.table not in tallies:
                        tallies[write.table] = self._tally(write.table)
                    self._apply(write, tallies[write.table])
                for table, tally in tallies.items():
                    self._keep_tally(table, tally)
                run("COMMIT")
            except BaseException:
                # A full disk may have rolled back already.
                if self._open.in_transaction:
                    run("ROLLBACK")
                raise

    def _apply(self, write: Write, tally: Tally) -> None:
        run, table = self._open.execute, write.table
        old = run(f"SELECT chk FROM {table} WHERE key=?", (write.key,)).fetchone()  # noqa: S608
        if old is not None:
            tally.remove(old[0])
        if isinstance(write, Put):
            check = row_check(table, write.key, write.value)
            row = (write.key, write.value, check)
            run(f"REPLACE INTO {table} VALUES (?,?,?)", row)  # noqa: S608
            tally.add(check)
        elif old is not None:
            run(f"DELETE FROM {table} WHERE key=?", (write.key,))  # noqa: S608

    def _tally(self, table: StoreTable) -> Tally:
        select = "SELECT row_count, total, chk FROM tally WHERE name=?"
        row = self._open.execute(select, (table.value,)).fetchone()
        if row is not None:
            rows, total, check = row
            if isinstance(rows, int) and rows >= 0 and isinstance(total, bytes):
                tally = Tally(rows, int.from_bytes(total, "big"))
                if len(total) == CHECK_BYTES and tally.check(table) == check:
                    return tally
        msg = f"{self.path}: the count of table {table} is damaged; {RESTORE}"
        raise StoreError(msg)

    def _keep_tally(self, table: StoreTable, tally: Tally) -> None:
        total = tally.total.to_bytes(CHECK_BYTES, "big")
        row = (table.value, tally.rows, total, tally.check(table))
        self._open.execute("REPLACE INTO tally VALUES (?,?,?,?)", row)

    def get(self, table: StoreTable, key: bytes) -> bytes | None:
        """Give the value under a key; StoreError when its row is damaged."""
        select = f"SELECT key, value, chk FROM {table} WHERE key=?"  # noqa: S608
        with self._errors(f"read {table} {key.hex()} of"):
            row = self._open.execute(select, (key,)).fetchone()
        return None if row is None else self._whole(table, row)[1]

    def _whole(self, table: StoreTable, row: tuple[object, object, object]) -> tuple[bytes, bytes]:
        key, value, check = row
        if (
            isinstance(key, bytes)
            and isinstance(value, bytes)
            and row_check(table, key, value) == check
        ):
            return key, value
        name = key.hex() if isinstance(key, bytes) else repr(key)[:80]
        msg = f"{self.path}: table {table}, key {name} is damaged; {RESTORE}"
        raise StoreError(msg)

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

        Reads in portions, so that a walk holds no lock: rows written meanwhile may appear.
        """
        low, high, low_sign = start, end, ">="
        left = limit
        while left is None or left > 0:
            portion = SCAN_ROWS if left is None else min(SCAN_ROWS, left)
            sql = f"SELECT key, value, chk FROM {table} WHERE key {low_sign} ?"  # noqa: S608
            bounds: list[bytes | int] = [low]
            if high is not None:
                sql += " AND key < ?"
                bounds.append(high)
            sql += f" ORDER BY key {'DESC' if reverse else 'ASC'} LIMIT ?"
            with self._errors(f"read table {table} of"):
                rows = self._open.execute(sql, (*bounds, portion)).fetchall()
            for row in rows:
                yield self._whole(table, row)
            if len(rows) < portion:
                return
            if left is not None:
                left -= len(rows)
            if reverse:
                high = rows[-1][0]
            else:
                low, low_sign = rows[-1][0], ">"

    def verify(self) -> None:
        """Read everything once; raise StoreError naming the first damaged row or table."""
        for table in StoreTable:
            seen, last = Tally(), b""
            select = f"SELECT key, value, chk FROM {table}"  # noqa: S608
            with self._errors(f"check table {table} of"):
                for row in self._open.execute(select):
                    key, _ = self._whole(table, row)
                    if key <= last:
                        msg = f"{self.path}: table {table}, key {key.hex()} is out of order; "
                        raise StoreError(msg + RESTORE)
                    seen.add(row[2])
                    last = key
                kept = self._tally(table)
            if seen != kept:
                msg = (
                    f"{self.path}: table {table} has {seen.rows} rows and should have "
                    f"{kept.rows}, or rows were exchanged; {RESTORE}"
                )
                raise StoreError(msg)
        with self._errors("check"):
            finding = self._open.execute("PRAGMA quick_check(1)").fetchone()[0]
        if finding != "ok":
            msg = f"{self.path} is damaged ({finding}); {RESTORE}"
            raise StoreError(msg)

    def backup(self, path: Path) -> None:
        """Write a whole copy to a new file; the store goes on working."""
        if path.exists():
            msg = f"{path} exists already and is not overwritten: name another file"
            raise StoreError(msg)
        with self._errors("copy"):
            copy = sqlite3.connect(path)
            try:
                self._open.backup(copy)
            finally:
                copy.close()
        path.chmod(0o600)

    def close(self) -> None:
        """Fold the log into the file and release it; closing twice is no error."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
