"""Where a passphrase comes from: a file, the environment, or a person."""

import getpass
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ambientd.errors import ConfigError

VARIABLE: Final = "AMBIENT_PASSPHRASE"
_FILE_BYTES_MAX: Final = 1_024


def read_passphrase(path: Path) -> str:
    """Read the first line of a file.

    Raises:
        ConfigError: when it cannot be read, is open to everybody, or says nothing.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IRWXO:
                raise ConfigError(f"{path} is open to everybody: chmod 600 {path}")
            data = file.read(_FILE_BYTES_MAX)
        text = data.decode().partition("\n")[0].removesuffix("\r")
    except OSError as error:
        msg = f"cannot read the passphrase in {path}: {error.strerror}; check the path"
        raise ConfigError(msg) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no text: write the passphrase in its first line") from error
    if not text:
        raise ConfigError(f"{path} begins with an empty line: write the passphrase there")
    return text


def find_passphrase(file: Path | None, sealed: Iterable[Path]) -> str:
    """Give what opens these sealed files: from a file, the environment, else a person; or "".

    The environment loses it, so that no child process inherits it.

    Raises:
        ConfigError: when a file is sealed and nobody can be asked.
    """
    from_environment = os.environ.pop(VARIABLE, "")
    if file is not None:
        return read_passphrase(file)
    first = next(iter(sealed), None)
    if from_environment or first is None:
        return from_environment
    otherwise = f"{first} is sealed: give its passphrase with --passphrase-file FILE or {VARIABLE}"
    return ask_passphrase(f"passphrase of {first}", otherwise)


def ask_passphrase(question: str, otherwise: str) -> str:
    """Ask a person, who sees nothing of the answer; an empty one means none.

    Raises:
        ConfigError: saying what else to do, when standard input is no terminal.
    """
    if not sys.stdin.isatty():
        raise ConfigError(otherwise)
    return getpass.getpass(f"{question}: ")
