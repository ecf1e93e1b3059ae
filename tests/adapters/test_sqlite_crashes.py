"""The SQLite store under crashes: killed before each write and sync, and power lost there.

The log is folded in every few pages, so that the moments reach into folding and starting it over.
"""

import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.adapters.sqlite_wal import damage_in_log
from ambientd.errors import StoreError
from ambientd.ports.store import Delete, Put, StoreTable
from tests.adapters.crash_points import Moment, kill_at, moments

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ptrace is Linux's")

LOCAL, SAFETY = StoreTable.LOCAL, StoreTable.SAFETY
BATCHES = 10
FOLD_PAGES = 9
FRAME = 24 + 4096


def batch(number: int) -> list[Put | Delete]:
    """One batch: rows that stay, one that is replaced each time, one that goes again."""
    source = random.Random(number)
    name = number.to_bytes(2, "big")
    rows = [Put(LOCAL, name + bytes([part]), source.randbytes(500)) for part in range(4)]
    gone = [Delete(StoreTable.NOTE, bytes([number - 1]))] if number else []
    note = Put(StoreTable.NOTE, bytes([number]), b"note")
    return [*rows, Put(SAFETY, b"safety", name), *gone, note]


def expected(count: int) -> dict[tuple[StoreTable, bytes], bytes]:
    rows: dict[tuple[StoreTable, bytes], bytes] = {}
    for number in range(count):
        for write in batch(number):
            if isinstance(write, Put):
                rows[write.table, write.key] = write.value
            else:
                rows.pop((write.table, write.key), None)
    return rows


def write_all(folder: Path) -> Iterator[None]:
    store = SqliteStore(folder / "node.db")
    store._open.execute(f"PRAGMA wal_autocheckpoint={FOLD_PAGES}")
    for number in range(BATCHES):
        store.write(batch(number))
        yield
    store.close()


def check(place: Path, acknowledged: int) -> None:
    """Nothing acknowledged is lost, nothing is half there, and the store works on."""
    store = SqliteStore(place / "node.db")
    found = {(table, key): value for table in StoreTable for key, value in store.scan(table)}
    count = next((n for n in range(BATCHES + 1) if expected(n) == found), None)
    assert count in (acknowledged, acknowledged + 1), f"{acknowledged} written, found {count}"
    store.write([Put(LOCAL, b"after", b"the crash")])
    store.close()
    again = SqliteStore(place / "node.db")
    assert again.get(LOCAL, b"after") == b"the crash"
    again.close()


def each_moment(place: Path, crash: Callable[[Moment, Path], None]) -> int:
    folder = place / "live"
    folder.mkdir()
    count = 0
    for moment in moments(write_all, folder):
        left = place / f"{moment.number}"
        try:
            crash(moment, left)
        except (AssertionError, StoreError) as error:
            msg = f"before call {moment.number} ({moment.call}): {error}"
            raise AssertionError(msg) from error
        count += 1
    return count


@pytest.mark.slow
def test_a_kill_before_any_write_or_sync_loses_nothing(place: Path) -> None:
    def crash(moment: Moment, left: Path) -> None:
        moment.copy_to(left)
        check(left, moment.acknowledged)

    assert each_moment(place, crash) > 150


@pytest.mark.slow
def test_a_process_really_killed_leaves_what_the_copies_showed(place: Path) -> None:
    number, seen = 0, set()
    while True:
        left = place / f"{number}"
        left.mkdir()
        acknowledged = kill_at(write_all, left, number)
        if acknowledged is None:
            break
        check(left, acknowledged)
        seen.add(acknowledged)
        number += 1
    assert seen == set(range(BATCHES + 1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_keeps_all_that_was_acknowledged(place: Path, seed: int) -> None:
    source = random.Random(seed)

    def crash(moment: Moment, left: Path) -> None:
        for turn in range(2):
            torn = left.with_name(f"{left.name}-{turn}")
            moment.power_cut_to(torn, source)
            check(torn, moment.acknowledged)

    assert each_moment(place, crash) > 150


def test_what_an_older_log_left_is_no_damage_where_a_frame_did_not_reach_the_disk(
    place: Path,
) -> None:
    """A transaction whose first frame is lost, so that the end of an older one stands there."""
    folder, judged = place / "live", 0
    folder.mkdir()
    wal, torn = folder / "node.db-wal", place / "torn-wal"
    for moment in moments(write_all, folder):
        now = wal.read_bytes() if wal.exists() else b""
        old = moment.synced.get(wal.stat().st_ino, b"") if now else b""
        if moment.call != "sync" or len(now) != len(old) or now == old:
            continue
        places = range(32, len(now), FRAME)
        older = [old[n : n + FRAME] for n in places if old[n + 8 : n + 16] != now[16:24]]
        ends = [frame for frame in older if int.from_bytes(frame[4:8], "big")]
        written = [n for n in places if now[n : n + FRAME] != old[n : n + FRAME]]
        if ends and len(written) > 1:
            torn.write_bytes(now[: written[0]] + ends[0] + now[written[0] + FRAME :])
            assert damage_in_log(torn) is None, f"before call {moment.number}"
            judged += 1
    assert judged > 1


@pytest.mark.slow
def test_a_flip_in_any_page_is_refused_or_harmless(place: Path) -> None:
    """A process that died: pages of the file, and frames of a log that was not folded in."""
    folder = place / "live"
    folder.mkdir()
    last = None
    for moment in moments(write_all, folder):
        if moment.acknowledged == BATCHES:
            break
        last = moment
    assert last is not None
    source = random.Random(3)
    refusals: list[str] = []
    flips = 0
    for name, page in (("node.db", 512), ("node.db-wal", 824)):
        size = (folder / name).stat().st_size
        for start in range(0, size, page):
            left = place / f"{name}-{start}"
            shutil.copytree(folder, left)
            hurt = bytearray((left / name).read_bytes())
            hurt[source.randrange(start, min(size, start + page))] ^= 1 << source.randrange(8)
            (left / name).write_bytes(hurt)
            flips += 1
            try:
                # Only the transaction at the end of the log may pass for one that was torn.
                check(left, BATCHES - 1)
            except StoreError as error:
                refusals.append(str(error))
    assert flips > 150
    assert len(refusals) > flips // 4
    assert all("node.db" in refusal and "restore" in refusal for refusal in refusals)
