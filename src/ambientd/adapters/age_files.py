"""Files sealed to public keys in the age format (age-encryption.org/v1), which other tools open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from ambientd.adapters.durable_files import sync_directory, write_synced
from ambientd.errors import ConfigError, DamagedError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedReader

    from pyrage.x25519 import Identity, Recipient

    from ambientd.ports.copies import Taker

MAGIC: Final = b"age-encryption.org/v1\n"
_IDENTITY_BYTES_MAX: Final = 64 * 1024


def recipients_of(texts: Sequence[str]) -> list[Recipient]:
    """Read public keys; raise UsageError naming the first that is none."""
    from pyrage import RecipientError, x25519

    found = []
    for text in texts:
        try:
            found.append(x25519.Recipient.from_str(text))
        except RecipientError as error:
            if text.upper().startswith("AGE-SECRET-KEY-"):
                msg = (
                    "a secret key of age was given where a public one belongs, and may be in the "
                    "history of a shell now: draw another with `ambientctl backup key FILE`"
                )
                raise UsageError(msg) from error
            msg = f'"{text}" is no public key of age: `ambientctl backup key FILE` prints one'
            raise UsageError(msg) from error
    return found


def seal(clear: BufferedReader, sealed: Taker, recipients: Sequence[Recipient]) -> None:
    """Seal what one file holds into another; raise StoreError if it cannot.

    What the other refuses at the very end is not told: ask it.
    """
    from pyrage import EncryptError, encrypt_io

    try:
        encrypt_io(clear, sealed, recipients)
    except EncryptError as error:
        raise StoreError(f"cannot be sealed: {error}") from error


def is_sealed(path: Path) -> bool:
    """Tell whether a file begins as one of age's; raise OSError when it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def unseal(path: Path, clear: BinaryIO, identity: Path) -> None:
    """Write what a sealed file holds.

    Raises:
        ConfigError: the identity is not there, or is none.
        DamagedError: it is sealed to others, or damaged.
        StoreError: the disk refuses.
    """
    from pyrage import DecryptError, decrypt_io

    keys = _identities(identity)
    try:
        with path.open("rb") as sealed:
            decrypt_io(sealed, clear, keys)
    except DecryptError as error:
        msg = f"{path} is not sealed to a key of {identity}, or damaged at its head: {error}"
        raise DamagedError(msg) from error
    except OSError as error:
        if error.strerror is None:
            msg = f"cannot unseal {path}: it is damaged, use another backup"
            raise DamagedError(msg) from error
        raise StoreError(f"cannot unseal {path}: {error.strerror}") from error


def _identities(path: Path) -> list[Identity]:
    """Read secret keys, one a line; lines that begin with # are remarks, as `age-keygen` writes."""
    from pyrage import IdentityError, x25519

    try:
        with path.open("rb") as file:
            text = file.read(_IDENTITY_BYTES_MAX).decode("ascii", "replace")
    except OSError as error:
        msg = f"cannot read the identity {path}: {error.strerror}"
        raise ConfigError(msg) from error
    lines = [line.strip() for line in text.splitlines()]
    try:
        found = [x25519.Identity.from_str(line) for line in lines if line and line[0] != "#"]
    except IdentityError as error:
        msg = f"{path} is no identity of age: it has a line that is no AGE-SECRET-KEY-1…"
        raise ConfigError(msg) from error
    if not found:
        raise ConfigError(f"{path} holds no identity of age: name the file of `backup key`")
    return found


def create_identity(path: Path) -> str:
    """Draw a secret key into a new file, mode 0600; give its public key.

    Raises:
        ConfigError: there is a file already, or the folder cannot be written.
    """
    from pyrage import x25519

    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    try:
        write_synced(path, f"# public key: {recipient}\n{identity}\n".encode())
        sync_directory(path.parent)
    except FileExistsError as error:
        msg = f"{path} exists already and is not overwritten: what is sealed to it needs it"
        raise ConfigError(msg) from error
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    return recipient
