"""DATA_DIR, held by one process at a time."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

from ambientd.errors import ConfigError, StoreError


def holder_of(path: Path) -> str | None:
    """Name the process that holds a folder; None when nobody does. Nothing is taken or changed."""
    try:
        lock = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _holder(lock)
    finally:
        os.close(lock)
    return None


def living_holder_of(path: Path) -> str | None:
    """Name the process that holds a folder, if it is seen from here.

    For those who ask often: the lock is tried only where its holder lives, as trying it could keep
    a daemon that is about to take it from that.
    """
    try:
        number = int((path / "lock").read_text("ascii"))
        os.kill(number, 0)
    except PermissionError:
        pass  # of another user; it lives
    except (OSError, ValueError, OverflowError):
        return None
    return holder_of(path)


def _holder(lock: int) -> str:
    number = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
    return f"process {number}" if number.isdigit() else "another process"


class DataDir:
    """The folder of one daemon, locked for as long as this object is open."""

    def __init__(self, path: Path) -> None:
        """Create the folder (mode 0700) where it is missing, and take its lock.

        Raises ConfigError when another process holds it, StoreError when it cannot be used.
        """
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            msg = (
                f"cannot use the data directory {path}: {error.strerror}; "
                "the daemon's user must own it and its disk must be writable"
            )
            raise StoreError(msg) from error
        try:
            self._take()
        except BaseException:
            os.close(self._lock)
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            msg = (
                f"the data directory {self.path} is in use by {_holder(self._lock)}: "
                "stop it, or give this node a data directory of its own"
            )
            raise ConfigError(msg) from error
        # A full disk must not keep a node from starting: the number only serves the message.
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode("ascii"), 0)

    def close(self) -> None:
        """Give the folder free; closing twice is no error."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "DataDir":
        """Hold the folder for a block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it free."""
        self.close()
