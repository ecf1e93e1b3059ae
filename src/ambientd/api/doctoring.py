"""How peers see this node and their links: asked in turn, and for whoever wants to know."""

import re
import statistics

import trio

from ambientd.api.doctor_values import LookedAt, LookRound, Looks
from ambientd.api.paging import check_place, page
from ambientd.api.seen_values import LinksTold, LinkTold, ListLinks, Seen
from ambientd.api.sightings import Sightings
from ambientd.config.options import Config, split_address
from ambientd.model.base import NodeId
from ambientd.ports.transport import Look
from ambientd.runtime.service import Parts

PEERS_ASKED_MAX = 5
FRESH_MS = 10_000
"""For so long peers are not asked again, whoever wants to know; they would dial no sooner."""
FIRST_S = 5.0
EVERY_S = 60.0

_PLACE = re.compile(r"[0-9a-f]{128}")


class Doctoring:
    """Asks peers."""

    def __init__(self, own: NodeId, config: Config, parts: Parts) -> None:
        self._own = own
        self._config = config
        self._parts = parts
        self._turn = trio.Lock()
        self._known: tuple[int, Looks] | None = None
        self._sightings = Sightings(own)

    async def run(self) -> None:
        """Ask some peers each minute, until cancelled, so that `status` knows without asking."""
        await trio.sleep(FIRST_S)
        while True:
            await self.look(LookRound())
            await trio.sleep(EVERY_S)

    async def look(self, _: LookRound) -> Looks:
        """Let some peers dial this node's port, and compare clocks and versions with them."""
        async with self._turn:
            if self._known is None or self._parts.now() - self._known[0] >= FRESH_MS:
                found = await self._asked()
                self._known = self._parts.now(), found
            return self._known[1]

    def seen(self) -> Seen:
        """Give what peers lately said of this node."""
        return self._sightings.seen(self._port(), self._parts.now(), self._parts.relays())

    async def links(self, request: ListLinks) -> LinksTold:
        """List this node's links, and those that peers lately told, by the nodes' ids."""
        check_place(request.after, _PLACE)
        transport = self._parts.transport
        ways = {peer: transport.round_trip_ms(peer) for peer in sorted(transport.peers())}
        own = tuple(
            LinkTold(
                by=self._own.hex(),
                to=peer.hex(),
                one_way_us=None if way_ms is None else int(way_ms * 500),
                age_ms=0,
            )
            for peer, way_ms in ways.items()
        )
        told = self._sightings.links(self._parts.now())
        found, following = page(own + told, _by_ends, request.limit, request.after)
        return LinksTold(self_id=self._own.hex(), links=tuple(found), next=following)

    def _port(self) -> int:
        """Give the port that peers are told of."""
        advertised = self._config.transport.advertise
        return split_address(advertised)[1] if advertised else self._parts.transport.address.port

    async def _asked(self) -> Looks:
        transport, state, port = self._parts.transport, self._parts.node.ledger, self._port()
        peers = [NodeId(peer) for peer in transport.peers()]
        chosen = self._sightings.turn(peers, state.members, PEERS_ASKED_MAX)
        found: list[tuple[NodeId, Look]] = []

        async def ask(peer: NodeId) -> None:
            look = await transport.look(peer, port)
            self._sightings.note(peer, look, self._parts.now())
            if look is not None:
                found.append((peer, look))

        async with trio.open_nursery() as nursery:
            for peer in chosen:
                nursery.start_soon(ask, peer)
        clocks = [look.clock_ms for _, look in found]
        return Looks(
            port=port,
            asked=len(chosen),
            peers=tuple(_looked_at(peer, look) for peer, look in sorted(found, key=_by_peer)),
            clock_ms=round(statistics.median(clocks)) if clocks else None,
            block_ms=state.meta.time_ms - self._parts.now(),
            relays=self._parts.relays(),
        )


def _by_ends(link: LinkTold) -> str:
    return link.by + link.to


def _by_peer(answer: tuple[NodeId, Look]) -> NodeId:
    return answer[0]


def _looked_at(peer: NodeId, look: Look) -> LookedAt:
    return LookedAt(
        node=peer.hex(), reached=look.reached, clock_ms=look.clock_ms, version=look.version
    )
