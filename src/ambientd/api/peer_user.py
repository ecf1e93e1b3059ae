"""Who is at the other end of a local socket, as the system vouches for it."""

import os
import socket
import struct
from pathlib import Path
from typing import Protocol

from ambientd.errors import UnreachableError

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
_ROOT = 0


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


def check_daemon(connection: Connection, path: Path) -> None:
    """Raise UnreachableError where neither root nor this user listens; root asks anybody."""
    user, own = peer_user(connection), os.getuid()
    if user is not None and own != _ROOT and user not in (_ROOT, own):
        msg = (
            f"user {user} answers at {path}, and not root or this user ({own}): nothing was "
            "asked; run as the daemon's user, or look who made that socket: ls -l"
        )
        raise UnreachableError(msg)
