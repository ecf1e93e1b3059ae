"""Who is at the other end of a local socket, as the system vouches for it."""

import os
import socket
import struct
from pathlib import Path
from typing import Final, Protocol

from ambientd.errors import UnreachableError

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
_ROOT = 0
_USERS = 2**32 - 1
_OVERFLOW = 65_534
_OVERFLOW_AT: Final = Path("/proc/sys/kernel/overflowuid")
_MAP_AT: Final = Path("/proc/self/uid_map")


class Connection(Protocol):
    """A connected socket, of whatever library."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """Give what the system knows of it."""
        ...


def peer_user(connection: Connection) -> int | None:
    """Give the other's user id; None where the system has no SO_PEERCRED (0600 guards there)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    found = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[1])


def is_root_or_own(user: int) -> bool:
    """Tell whether a user id is root's, or this user's and nobody else's."""
    return user == _ROOT or (user == os.getuid() and not _is_shared(user))


def check_daemon(connection: Connection, path: Path) -> None:
    """Raise UnreachableError where neither root nor this user listens; root asks anybody."""
    user, own = peer_user(connection), os.getuid()
    if user is None or own == _ROOT or is_root_or_own(user):
        return
    if user == own:
        msg = (
            f"user {user} answers at {path}, which is any user without a number in this user "
            "namespace: nothing was asked; run as a user that it maps: cat /proc/self/uid_map"
        )
        raise UnreachableError(msg)
    msg = (
        f"user {user} answers at {path}, and not root or this user ({own}): nothing was "
        "asked; run as the daemon's user, or look who made that socket: ls -l"
    )
    raise UnreachableError(msg)


def _is_shared(user: int) -> bool:
    """Tell whether an id stands for all users to whom this user namespace has given none."""
    overflow = next(iter(_numbers_in(_OVERFLOW_AT)), _OVERFLOW)
    if user != overflow or (_MAP_AT.parent.exists() and not _MAP_AT.exists()):
        return False  # a kernel without user namespaces has no such file
    return sum(_numbers_in(_MAP_AT)[2::3]) != _USERS


def _numbers_in(path: Path) -> list[int]:
    try:
        return [int(each) for each in path.read_bytes().split()]
    except OSError:
        return []
