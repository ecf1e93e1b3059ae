"""How this node and the mesh look from elsewhere: what peers lately said of ports and links."""

from collections.abc import Iterable
from dataclasses import dataclass

from ambientd.api.seen_values import LinkTold, Seen
from ambientd.model.base import NodeId
from ambientd.ports.transport import Look

KEPT_MS = 600_000
PEERS_MAX = 1_024
LINKS_MAX = 8_192
"""Links told at once, the newest first."""


@dataclass(frozen=True, slots=True)
class _Sighting:
    at_ms: int
    look: Look


class Sightings:
    """The last answer of each peer, of the last ten minutes."""

    def __init__(self, own: NodeId) -> None:
        self._own = own
        self._of: dict[NodeId, _Sighting] = {}
        self._asked_ms: dict[NodeId, int] = {}

    def turn(self, peers: Iterable[NodeId], members: Iterable[NodeId], count: int) -> list[NodeId]:
        """Give whom to ask next: who was asked longest ago, of those members first."""
        first = frozenset(members)
        ranked = sorted(
            peers, key=lambda peer: (self._asked_ms.get(peer, 0), peer not in first, peer)
        )
        return ranked[:count]

    def note(self, peer: NodeId, look: Look | None, now: int) -> None:
        """Keep what a peer answered; silence leaves its last answer as it is."""
        for known in (self._asked_ms, self._of):
            if peer not in known and len(known) >= PEERS_MAX:
                del known[next(iter(known))]
        self._asked_ms.pop(peer, None)
        self._asked_ms[peer] = now
        if look is not None:
            self._of.pop(peer, None)
            self._of[peer] = _Sighting(now, look)

    def seen(self, port: int, now: int, relays: int = 0) -> Seen:
        """Put the answers together."""
        fresh = self._fresh(now)
        tried = [each for each in fresh.values() if each.look.reached is not None]
        saying = [each.look.links for each in fresh.values() if each.look.links is not None]
        return Seen(
            port=port,
            answered=len(fresh),
            tried=len(tried),
            reached=sum(each.look.reached is True for each in tried),
            saying=len(saying),
            linked=sum(any(link.node_id == self._own for link in links) for links in saying),
            age_ms=min((now - each.at_ms for each in fresh.values()), default=None),
            relays=relays,
        )

    def links(self, now: int) -> tuple[LinkTold, ...]:
        """Give the links that peers said they have, the newest word first."""
        found: list[LinkTold] = []
        fresh = sorted(self._fresh(now).items(), key=lambda pair: (-pair[1].at_ms, pair[0]))
        for peer, sighting in fresh:
            for link in sighting.look.links or ():
                if len(found) == LINKS_MAX:
                    return tuple(found)
                told = LinkTold(
                    by=peer.hex(),
                    to=link.node_id.hex(),
                    one_way_us=link.one_way_us,
                    age_ms=now - sighting.at_ms,
                )
                found.append(told)
        return tuple(found)

    def _fresh(self, now: int) -> dict[NodeId, _Sighting]:
        return {peer: each for peer, each in self._of.items() if now - each.at_ms <= KEPT_MS}
