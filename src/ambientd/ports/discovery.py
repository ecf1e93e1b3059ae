"""How a node finds members whose address it does not know, or no longer.

What is found is hearsay until the handshake: a way to find says an address of a member that is
wanted, from a statement that the member itself signed, and nothing of anybody else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ambientd.ports.transport import HostPort, NodeId

ADDRESSES_MAX = 4
"""So many addresses of one node are told, and kept, at once."""

STATEMENT_BYTES_MAX = 240
"""A signed statement and its key fit one string of a DNS record."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a node says that it listens; of two statements the one with the higher number holds."""

    node_id: NodeId
    number: int
    addresses: tuple[HostPort, ...]


@dataclass(frozen=True, slots=True)
class Seal:
    """Signs where this node listens, and verifies what others say of themselves."""

    sign: Callable[[tuple[HostPort, ...]], bytes]
    whose: Callable[[bytes], NodeId | None]
    """Whose statement it claims to be, cheaply; None when it is none."""
    verify: Callable[[bytes], Whereabouts | None]


@dataclass(frozen=True, slots=True)
class Search:
    """What a way to find asks of the node, and tells it."""

    wanted: Callable[[], frozenset[NodeId]]
    """Members that this node would link to and has no link to."""
    found: Callable[[Whereabouts], None]
    """Hears of wanted members alone."""


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Whether a node carries others' connections and lets its own be carried, and how much."""

    serves: bool = False
    uses: bool = False
    reservations_max: int = 64
    circuits_max: int = 16
    circuit_bytes_max: int = 128 * 1024 * 1024
    circuit_s_max: int = 3_600


class Discovery(Protocol):
    """One way to find."""

    name: str

    async def run(self, search: Search) -> None:
        """Tell where this node is, and look for who is wanted, until cancelled."""
        ...
