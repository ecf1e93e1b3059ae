"""The node's secret: drawn here, kept in one file that only its owner can read."""

import os
import secrets
import stat
from pathlib import Path

from ambientd.adapters.durable_files import sync_directory, write_synced
from ambientd.codec.signing import SEED_BYTES
from ambientd.errors import ConfigError


def draw_secret(size_bytes: int) -> bytes:
    """Draw bytes nobody can guess: nonces, invite keys, seeds of random sources."""
    return secrets.token_bytes(size_bytes)


def create_key(path: Path) -> bytes:
    """Draw a seed and keep it in a new file, mode 0600; an existing file is never touched."""
    seed = draw_secret(SEED_BYTES)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        write_synced(draft, seed)
        try:
            os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FileExistsError as error:
        msg = (
            f"the key file {path} exists already and is not overwritten: "
            "move it away first if the node is to have a new identity"
        )
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"cannot write the key file {path}: {error.strerror}; check the folder and the disk"
        raise ConfigError(msg) from error
    return seed


def load_key(path: Path) -> bytes:
    """Read a node's seed; raise ConfigError when it is missing, malformed or open to others."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        msg = (
            f"there is no key file {path}: restore it from a backup, or create a node with "
            "`ambientctl cluster create` or `ambientctl join`"
        )
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"cannot read the key file {path}: {error.strerror}; the daemon's user must own it"
        raise ConfigError(msg) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            msg = f"the key file {path} is not a plain file"
            raise ConfigError(msg)
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            msg = f"the key file {path} is open to others (mode {mode:04o}): chmod 600 {path}"
            raise ConfigError(msg)
        seed = os.read(handle, SEED_BYTES + 1)
    finally:
        os.close(handle)
    if len(seed) != SEED_BYTES:
        msg = (
            f"the key file {path} has {status.st_size} bytes, not {SEED_BYTES}: "
            "restore it from a backup; its identity cannot be made again"
        )
        raise ConfigError(msg)
    return seed
