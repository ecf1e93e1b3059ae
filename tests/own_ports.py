"""Ports that belong to one process of a test run, whatever other processes and runs there are."""

import atexit
import itertools
from functools import cache

from ambientd.api.own_ports import WILDCARD_HOST, free_ports, own_ports
from ambientd.errors import ConfigError

# Below where meshes for the time being look.
PORTS = range(5_000, 20_000, 50)
FRESH_FROM, FRESH_TO = 20, PORTS.step - 1
"""Which of them are given one by one; a cluster's nodes and their pages have those below."""

_turns = itertools.count()


@cache
def own_port() -> int:
    """Give the first of some ports that no other process of tests takes while this one lives."""
    first, claim = own_ports(PORTS)
    atexit.register(claim.close)
    return first


def fresh_port() -> int:
    """Give a port of this process's own that nobody listens on, and that was not given lately."""
    room = FRESH_TO - FRESH_FROM
    for turn in itertools.islice(_turns, room):
        port = own_port() + FRESH_FROM + turn % room
        if free_ports(port, 1, WILDCARD_HOST) == [port]:
            return port
    raise ConfigError(f"none of the {room} ports from {own_port() + FRESH_FROM} up is free")
