"""The SQLite store: the contract, crashes, full disks, flipped bytes."""

import contextlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.adapters import sqlite_wal
from ambientd.adapters.data_dir import DataDir
from ambientd.adapters.row_checks import row_check
from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.errors import ConfigError, StoreError
from ambientd.ports.store import Delete, Put, Store, StoreTable
from tests.adapters.crash_points import moments
from tests.adapters.store_contract import MakeStore, StoreContract
from tests.fakes.memory_store import MemoryStore

LOCAL, SAFETY, BLOCK = StoreTable.LOCAL, StoreTable.SAFETY, StoreTable.BLOCK


class TestMemoryStore(StoreContract):
    """The fake keeps the contract."""

    @pytest.fixture
    def make(self) -> MakeStore:
        return MemoryStore


class TestSqliteStore(StoreContract):
    """The real one keeps the contract."""

    @pytest.fixture
    def make(self, place: Path) -> Iterator[MakeStore]:
        opened: list[Store] = []

        def make() -> Store:
            opened.append(SqliteStore(place / f"{len(opened)}.db"))
            return opened[-1]

        yield make
        for store in opened:
            store.close()


def filled(path: Path, rows: int = 400) -> dict[StoreTable, dict[bytes, bytes]]:
    """Write a store with rows of many sizes, some replaced and some deleted; give what it has."""
    source = random.Random(rows)
    model: dict[StoreTable, dict[bytes, bytes]] = {table: {} for table in StoreTable}
    store = SqliteStore(path)
    for number in range(rows):
        table = source.choice([LOCAL, SAFETY, BLOCK])
        key = source.randbytes(source.choice([1, 8, 32]))
        value = source.randbytes(source.choice([0, 20, 180, 900, 6000]))
        store.write([Put(table, key, value)])
        model[table][key] = value
        if number % 5 == 0:
            store.write([Delete(table, key)])
            del model[table][key]
    store.close()
    return model


def content(store: SqliteStore) -> dict[StoreTable, dict[bytes, bytes]]:
    return {table: dict(store.scan(table)) for table in StoreTable}


def test_it_gives_back_after_reopening_what_was_written(place: Path) -> None:
    model = filled(place / "node.db")
    store = SqliteStore(place / "node.db")
    assert content(store) == model
    for table, rows in model.items():
        for key, value in rows.items():
            assert store.get(table, key) == value
    store.close()


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.touch(mode=0o644)
    store = SqliteStore(path)
    store.write([Put(LOCAL, b"k", b"v")])
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    store.close()


def test_each_commit_is_synced_unless_the_store_is_the_telemetry_one(tmp_path: Path) -> None:
    for durable, level in ((True, 2), (False, 1)):
        store = SqliteStore(tmp_path / f"{level}.db", durable=durable)
        assert store._open.execute("PRAGMA synchronous").fetchone() == (level,)
        store.close()


def test_an_alien_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    with sqlite3.connect(path) as alien:
        alien.execute("CREATE TABLE cats (name TEXT)")
    alien.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a store of this program"):
        SqliteStore(path)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all, but long enough to look at" * 100)
    with pytest.raises(StoreError, match=r"node\.db.*damaged.*restore"):
        SqliteStore(path)


def test_a_newer_store_version_asks_for_a_newer_program(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    SqliteStore(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version=2")
    raw.close()
    with pytest.raises(StoreError, match="store version 2, this program knows 1"):
        SqliteStore(path)


def test_a_table_that_is_new_to_the_program_is_added(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    model = filled(path, 40)
    with sqlite3.connect(path) as raw:
        raw.execute(f"DROP TABLE {StoreTable.HEADER}")
        raw.execute("DELETE FROM tally WHERE name=?", (StoreTable.HEADER,))
    raw.close()
    store = SqliteStore(path)
    assert content(store) == model
    store.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE local SET value=x'00' WHERE key=x'6b31'", "table local, key 6b31 is damaged"),
        ("UPDATE local SET key=x'6b39' WHERE key=x'6b31'", "table local, key 6b39 is damaged"),
        ("UPDATE local SET value='text' WHERE key=x'6b31'", "table local, key 6b31 is damaged"),
        ("UPDATE local SET key=7 WHERE key=x'6b31'", "table local, key 7 is damaged"),
        ("DELETE FROM local WHERE key=x'6b31'", "table local has 1 rows and should have 2"),
        ("UPDATE tally SET row_count=1 WHERE name='local'", "count of table local is damaged"),
        ("UPDATE tally SET row_count='x' WHERE name='local'", "count of table local is damaged"),
        ("DELETE FROM tally", "count of table safety is damaged"),
        ("DROP TABLE tally", "counts of all tables are missing"),
        ("DROP TABLE local", "table local has 0 rows and should have 2"),
    ],
)
def test_damage_is_named_and_nothing_is_served(tmp_path: Path, damage: str, words: str) -> None:
    path = tmp_path / "node.db"
    store = SqliteStore(path)
    store.write([Put(LOCAL, b"k1", b"v1"), Put(LOCAL, b"k2", b"v2")])
    store.close()
    with sqlite3.connect(path) as raw:
        raw.execute(damage)
    raw.close()
    with pytest.raises(StoreError, match=words) as caught:
        SqliteStore(path)
    assert str(path) in str(caught.value)
    assert "restore" in str(caught.value)


def test_damage_that_sqlite_cannot_even_quote_is_still_our_error(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    SqliteStore(path).close()
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE note", b"CREATE TAB\xf6E note"))
    with pytest.raises(StoreError, match=r"node\.db.*damaged.*restore"):
        SqliteStore(path)


def test_a_row_that_rots_while_the_store_is_open_is_not_served(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "node.db")
    store.write([Put(LOCAL, b"k1", b"v1"), Put(LOCAL, b"k2", b"v2")])
    store._open.execute("UPDATE local SET value=x'00' WHERE key=x'6b31'")
    with pytest.raises(StoreError, match="table local, key 6b31 is damaged"):
        store.get(LOCAL, b"k1")
    with pytest.raises(StoreError, match="table local, key 6b31 is damaged"):
        list(store.scan(LOCAL))
    assert store.get(LOCAL, b"k2") == b"v2"
    store.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_in_the_file_are_detected_or_harmless(place: Path, seed: int) -> None:
    path, hurt = place / "node.db", place / "hurt.db"
    model = filled(path, 120)
    whole = path.read_bytes()
    source = random.Random(seed)
    places = list(range(100)) if seed == 0 else [source.randrange(len(whole)) for _ in range(150)]
    refusals: list[str] = []
    for first in places:
        length = 1 if seed == 0 else source.choice([1, 1, 8, 64, 4096])
        flipped = bytearray(whole)
        for offset in range(first, min(first + length, len(whole))):
            flipped[offset] ^= source.randrange(1, 256)
        hurt.write_bytes(flipped)
        try:
            store = SqliteStore(hurt)
        except StoreError as error:
            refusals.append(str(error))
            continue
        assert content(store) == model, f"wrong data served after a flip at {first}"
        for table, rows in model.items():
            for key, value in rows.items():
                assert store.get(table, key) == value
        # What looks whole must also bear writes: a wrong free list would eat live pages.
        store.write([Put(StoreTable.NOTE, b"%d" % number, bytes(900)) for number in range(60)])
        store.verify()
        store.close()
    assert len(refusals) > len(places) // 5
    assert all(str(hurt) in refusal for refusal in refusals)


def crashed_log(path: Path, transactions: int) -> int:
    """Leave a database with an unfolded log, as a kill does; give the page size."""
    program = (
        "import os, sys; from pathlib import Path\n"
        "from ambientd.adapters.sqlite_store import SqliteStore\n"
        "from ambientd.ports.store import Put, StoreTable\n"
        "store = SqliteStore(Path(sys.argv[1]))\n"
        "for n in range(int(sys.argv[2])):\n"
        "    store.write([Put(StoreTable.LOCAL, n.to_bytes(2, 'big'), bytes([n]) * 50)])\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path), str(transactions)], check=True)
    wal = path.with_name(path.name + "-wal")
    assert sqlite_wal.damage_in_log(wal) is None
    return int.from_bytes(wal.read_bytes()[8:12], "big")


def test_a_damaged_log_is_refused_where_sqlite_would_forget_commits(place: Path) -> None:
    path = place / "node.db"
    page = crashed_log(path, 20)
    wal = place / "node.db-wal"
    whole = wal.read_bytes()
    frame = 24 + page
    frames = (len(whole) - 32) // frame
    source = random.Random(5)
    for number in range(frames):
        for _ in range(3):
            offset = 32 + number * frame + source.randrange(8, frame)
            hurt = bytearray(whole)
            hurt[offset] ^= 0x41
            wal.write_bytes(hurt)
            finding = sqlite_wal.damage_in_log(wal)
            # Each transaction writes few pages: only the last one may look torn.
            if number < frames - 4:
                assert finding is not None, (number, offset)
    hurt = bytearray(whole)
    hurt[32 + frame * 3 + 100] ^= 1
    wal.write_bytes(hurt)
    with pytest.raises(StoreError, match=r"node\.db-wal is damaged: frame 3 .*restore"):
        SqliteStore(path)
    wal.write_bytes(whole)
    store = SqliteStore(path)
    assert len(list(store.scan(LOCAL))) == 20
    store.close()


def test_a_log_torn_at_its_end_gives_back_all_before(place: Path) -> None:
    path, copy = place / "node.db", place / "copy.db"
    page = crashed_log(path, 12)
    whole = (place / "node.db-wal").read_bytes()
    counts = []
    for cut in range(33, len(whole), page // 3):
        shutil.copy(path, copy)
        (place / "copy.db-wal").write_bytes(whole[:cut])
        try:
            store = SqliteStore(copy)
        except StoreError:
            # The file itself was made in this log: cut so early, it holds nothing yet.
            assert not counts
            continue
        keys = [key for key, _ in store.scan(LOCAL)]
        assert keys == [number.to_bytes(2, "big") for number in range(len(keys))]
        counts.append(len(keys))
        store.close()
    assert counts == sorted(counts)
    assert counts[-1] == 11


@pytest.mark.parametrize(
    ("head", "words"),
    [(b"\0" * 64, "header is wrong"), (b"\x37\x7f", None), (b"", None)],
)
def test_a_log_with_a_wrong_header_is_damage_once_something_follows(
    tmp_path: Path, head: bytes, words: str | None
) -> None:
    wal = tmp_path / "x.db-wal"
    wal.write_bytes(head)
    finding = sqlite_wal.damage_in_log(wal)
    assert finding == words or (words is not None and finding is not None and words in finding)
    assert sqlite_wal.damage_in_log(tmp_path / "none-wal") is None
    assert "cannot be read" in str(sqlite_wal.damage_in_log(tmp_path))


CHILD = """
import os, sys
from pathlib import Path
from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.ports.store import Put, StoreTable
store = SqliteStore(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    store.write([
        Put(StoreTable.LOCAL, number.to_bytes(4, "big") + bytes([part]), os.urandom(200))
        for part in range(10)
    ])
    os.write(1, b"%d\\n" % number)
    number += 1
"""


@pytest.mark.slow
def test_no_acknowledged_write_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    source = random.Random(9)
    following = 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(following)], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        # Killing at a random moment is the point here, not synchronisation.
        first = child.stdout.readline()
        time.sleep(source.uniform(0, 0.15))
        child.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in [first, *child.stdout.read().splitlines()]]
        child.wait()
        child.stdout.close()
        store = SqliteStore(path)
        rows = [key for key, _ in store.scan(LOCAL)]
        store.close()
        assert len(rows) % 10 == 0, "a batch was half written"
        batches = len(rows) // 10
        assert batches in (acknowledged[-1] + 1, acknowledged[-1] + 2)
        assert rows[-10][:4] == (batches - 1).to_bytes(4, "big")
        following = batches


def test_a_kill_while_the_store_is_made_leaves_one_that_opens(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path\n"
        "from ambientd.adapters import sqlite_store\n"
        "class Killed(sqlite_store.SqliteStore):\n"
        "    def _keep_tally(self, *_): os._exit(9)\n"
        "Killed(Path(sys.argv[1]))\n"
    )
    path = tmp_path / "node.db"
    assert subprocess.run([sys.executable, "-c", program, str(path)]).returncode == 9
    store = SqliteStore(path)
    store.write([Put(LOCAL, b"k", b"v")])
    store.close()


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "node.db")
    store.write([Put(LOCAL, b"before", b"kept")])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(StoreError, match="full; nothing was written"):
            store.write([Put(LOCAL, b"%d" % number, bytes(9000)) for number in range(60)])
        assert list(store.scan(LOCAL)) == [(b"before", b"kept")]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    store.write([Put(LOCAL, b"after", b"kept")])
    store.close()
    again = SqliteStore(tmp_path / "node.db")
    assert list(again.scan(LOCAL)) == [(b"after", b"kept"), (b"before", b"kept")]
    again.close()


def test_a_store_keeps_to_its_size(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "node.db", size_bytes_max=400_000)
    accepted = 0

    def fill() -> None:
        nonlocal accepted
        for number in range(200):
            store.write([Put(LOCAL, b"%05d" % number, bytes(9000))])
            accepted += 1

    with pytest.raises(StoreError, match=r"node\.db.*full; nothing was written.*make room"):
        fill()
    assert 10 < accepted < 45
    assert len(list(store.scan(LOCAL))) == accepted
    store.write([Delete(LOCAL, b"%05d" % number) for number in range(accepted)])
    store.write([Put(LOCAL, b"room again", bytes(9000))])
    store.close()


def test_a_failed_sync_closes_the_store_for_writing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "node.db")
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    with pytest.raises(StoreError, match="the disk failed; restart"), store._errors("write to"):
        raise error
    with pytest.raises(StoreError, match="closed for writing after a failed sync"):
        store.write([Put(LOCAL, b"k", b"v")])
    store.close()


def test_a_place_that_cannot_hold_a_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot open the store .*No such file or directory"):
        SqliteStore(tmp_path / "missing" / "node.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match=r"cannot open the store .*Is a directory"):
        SqliteStore(tmp_path / "folder.db")


def as_nobody(action: str, path: Path) -> str:
    """Run an action in a process without rights over `path`; give the error it prints."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                {"store": SqliteStore, "dir": DataDir}[action](path)
                os.write(writer, b"no error")
            except StoreError as error:
                os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        return stream.read()


def test_missing_rights_are_said(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    SqliteStore(tmp_path / "node.db").close()
    (tmp_path / "node.db").chmod(0)
    assert "Permission denied; the daemon's user must own" in as_nobody(
        "store", tmp_path / "node.db"
    )
    assert "Permission denied" in as_nobody("store", closed / "node.db")
    assert "cannot use the data directory" in as_nobody("dir", closed)


def test_a_backup_is_whole_and_never_overwrites(place: Path) -> None:
    model = filled(place / "node.db", 60)
    store = SqliteStore(place / "node.db")
    store.backup(place / "copy.db")
    with pytest.raises(StoreError, match="exists already"):
        store.backup(place / "copy.db")
    store.close()
    assert stat.S_IMODE((place / "copy.db").stat().st_mode) == 0o600
    copy = SqliteStore(place / "copy.db")
    assert content(copy) == model
    copy.close()


def test_one_process_holds_a_data_directory(tmp_path: Path) -> None:
    place = tmp_path / "data"
    with DataDir(place):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        words = f"{place} is in use by process {os.getpid()}: stop it"
        with pytest.raises(ConfigError, match=words):
            DataDir(place)
        (place / "lock").write_text("garbage")
        with pytest.raises(ConfigError, match="in use by another process"):
            DataDir(place)
    with DataDir(place) as again:
        again.close()
        DataDir(place).close()


def test_the_row_check_depends_on_every_part() -> None:
    checks = {
        row_check(LOCAL, b"ab", b"c"),
        row_check(LOCAL, b"a", b"bc"),
        row_check(BLOCK, b"ab", b"c"),
    }
    assert len(checks) == 3


# Stores of older versions


def first_tables(path: Path) -> None:
    """Write a file as the first version did: with fewer tables than there are now."""
    script = (Path(__file__).parent / "stores" / "first-tables.sql").read_text()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(script)


def test_a_store_with_the_first_tables_gets_those_that_came_later(tmp_path: Path) -> None:
    first_tables(tmp_path / "node.db")
    for _ in range(2):
        store = SqliteStore(tmp_path / "node.db")
        assert dict(store.scan(StoreTable.LOCAL)) == {b"one": b"1", b"two": b"2"}
        assert store.get(StoreTable.SAFETY, b"safety") == b"voted"
        store.write([Put(StoreTable.PAGE, b"page", b"here")])
        assert store.get(StoreTable.PAGE, b"page") == b"here"
        store.close()


@pytest.mark.skipif(sys.platform != "linux", reason="ptrace is Linux's")
def test_a_kill_while_tables_are_added_leaves_the_store_usable(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    first_tables(folder / "node.db")

    def open_it(at: Path) -> Iterator[None]:
        SqliteStore(at / "node.db").close()
        yield

    count = 0
    for moment in moments(open_it, folder):
        left = tmp_path / f"{moment.number}"
        moment.copy_to(left)
        store = SqliteStore(left / "node.db")
        assert store.get(StoreTable.SAFETY, b"safety") == b"voted"
        store.write([Put(StoreTable.PAGE, b"page", b"here")])
        store.close()
        count += 1
    assert count > 5
