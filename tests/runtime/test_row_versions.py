"""Rows of every version there was, as their bytes were (tests/runtime/stores), start a node now."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.codec.canonical import decode, encode
from ambientd.errors import StoreError
from ambientd.model.genesis import FIRST_STATE_VERSION, Genesis
from ambientd.ports.store import Put, Store, StoreTable
from ambientd.runtime.persistence import HEAD_KEY, HeadRow, recover
from ambientd.runtime.row_versions import ROW_VERSION, STEPS, VERSION_KEY
from tests.adapters.crash_points import memory_folder, moments
from tests.fakes.memory_store import MemoryStore

FOLDER = Path(__file__).parent / "stores"


def kept(version: int) -> tuple[dict[str, Any], Genesis, list[Put]]:
    document = json.loads((FOLDER / f"row-version-{version}.json").read_text())
    genesis: Genesis = decode(bytes.fromhex(document["genesis"]), Genesis)
    rows = [
        Put(StoreTable(table), bytes.fromhex(key), bytes.fromhex(value))
        for table, found in document["rows"].items()
        for key, value in found
    ]
    return document, genesis, rows


def filled(rows: list[Put]) -> MemoryStore:
    store = MemoryStore()
    store.write(rows)
    return store


def check(store: Store, document: dict[str, Any], genesis: Genesis) -> None:
    found = recover(store, genesis)
    assert found.has_safety
    assert found.log is not None
    assert found.ledger.applied_index == document["index"]
    assert found.ledger.root.hex() == document["root"]
    assert decode(store.get(StoreTable.LOCAL, VERSION_KEY), int) == ROW_VERSION
    head: HeadRow = decode(store.get(StoreTable.LOCAL, HEAD_KEY), HeadRow)
    assert head[3] == FIRST_STATE_VERSION  # no step is taken here: the log says when


def test_there_is_a_step_from_every_version() -> None:
    assert list(STEPS) == list(range(1, ROW_VERSION))


@pytest.mark.parametrize("version", range(1, ROW_VERSION))
def test_a_store_of_any_version_starts_a_node_again_and_again(version: int) -> None:
    document, genesis, rows = kept(version)
    store = filled(rows)
    check(store, document, genesis)
    check(store, document, genesis)


def test_rows_that_name_no_version_and_have_nothing_to_change_are_left_alone() -> None:
    document, genesis, rows = kept(1)
    store = filled(rows)
    check(store, document, genesis)
    head = store.get(StoreTable.LOCAL, HEAD_KEY)
    unnamed = filled(
        [Put(t, k, v) for t in StoreTable for k, v in store.scan(t) if k != VERSION_KEY]
    )
    check(unnamed, document, genesis)
    assert unnamed.get(StoreTable.LOCAL, HEAD_KEY) == head


def test_a_version_to_come_is_refused_and_nothing_is_changed() -> None:
    _, genesis, rows = kept(1)
    store = filled([*rows, Put(StoreTable.LOCAL, VERSION_KEY, encode(ROW_VERSION + 1))])
    before = {table: list(store.scan(table)) for table in StoreTable}
    said = f"version {ROW_VERSION + 1}, this program knows {ROW_VERSION}: run the version"
    with pytest.raises(StoreError, match=said) as refusal:
        recover(store, genesis)
    assert "move the data directory away" not in str(refusal.value)
    assert {table: list(store.scan(table)) for table in StoreTable} == before


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    folder = memory_folder(tmp_path)
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="ptrace is Linux's")
def test_a_node_killed_amid_the_change_starts_all_the_same(place: Path) -> None:
    document, genesis, rows = kept(1)
    folder = place / "live"
    folder.mkdir()
    written = SqliteStore(folder / "node.db")
    written.write(rows)
    written.close()

    def start(at: Path) -> Iterator[None]:
        store = SqliteStore(at / "node.db")
        recover(store, genesis)
        yield
        store.close()

    versions = set()
    for moment in moments(start, folder):
        left = place / f"{moment.number}"
        moment.copy_to(left)
        store = SqliteStore(left / "node.db")
        versions.add(store.get(StoreTable.LOCAL, VERSION_KEY))
        check(store, document, genesis)
        store.close()
    assert versions == {None, encode(ROW_VERSION)}
