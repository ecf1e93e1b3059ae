"""When who is carried asks whom: members to reserve with, and circuits to members that it misses.

Who is refused asks again, ever less often: a relay may be full for a while, or have only begun to
run. A reservation ends at its time, or with the connection that it was made on, which both of its
ends see; then the member is asked anew.
"""

from dataclasses import dataclass
from typing import Protocol

from ambientd.ports.transport import NodeId

RELAYS_MAX = 3
"""With so many members a node reserves."""

ASK_S, ASK_S_MAX = 2.0, 120.0
LOOK_S, LOOK_S_MAX = 2.0, 60.0
LOOK_LATER_S = 4.0
"""The end with the larger id asks so much later at first, or both would at the same time."""

CIRCUITS_PER_PEER_MAX = 4


class Ends(Protocol):
    """A connection, as far as it matters here."""

    @property
    def is_closed(self) -> bool:
        """Tell whether it has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """That a member can be reached through another."""

    until_s: float
    connection: Ends

    def holds(self, now_s: float) -> bool:
        """Tell whether it still does."""
        return self.until_s > now_s and not self.connection.is_closed


@dataclass(slots=True)
class _Again:
    """When something is asked for again."""

    at_s: float
    every_s: float

    def put_off(self, now_s: float, every_s_max: float) -> None:
        """Ask later, and after that later still."""
        self.at_s = now_s + self.every_s
        self.every_s = min(2 * self.every_s, every_s_max)

    def afresh(self, now_s: float, every_s: float) -> None:
        """Have short patience again, but never put off what is due earlier."""
        self.at_s = min(self.at_s, now_s + every_s)
        self.every_s = every_s


class Carried:
    """What one node has reserved, and whom it asks when."""

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._reserved: dict[NodeId, Reservation] = {}
        self._refused: dict[NodeId, _Again] = {}
        self._missing: dict[NodeId, _Again] = {}
        self._under_way: set[NodeId] = set()

    @property
    def relays(self) -> list[NodeId]:
        """Give the members that this node has reserved with."""
        return sorted(self._reserved)

    def open_to(self, peers: frozenset[NodeId], now_s: float) -> list[NodeId]:
        """Give whom to ask for a reservation now; what holds no longer is forgotten."""
        for ended in [p for p, kept in self._reserved.items() if not kept.holds(now_s)]:
            del self._reserved[ended]
        for gone in self._refused.keys() - peers:
            del self._refused[gone]
        wait = {p for p, again in self._refused.items() if again.at_s > now_s}
        asked = sorted(peers - self._reserved.keys() - wait)
        return asked[: max(0, RELAYS_MAX - len(self._reserved))]

    def refused(self, relay: NodeId, now_s: float) -> None:
        """Ask it again, but later."""
        self._refused.setdefault(relay, _Again(now_s, ASK_S)).put_off(now_s, ASK_S_MAX)

    def has_reserved(self, relay: NodeId, reservation: Reservation, now_s: float) -> None:
        """Be reachable, and look for all others afresh: it may be this node that was away.

        A relay that ends each reservation at once must neither keep this node from asking, nor
        have it ask only those that come first.
        """
        self._refused.pop(relay, None)
        for target, missing in self._missing.items():
            missing.afresh(now_s, self._first_s(target))
        self._reserved[relay] = reservation

    def due(self, wanted: frozenset[NodeId], now_s: float) -> list[NodeId]:
        """Give to whom a circuit is asked for now; of two that miss each other both ask in turn.

        Whoever has been there all the time may have long patience; who comes back has not.
        """
        for found in self._missing.keys() - wanted:
            del self._missing[found]
        if not self._reserved:
            return []
        for target in wanted - self._missing.keys():
            first_s = self._first_s(target)
            self._missing[target] = _Again(now_s + first_s, first_s)
        late = [
            (self._missing[each].at_s, each)
            for each in wanted - self._under_way
            if self._missing[each].at_s <= now_s
        ]
        due = [target for _, target in sorted(late)[:CIRCUITS_PER_PEER_MAX]]
        for target in due:
            self._missing[target].put_off(now_s, LOOK_S_MAX)
        self._under_way.update(due)
        return due

    def _first_s(self, target: NodeId) -> float:
        return LOOK_S if self._me < target else LOOK_LATER_S

    def has_tried(self, target: NodeId) -> None:
        """Let the member be asked for again when it is due: it was reached, or was not."""
        self._under_way.discard(target)
