"""Making a node's store of a backup: needs no daemon, and allows none beside it."""

import shutil
from pathlib import Path

from ambientd.adapters.data_dir import DataDir
from ambientd.adapters.durable_files import sync_directory, write_synced
from ambientd.adapters.stores import STORE_NAMES, open_store
from ambientd.api.genesis_files import load_genesis
from ambientd.config.load import load_config
from ambientd.config.places import Places
from ambientd.errors import ConfigError, StoreError
from ambientd.runtime.backup import Restored, read_manifest, read_rows, restore

DRAFT_FOLDER = "restoring"


def restore_node(data_dir: Path, file: Path, height: int | None = None) -> Restored:
    """Fill a data directory that has config, key and genesis, but no store.

    The key is marked as one that has voted before anything is restored: it follows the log from
    now on. A file that is no backup leaves no mark. The store bears its name only when all of it
    has been checked.
    """
    places = Places(data_dir)
    config, genesis = load_config(data_dir), load_genesis(places.genesis)
    with DataDir(data_dir):
        for name in STORE_NAMES.values():
            if (data_dir / name).exists():
                msg = (
                    f"{data_dir / name} exists and is not overwritten: move it away, or use it "
                    "instead of the backup"
                )
                raise ConfigError(msg)
        draft = data_dir / DRAFT_FOLDER
        try:
            read_manifest(next(read_rows(file)), file)
            if not places.voted_mark.exists():
                words = b"this key may have voted before its store was restored from a backup\n"
                write_synced(places.voted_mark, words)
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            name = STORE_NAMES[config.store.engine]
            store = open_store(draft, config.store.engine)
            try:
                done = restore(file, store, genesis, height)
            finally:
                store.close()
            sync_directory(draft)
            (draft / name).rename(data_dir / name)
            sync_directory(data_dir)
        except OSError as error:
            msg = f"cannot restore into {data_dir}: {error.filename}: {error.strerror}"
            raise StoreError(msg) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return done
