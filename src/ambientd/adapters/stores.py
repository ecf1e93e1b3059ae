"""Opens the store that a node's config names, and no other than the one the node has."""

from pathlib import Path

from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.config.options import StoreEngine
from ambientd.errors import ConfigError
from ambientd.ports.store import Store

STORE_NAMES = {StoreEngine.SQLITE: "node.db", StoreEngine.ROCKSDB: "node.rocks"}


def open_store(data_dir: Path, engine: StoreEngine) -> Store:
    """Open or create the store; raise ConfigError when the node's rows lie in another engine's."""
    for other, name in STORE_NAMES.items():
        if other is not engine and (data_dir / name).exists():
            msg = (
                f'this node keeps its rows in {data_dir / name}: set engine = "{other.value}" '
                "under [store] in config.toml"
            )
            raise ConfigError(msg)
    path = data_dir / STORE_NAMES[engine]
    if engine is StoreEngine.SQLITE:
        return SqliteStore(path)
    from ambientd.adapters.rocks_store import RocksStore  # its price is for those who use it

    return RocksStore(path)
