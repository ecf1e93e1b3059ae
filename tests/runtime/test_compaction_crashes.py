"""Nodes that delete their log, or go over to a fetched state, killed amid it: on the real store.

A simulated node's own batches are written to SQLite by a process that stands still before each
write and sync. What a crash leaves there must be all of a batch or nothing, and a node must
recover from it. (tests/adapters/test_sqlite_crashes.py does the same to batches of every shape.)
"""

import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.errors import StoreError
from ambientd.model.genesis import Genesis
from ambientd.ports.store import Delete, Put, Store, StoreTable, Write
from tests.adapters.crash_points import Moment, kill_at, memory_folder, moments
from tests.fakes.memory_store import MemoryStore
from tests.node.test_compaction import compacted, work
from tests.runtime.test_compacted_store import Batches, check_recovery, deletes_blocks, leapt, noted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="ptrace is Linux's"),
]

FOLD_PAGES = 40
BATCHES_AROUND = 2

Contents = dict[tuple[StoreTable, bytes], bytes]


@dataclass(frozen=True, slots=True)
class History:
    """What a node's store held, the batches that it wrote then, and what it held after each."""

    genesis: Genesis
    before: MemoryStore
    batches: Batches
    contents: tuple[Contents, ...]


def contents_of(store: Store) -> Contents:
    return {(table, key): value for table in StoreTable for key, value in store.scan(table)}


def window(
    genesis: Genesis, before: MemoryStore, batches: Batches, first: int, last: int
) -> History:
    """Give the part of a history around two batches."""
    first, last = max(0, first - BATCHES_AROUND), min(len(batches), last + 1 + BATCHES_AROUND)
    for batch in batches[:first]:
        before.write(batch)
    store, contents = before.copy(), [contents_of(before)]
    for batch in batches[first:last]:
        store.write(batch)
        contents.append(contents_of(store))
    return History(genesis, before, batches[first:last], tuple(contents))


def keeps_snapshot(write: Write) -> bool:
    return isinstance(write, Put) and write.key.startswith(b"snapshot/")


def drops_snapshot(write: Write) -> bool:
    return isinstance(write, Delete) and write.key.startswith(b"snapshot/")


def places(batches: Batches, holds: Callable[[Write], bool]) -> list[int]:
    return [place for place, batch in enumerate(batches) if any(holds(write) for write in batch)]


@pytest.fixture(scope="module")
def compaction() -> History:
    """A node writes a snapshot, drops the one before, and deletes the blocks below."""
    cluster = compacted(above=0)
    store = cluster.hosts[0].store
    assert isinstance(store, MemoryStore)
    before, batches = noted(store)
    while not (dropped := places(batches, drops_snapshot)) or not [
        place for place in places(batches, deletes_blocks) if place > dropped[0]
    ]:
        work(cluster, 1)
    kept = max(place for place in places(batches, keeps_snapshot) if place <= dropped[0])
    deleted = [place for place in places(batches, deletes_blocks) if place >= kept]
    return window(cluster.genesis, before, batches, kept, deleted[0])


@pytest.fixture(scope="module")
def leap() -> History:
    """A node that was away takes a state over, page by page, with its own log deleted."""
    cluster = compacted()
    before, batches = leapt(cluster)
    [first, *_] = places(batches, keeps_snapshot)
    assert first in places(batches, deletes_blocks)
    return window(cluster.genesis, before, batches, first, first)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    folder = memory_folder(tmp_path)
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder)


def founded(history: History, folder: Path) -> Path:
    """Give a folder with a store that holds what the node had before."""
    folder.mkdir()
    store = SqliteStore(folder / "node.db")
    rows = contents_of(history.before)
    store.write([Put(table, key, value) for (table, key), value in sorted(rows.items())])
    store.close()
    return folder


def writing(history: History) -> Callable[[Path], Iterator[None]]:
    def write_all(folder: Path) -> Iterator[None]:
        store = SqliteStore(folder / "node.db")
        store._open.execute(f"PRAGMA wal_autocheckpoint={FOLD_PAGES}")
        for batch in history.batches:
            store.write(batch)
            yield
        store.close()

    return write_all


def check(history: History, left: Path, acknowledged: int) -> int:
    """Give how many batches are there: those acknowledged, or one more, and a node recovers."""
    store = SqliteStore(left / "node.db")
    found = contents_of(store)
    counts = [n for n, contents in enumerate(history.contents) if contents == found]
    assert set(counts) & {acknowledged, acknowledged + 1}, f"{acknowledged} written: {counts}"
    check_recovery(store, history.genesis)
    store.close()
    return counts[0]


def check_moments(history: History, place: Path, crash: Callable[[Moment, Path], None]) -> set[int]:
    """Let every moment be one of a crash; give how many batches were there after each."""
    seen = set()
    for moment in moments(writing(history), founded(history, place / "live")):
        left = place / f"{moment.number}"
        crash(moment, left)
        try:
            seen.add(check(history, left, moment.acknowledged))
        except (AssertionError, StoreError) as error:
            msg = f"before call {moment.number} ({moment.call}): {error}"
            raise AssertionError(msg) from error
        shutil.rmtree(left)
    return seen


@pytest.mark.parametrize("kind", ["compaction", "leap"])
def test_a_kill_before_any_write_leaves_what_a_node_recovers_from(
    kind: str, place: Path, request: pytest.FixtureRequest
) -> None:
    history: History = request.getfixturevalue(kind)
    seen = check_moments(history, place, lambda moment, left: moment.copy_to(left))
    assert seen == set(range(len(history.contents)))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["compaction", "leap"])
def test_a_power_cut_amid_it_leaves_what_a_node_recovers_from(
    kind: str, seed: int, place: Path, request: pytest.FixtureRequest
) -> None:
    history: History = request.getfixturevalue(kind)
    source = random.Random(seed)
    seen = check_moments(history, place, lambda moment, left: moment.power_cut_to(left, source))
    assert len(seen) > 2


def test_a_process_really_killed_amid_a_leap_goes_on_from_one_of_the_two_states(
    place: Path, leap: History
) -> None:
    number, seen = 0, set()
    while True:
        left = founded(leap, place / f"{number}")
        acknowledged = kill_at(writing(leap), left, number)
        if acknowledged is None:
            break
        seen.add(check(leap, left, acknowledged))
        shutil.rmtree(left)
        number += 3  # one folder a kill: every third moment
    assert seen == set(range(len(leap.contents)))
