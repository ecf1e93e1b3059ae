"""How many files and connections a process may have open, and what part of them callers get.

Peers, store and workers come first: whoever calls, at the local socket or over HTTP, runs out of
room before these do. A caller is counted with a file that is read or written for it.
"""

import resource
from contextlib import suppress
from typing import Final

OPEN_FILES: Final = 65_536
"""What a process asks for, as `cli/service_data/ambientd.service` does."""

HTTP_PART: Final = 8
LOCAL_PART: Final = 16
"""Callers are one in so many of what may be open: with a file each, three eighths together."""

CALLERS_LEAST: Final = 4


def raise_open_files() -> None:
    """Have as many open as the system lets this process: elsewhere 1,024 are what one starts with.

    What it starts inherits that; a worker lets go of all but its pipes (`worker.lockdown`).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    with suppress(OSError, ValueError):  # then callers are held to a share of fewer
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def callers_max(asked: int, part: int, nodes: int) -> int:
    """Give how many callers each of so many nodes in this process serves, of those it is to."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return asked
    return min(asked, max(CALLERS_LEAST, soft // part // nodes))
