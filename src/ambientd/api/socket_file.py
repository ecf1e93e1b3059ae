"""The file of the local socket: opened for its owner alone, taken over from the dead only."""

import os
import socket
import stat
from pathlib import Path

from ambientd.config.places import ensure_private_dir, remove_runtime_dir, runtime_dir
from ambientd.errors import ConfigError

_BACKLOG = 32
_TRIES = 32


class SocketFile:
    """A listening socket for the time of a `with` block; the file goes away with it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> socket.socket:
        """Listen; raise ConfigError with what to do when that is impossible."""
        self._listening = open_socket(self._path)
        self._identity = _identity(self._path)
        return self._listening

    def __exit__(self, *_: object) -> None:
        """Close, and remove the file unless another daemon has put its own there."""
        self._listening.close()
        if _identity(self._path) == self._identity:
            self._path.unlink(missing_ok=True)
        remove_runtime_dir(self._path)


def open_socket(path: Path) -> socket.socket:
    """Listen at a path, mode 0600; the file of a dead daemon is removed, a live one is an error."""
    is_in_runtime_dir = path.parent == runtime_dir()
    tries = _TRIES if is_in_runtime_dir else 1
    while True:
        tries -= 1
        if is_in_runtime_dir:
            ensure_private_dir(path.parent)
        _remove_stale(path)
        try:
            return _listen(path)
        except FileNotFoundError as error:
            if not tries:  # else another daemon has left just now, and removed the folder
                raise _no_socket(path, error) from error
        except OSError as error:
            raise _no_socket(path, error) from error


def _listen(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(os.fspath(path))
        path.chmod(0o600)  # before listen: until then nobody can connect
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _no_socket(path: Path, error: OSError) -> ConfigError:
    reason = error.strerror or error
    return ConfigError(f"{path}: cannot open the local socket: {reason}; set [api] socket")


def _remove_stale(path: Path) -> None:
    try:
        mode = path.stat(follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _no_socket(path, error) from error
    if not stat.S_ISSOCK(mode):
        msg = f"{path}: is in the way of the local socket; move it or set [api] socket"
        raise ConfigError(msg)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # a full backlog or no permission: somebody is there
    msg = f"{path}: another ambientd answers there; stop it or choose another data directory"
    raise ConfigError(msg)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return status.st_dev, status.st_ino
