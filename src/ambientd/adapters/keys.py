"""Secrets: drawn here, each kept in one file that only its owner can read, sealed or not."""

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ambientd.adapters.durable_files import replace_synced, sync_directory, write_synced
from ambientd.codec.signing import SEED_BYTES
from ambientd.errors import ConfigError

_FILE_BYTES_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class KeyKind:
    """One kind of key file, and what people are told of it."""

    name: str
    mark: bytes
    """How a file begins that is not sealed."""
    sealed_mark: bytes
    when_there: str
    when_missing: str
    when_broken: str


NODE_KEY: Final = KeyKind(
    name="key file",
    mark=b"",
    sealed_mark=b"AMBKEY\x00\x03",
    when_there="move it away first if the node is to have a new identity",
    when_missing="restore it from a backup, or create a node with `ambientctl cluster create` or "
    "`ambientctl join`",
    when_broken="restore it from a backup; its identity cannot be made again",
)


def draw_secret(size_bytes: int) -> bytes:
    """Draw bytes nobody can guess: nonces, invite keys, seeds of random sources."""
    return secrets.token_bytes(size_bytes)


def create_key(path: Path, passphrase: str = "", kind: KeyKind = NODE_KEY) -> bytes:
    """Draw a seed and keep it in a new file, mode 0600; an existing file is never touched.

    Raises:
        ConfigError: when there is a file already, or the folder cannot be written.
    """
    seed = draw_secret(SEED_BYTES)
    draft = _draft_of(path)
    try:
        write_synced(draft, _written(seed, passphrase, kind))
        try:
            os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FileExistsError as error:
        msg = f"the {kind.name} {path} exists already and is not overwritten: {kind.when_there}"
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"cannot write the {kind.name} {path}: {error.strerror}; check the folder and disk"
        raise ConfigError(msg) from error
    return seed


def load_key(path: Path, passphrase: str = "", kind: KeyKind = NODE_KEY) -> bytes:
    """Read a seed.

    Raises:
        ConfigError: when the file is missing, malformed, open to others, or sealed otherwise.
    """
    data = _read(path, kind)
    mark = _sealed_mark(data, kind)
    if mark is not None:
        if not passphrase:
            raise ConfigError(f"{path} is sealed: give its passphrase")
        from ambientd.adapters.sealing import unsealed

        seed = unsealed(data[len(mark) :], passphrase, mark)
        if seed is None:
            msg = (
                f"the passphrase does not open {path}: try again; {kind.when_broken} if it is right"
            )
            raise ConfigError(msg)
        return seed
    if len(data) != len(kind.mark) + SEED_BYTES or not data.startswith(kind.mark):
        size = f"{len(data)} bytes, not {len(kind.mark) + SEED_BYTES}"
        raise ConfigError(f"the {kind.name} {path} has {size}: {kind.when_broken}")
    if passphrase:
        msg = f"{path} is not sealed: seal it with `ambientctl key passphrase`, or give none"
        raise ConfigError(msg)
    return data[len(kind.mark) :]


def is_sealed(path: Path, kind: KeyKind = NODE_KEY) -> bool:
    """Tell whether a key file needs a passphrase."""
    return _sealed_mark(_read(path, kind), kind) is not None


def change_passphrase(path: Path, old: str, new: str, kind: KeyKind = NODE_KEY) -> None:
    """Seal a key file with another passphrase, or with none; it is never half written.

    Raises:
        ConfigError: when the old passphrase does not open it, or the disk refuses.
    """
    seed = load_key(path, old, kind)
    try:
        replace_synced(path, _draft_of(path), _written(seed, new, kind))
    except OSError as error:
        msg = f"cannot write the {kind.name} {path}: {error.strerror}; it is as it was"
        raise ConfigError(msg) from error


def _sealed_mark(data: bytes, kind: KeyKind) -> bytes | None:
    """Give how a sealed file begins, of this version or the one before; None when it is open."""
    marks = (kind.sealed_mark, kind.sealed_mark[:-1] + b"\x02")
    return next((mark for mark in marks if data.startswith(mark)), None)


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")


def _written(seed: bytes, passphrase: str, kind: KeyKind) -> bytes:
    if not passphrase:
        return kind.mark + seed
    from ambientd.adapters.sealing import sealed

    return kind.sealed_mark + sealed(seed, passphrase, kind.sealed_mark)


def _read(path: Path, kind: KeyKind) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise ConfigError(f"there is no {kind.name} {path}: {kind.when_missing}") from error
    except OSError as error:
        msg = f"cannot read the {kind.name} {path}: {error.strerror}; the daemon's user must own it"
        raise ConfigError(msg) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"the {kind.name} {path} is not a plain file")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            msg = f"the {kind.name} {path} is open to others (mode {mode:04o}): chmod 600 {path}"
            raise ConfigError(msg)
        if status.st_size > _FILE_BYTES_MAX:
            size = f"{status.st_size} bytes, not {len(kind.mark) + SEED_BYTES}"
            raise ConfigError(f"the {kind.name} {path} has {size}: {kind.when_broken}")
        return os.read(handle, _FILE_BYTES_MAX)
    finally:
        os.close(handle)
