"""Checking a backup, and making a node's store of it: needs no daemon."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from ambientd.adapters.age_files import create_identity, is_sealed, unseal
from ambientd.adapters.copy_places import copy_of, is_remote
from ambientd.adapters.data_dir import DataDir
from ambientd.adapters.durable_files import sync_directory, write_synced
from ambientd.adapters.regtest.files import lack_of_chain
from ambientd.adapters.stores import STORE_NAMES, open_store
from ambientd.api.genesis_files import load_genesis
from ambientd.config.load import load_config
from ambientd.config.options import ChainKind, StoreEngine
from ambientd.config.places import Places
from ambientd.errors import ConfigError, StoreError, UsageError
from ambientd.runtime.backup import Told, nobody, read_manifest, read_rows
from ambientd.runtime.restoring import Restored, restore

DRAFT_FOLDER = "restoring"
FETCHED_NAME = "fetched.backup"
CLEAR_NAME = "clear.backup"


def restore_node(
    data_dir: Path,
    file: str | Path,
    height: int | None = None,
    identity: Path | None = None,
    told: Told = nobody,
) -> Restored:
    """Fill a data directory that has config, key and genesis, but no store.

    The store bears its name only when all of it has been checked. Just before that the key is
    marked, durably, as one that has voted: it follows the log from now on. What is refused leaves
    no mark.
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
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            clear = _in_the_clear(str(file), identity, draft)
            read_manifest(next(read_rows(clear)), Path(file))
            name = STORE_NAMES[config.store.engine]
            store = open_store(draft, config.store.engine)
            try:
                done = restore(clear, store, genesis, height, told)
            finally:
                store.close()
            sync_directory(draft)
            if not places.voted_mark.exists():
                words = b"this key may have voted before its store was restored from a backup\n"
                write_synced(places.voted_mark, words)
            sync_directory(data_dir)  # the mark before the store: no cut leaves the store alone
            (draft / name).rename(data_dir / name)
            sync_directory(data_dir)
        except OSError as error:
            msg = f"cannot restore into {data_dir}: {error.filename}: {error.strerror}"
            raise StoreError(msg) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return done


def lost_chain(data_dir: Path) -> str:
    """Say that a node's embedded chain is not where its config says; empty if it is, or has none.

    A relative folder is one beside the node's, so a folder restored elsewhere is without it.
    """
    bitcoin = load_config(data_dir).bitcoin
    if bitcoin.chain is not ChainKind.EMBEDDED:
        return ""
    return lack_of_chain(Places(data_dir).embedded_chain(bitcoin.embedded_dir))


def verify_backup(
    genesis_file: Path, file: str | Path, identity: Path | None = None, told: Told = nobody
) -> Restored:
    """Check every block, certificate and state root of a backup, as restoring it would."""
    genesis = load_genesis(genesis_file)
    try:
        with TemporaryDirectory(prefix="ambient-backup-") as folder:
            clear = _in_the_clear(str(file), identity, Path(folder))
            store = open_store(Path(folder), StoreEngine.SQLITE)
            try:
                return restore(clear, store, genesis, told=told)
            finally:
                store.close()
    except OSError as error:
        raise StoreError(f"cannot check {file}: {error.filename}: {error.strerror}") from error


def _in_the_clear(text: str, identity: Path | None, folder: Path) -> Path:
    """Give a backup that can be read: itself, or what it holds, in a folder that will go."""
    file = _fetched(text, folder) if is_remote(text) else Path(text)
    if not is_sealed(file):
        return file
    if identity is None:
        raise UsageError(f"{text} is sealed: name the secret key that opens it with --identity")
    clear = folder / CLEAR_NAME
    clear.touch(mode=0o600)
    with clear.open("wb") as opened:
        unseal(file, opened, identity)
    return clear


def _fetched(text: str, folder: Path) -> Path:
    """Bring a copy here from where it lies."""
    place, name = copy_of(text)
    file = folder / FETCHED_NAME
    file.touch(mode=0o600)
    with file.open("wb") as opened:
        place.fetch(name, opened)
    return file


def draw_backup_key(file: Path) -> str:
    """Draw a secret key into a new file; give the public key that backups are sealed to."""
    return create_identity(file)
