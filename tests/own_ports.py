"""Ports that belong to one process of a test run, whatever other processes and runs there are."""

import atexit
import itertools
import os
import socket
from functools import cache

from ambientd.api.cluster import LISTEN_HOST, WILDCARD_HOST, free_ports
from ambientd.errors import ConfigError

# Below what systems give to outgoing connections and to whoever asks for any port, and below
# where demonstrations look.
PORTS_FROM, PORTS_TO = 5_000, 20_000
PORTS_EACH = 50
FRESH_FROM, FRESH_TO = 20, PORTS_EACH - 1
"""Which of them are given one by one; a cluster's nodes and their pages have those below."""

_turns = itertools.count()


@cache
def own_port() -> int:
    """Give the first of some ports that no other process of tests takes while this one lives."""
    firsts = list(range(PORTS_FROM, PORTS_TO, PORTS_EACH))
    begin = os.getpid() % len(firsts)
    for first in firsts[begin:] + firsts[:begin]:
        claim = claimed(first, PORTS_EACH)
        if claim is not None:
            atexit.register(claim.close)
            return first
    raise ConfigError(f"no {PORTS_EACH} ports from {PORTS_FROM} to {PORTS_TO} are free")


def claimed(first: int, count: int) -> socket.socket | None:
    """Claim some ports, by a socket at the last of them, unless anybody has any of them."""
    claim = socket.socket()
    last = first + count - 1
    try:
        claim.bind((LISTEN_HOST, last))
    except OSError:
        claim.close()
        return None
    if free_ports(first, count - 1, WILDCARD_HOST) == list(range(first, last)):
        return claim
    claim.close()
    return None


def fresh_port() -> int:
    """Give a port of this process's own that nobody listens on, and that was not given lately."""
    room = FRESH_TO - FRESH_FROM
    for turn in itertools.islice(_turns, room):
        port = own_port() + FRESH_FROM + turn % room
        if free_ports(port, 1, WILDCARD_HOST) == [port]:
            return port
    raise ConfigError(f"none of the {room} ports from {own_port() + FRESH_FROM} up is free")
