"""Opening the store that the config names."""

from pathlib import Path

import pytest

from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.adapters.stores import open_store
from ambientd.config.options import StoreEngine
from ambientd.errors import ConfigError
from ambientd.ports.store import Put, StoreTable


def test_the_engine_is_the_one_that_was_chosen(tmp_path: Path) -> None:
    store = open_store(tmp_path, StoreEngine.SQLITE)
    assert isinstance(store, SqliteStore)
    store.write([Put(StoreTable.LOCAL, b"k", b"v")])
    store.close()
    again = open_store(tmp_path, StoreEngine.SQLITE)
    assert again.get(StoreTable.LOCAL, b"k") == b"v"
    again.close()


@pytest.mark.parametrize(
    ("name", "engine", "words"),
    [
        ("node.db", StoreEngine.ROCKSDB, r'node\.db: set engine = "sqlite" under \[store\]'),
        ("node.rocks", StoreEngine.SQLITE, r'node\.rocks: set engine = "rocksdb" under \[store\]'),
    ],
)
def test_a_node_never_starts_with_an_empty_store_beside_its_own(
    tmp_path: Path, name: str, engine: StoreEngine, words: str
) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=words):
        open_store(tmp_path, engine)
    assert [file.name for file in tmp_path.iterdir()] == [name]
