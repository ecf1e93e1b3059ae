"""How peers see this node, asked of some of them for `ambientctl doctor`."""

import statistics

import trio

from ambientd.api.doctor_values import LookedAt, LookRound, Looks
from ambientd.config.options import Config, split_address
from ambientd.model.base import NodeId
from ambientd.runtime.service import Parts

PEERS_ASKED_MAX = 5
FRESH_MS = 10_000
"""For so long peers are not asked again, whoever wants to know; they would dial no sooner."""


class Doctoring:
    """Asks peers."""

    def __init__(self, config: Config, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._turn = trio.Lock()
        self._known: tuple[int, Looks] | None = None

    async def look(self, _: LookRound) -> Looks:
        """Let some peers dial this node's port, and compare clocks and versions with them."""
        async with self._turn:
            if self._known is None or self._parts.now() - self._known[0] >= FRESH_MS:
                found = await self._asked()
                self._known = self._parts.now(), found
            return self._known[1]

    async def _asked(self) -> Looks:
        transport, state = self._parts.transport, self._parts.node.ledger
        advertised = self._config.transport.advertise
        port = split_address(advertised)[1] if advertised else transport.address.port
        members = set(state.members)
        peers = sorted(transport.peers(), key=lambda peer: (peer not in members, peer))
        found: list[LookedAt] = []

        async def ask(peer: bytes) -> None:
            look = await transport.look(NodeId(peer), port)
            if look is not None:
                found.append(
                    LookedAt(
                        node=peer.hex(),
                        reached=look.reached,
                        clock_ms=look.clock_ms,
                        version=look.version,
                    )
                )

        async with trio.open_nursery() as nursery:
            for peer in peers[:PEERS_ASKED_MAX]:
                nursery.start_soon(ask, peer)
        clocks = [each.clock_ms for each in found]
        return Looks(
            port=port,
            asked=min(len(peers), PEERS_ASKED_MAX),
            peers=tuple(sorted(found, key=lambda each: each.node)),
            clock_ms=round(statistics.median(clocks)) if clocks else None,
            block_ms=state.meta.time_ms - self._parts.now(),
        )
