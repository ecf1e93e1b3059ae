"""The RocksDB store: the contract, crashes, full disks, flipped bytes."""

import os
import random
import resource
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ambientd.adapters.rocks_store import RocksStore
from ambientd.adapters.row_checks import row_check
from ambientd.errors import ConfigError, StoreError
from ambientd.ports.store import Delete, Put, Store, StoreTable
from tests.adapters.crash_points import Moment, kill_at, moments
from tests.adapters.store_contract import MakeStore, StoreContract

rocksdict = pytest.importorskip("rocksdict")

LOCAL, SAFETY = StoreTable.LOCAL, StoreTable.SAFETY
BATCHES = 12
KILL_STEP = 17


class TestRocksStore(StoreContract):
    """It keeps the contract."""

    @pytest.fixture
    def make(self, place: Path) -> Iterator[MakeStore]:
        opened: list[Store] = []

        def make() -> Store:
            opened.append(RocksStore(place / f"{len(opened)}.rocks"))
            return opened[-1]

        yield make
        for store in opened:
            store.close()


def write_all(folder: Path) -> Iterator[None]:
    """Write batches of rows that stay, one that is replaced and one that goes; flush at times."""
    store = RocksStore(folder / "node.rocks")
    for number in range(BATCHES):
        source, name = random.Random(number), number.to_bytes(2, "big")
        rows = [Put(LOCAL, name + bytes([part]), source.randbytes(500)) for part in range(4)]
        gone = [Delete(StoreTable.NOTE, bytes([number - 1]))] if number else []
        note = Put(StoreTable.NOTE, bytes([number]), b"note")
        store.write([*rows, Put(SAFETY, b"safety", name), *gone, note])
        yield
        if number % 5 == 4:
            store._open.flush()
    store.close()


PROGRAM = """
import os, sys
from pathlib import Path
from tests.adapters.test_rocks_store import write_all
for _ in write_all(Path(sys.argv[1])):
    os.write(int(os.environ["ACKNOWLEDGE"]), b".")
"""


def in_a_process_of_its_own(folder: Path) -> Iterator[None]:
    """Threads of the library do not survive a fork, so the child is a new program."""
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    os.execv(sys.executable, [sys.executable, "-c", PROGRAM, str(folder)])
    yield


def count_of(store: Store) -> int:
    """Give how many batches are there, all of them wholly."""
    names = [key for key, _ in store.scan(LOCAL)]
    count, rest = divmod(len(names), 4)
    assert rest == 0, "a batch was half written"
    last = count - 1
    assert [key[:2] for key in names[::4]] == [n.to_bytes(2, "big") for n in range(count)]
    assert store.get(SAFETY, b"safety") == (last.to_bytes(2, "big") if count else None)
    assert list(store.scan(StoreTable.NOTE)) == ([(bytes([last]), b"note")] if count else [])
    return count


def check(left: Path, acknowledged: int) -> None:
    """Nothing acknowledged is lost, nothing is half there, and the store works on."""
    store = RocksStore(left / "node.rocks")
    assert count_of(store) in (acknowledged, acknowledged + 1)
    store.write([Put(StoreTable.BLOCK, b"after", b"the crash")])
    store.close()
    again = RocksStore(left / "node.rocks")
    assert again.get(StoreTable.BLOCK, b"after") == b"the crash"
    again.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "power cut"])
def test_a_crash_before_any_write_or_sync_loses_nothing(place: Path, how: str) -> None:
    folder, count, source = place / "live", 0, random.Random(1)
    folder.mkdir()
    leave: Callable[[Moment, Path], None] = (
        Moment.copy_to if how == "kill" else lambda moment, left: moment.shortened_to(left, source)
    )
    for moment in moments(in_a_process_of_its_own, folder, but="LOG"):
        left = place / f"{moment.number}"
        leave(moment, left)
        try:
            check(left, moment.acknowledged)
        except (AssertionError, StoreError) as error:
            msg = f"before call {moment.number} ({moment.call}): {error}"
            raise AssertionError(msg) from error
        shutil.rmtree(left)
        count += 1
    assert count > 60


@pytest.mark.slow
def test_a_process_really_killed_leaves_what_the_copies_showed(place: Path) -> None:
    number, seen = 0, set()
    while True:
        left = place / f"{number}"
        left.mkdir()
        acknowledged = kill_at(in_a_process_of_its_own, left, number, but="LOG")
        if acknowledged is None:
            break
        check(left, acknowledged)
        seen.add(acknowledged)
        number += KILL_STEP
    assert len(seen) > 3


@pytest.fixture
def written(place: Path) -> Path:
    """Give a folder that a process left which died: files, and a log that is not empty."""
    folder, last = place / "live", place / "last"
    folder.mkdir()
    for moment in moments(in_a_process_of_its_own, folder, but="LOG"):
        if moment.acknowledged == BATCHES:
            break
    shutil.copytree(folder, last)
    return last


@pytest.mark.slow
def test_a_flip_in_any_block_is_refused_or_harmless(place: Path, written: Path) -> None:
    source, refusals, flips = random.Random(3), [], 0
    files = [f for f in sorted((written / "node.rocks").iterdir()) if f.suffix in (".sst", ".log")]
    manifests = [f for f in (written / "node.rocks").iterdir() if f.name.startswith("MANIFEST")]
    assert {file.suffix for file in files} == {".sst", ".log"}
    for file in [*files, *manifests, written / "node.rocks" / "CURRENT"]:
        size = file.stat().st_size
        for start in range(0, size, max(64, size // 25)):
            left = place / f"{file.name}-{start}"
            shutil.copytree(written, left)
            hurt = bytearray(file.read_bytes())
            hurt[source.randrange(start, min(size, start + 64))] ^= 1 << source.randrange(8)
            (left / "node.rocks" / file.name).write_bytes(hurt)
            flips += 1
            try:
                check(left, BATCHES)
            except StoreError as error:
                refusals.append(str(error))
            shutil.rmtree(left)
    assert len(refusals) > flips * 3 // 4
    assert all("node.rocks" in refusal for refusal in refusals)


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST", ".sst"])
def test_a_lost_file_is_refused(written: Path, name: str) -> None:
    for file in (written / "node.rocks").iterdir():
        if file.name.startswith(name) or file.suffix == name:
            file.unlink()
    with pytest.raises(StoreError, match=r"node\.rocks.*(restore|is there)"):
        RocksStore(written / "node.rocks")


def raw(path: Path) -> Any:
    return rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (b"local/k1", b"\0" * 40, "table local, key 6b31 is damaged"),
        (b"local/k1", b"short", "table local, key 6b31 is damaged"),
        (b"local/k1", None, "table local has 1 rows and should have 2"),
        (b"local/k3", row_check(LOCAL, b"k3", b"v") + b"v", "has 3 rows and should have 2"),
        (b"!tally/local", None, "has 2 rows and should have an unknown number"),
        (b"!tally/local", bytes(40), "has 2 rows and should have 0"),
        (b"!format", b"cats", "not a store of this program"),
    ],
)
def test_damage_that_rocksdb_cannot_see_is_named(
    place: Path, key: bytes, value: bytes | None, words: str
) -> None:
    path = place / "node.rocks"
    store = RocksStore(path)
    store.write([Put(LOCAL, b"k1", b"v1"), Put(LOCAL, b"k2", b"v2")])
    store.close()
    db = raw(path)
    if value is None:
        db.delete(key)
    else:
        db.put(key, value)
    db.close()
    with pytest.raises(StoreError, match=words) as caught:
        RocksStore(path)
    assert str(path) in str(caught.value)
    assert "restore" in str(caught.value)


def test_a_store_of_a_version_to_come_is_refused_and_says_what_to_run(place: Path) -> None:
    path = place / "node.rocks"
    RocksStore(path).close()
    db = raw(path)
    db.put(b"!format", b"ambient store 2")
    db.close()
    with pytest.raises(StoreError, match="knows ambient store 1: run the version that wrote it"):
        RocksStore(path)


def test_a_row_that_rots_while_the_store_is_open_is_not_served(place: Path) -> None:
    store = RocksStore(place / "node.rocks")
    store.write([Put(LOCAL, b"k1", b"v1"), Put(LOCAL, b"k2", b"v2")])
    store._open.put(b"local/k1", bytes(20))
    with pytest.raises(StoreError, match="table local, key 6b31 is damaged"):
        store.get(LOCAL, b"k1")
    with pytest.raises(StoreError, match="table local, key 6b31 is damaged"):
        list(store.scan(LOCAL))
    assert store.get(LOCAL, b"k2") == b"v2"
    store.close()


def test_an_alien_folder_and_an_unfinished_one(place: Path) -> None:
    alien = place / "alien"
    alien.mkdir()
    (alien / "cats").touch()
    with pytest.raises(StoreError, match="is not a store of this program"):
        RocksStore(alien)
    assert [file.name for file in alien.iterdir()] == ["cats"]
    unfinished = place / "node.rocks.new"
    unfinished.mkdir()
    (unfinished / "CURRENT").touch()
    store = RocksStore(place / "node.rocks")
    assert stat.S_IMODE((place / "node.rocks").stat().st_mode) == 0o700
    assert not unfinished.exists()
    with pytest.raises(StoreError, match=r"cannot open .*node\.rocks.*lock"):
        RocksStore(place / "node.rocks")
    store.close()
    with pytest.raises(StoreError, match=r"cannot open the store .*No such file"):
        RocksStore(place / "missing" / "node.rocks")


def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(place: Path) -> None:
    store = RocksStore(place / "node.rocks")
    store.write([Put(LOCAL, b"before", b"kept")])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = 0

    def fill() -> None:
        nonlocal kept
        for number in range(60):
            store.write([Put(LOCAL, b"%02d" % number, os.urandom(9000))])
            kept += 1

    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(StoreError, match="the disk is full; all that was acknowledged is kept"):
            fill()
        with pytest.raises(StoreError, match="closed for writing after a failed write"):
            store.write([Put(LOCAL, b"more", b"")])
        assert store.get(LOCAL, b"before") == b"kept"
        assert len(list(store.scan(LOCAL))) == kept + 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    store.close()
    again = RocksStore(place / "node.rocks")
    assert len(list(again.scan(LOCAL))) in (kept + 1, kept + 2)
    again.write([Put(LOCAL, b"after", b"kept")])
    again.close()


def test_without_the_package_it_says_what_to_do(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rocksdict", None)
    with pytest.raises(ConfigError, match=r'install ambientd\[rocksdb\], or set engine = "sqlite"'):
        RocksStore(place / "node.rocks")
    assert list(place.iterdir()) == []
