"""Whom to dial and when: every known peer, for ever, with back-off and jitter."""

import math
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

import trio

from ambientd.adapters.libp2p.foreign import Host
from ambientd.adapters.libp2p.host import connections_to, dial
from ambientd.adapters.libp2p.identity import node_id_of, peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS, Link
from ambientd.config.options import is_loopback
from ambientd.ports.discovery import ADDRESSES_MAX, Whereabouts
from ambientd.ports.transport import HostPort, NodeId, PeerAddress, TransportOptions

STEADY_S = 10.0
"""A link that lasted this long was no failure."""

FOUND_MAX = 64
"""So many peers are dialled that nobody has configured, however many names one joins under."""

FOUND_TRIES_MAX = 20
"""After so many failures in a row a peer that was found makes room."""


class Start(Protocol):
    """Runs a task beside the others; what it raises is counted under `kind`."""

    def __call__(
        self, kind: str, task: Callable[..., Coroutine[Any, Any, object]], *args: object
    ) -> None:
        """Start it."""
        ...


class _Place:
    """Where a peer may be: what its operator configured, and what the peer has said since."""

    def __init__(self, configured: HostPort | None) -> None:
        self.configured = configured
        self.said: tuple[HostPort, ...] = ()
        self.number = -1
        self.is_news = False
        self.scope = trio.CancelScope()
        self.dialling = trio.CancelScope()
        self._turn = 0

    def known(self) -> list[HostPort]:
        """Give all places, the configured one first."""
        own = [] if self.configured is None else [self.configured]
        return own + [each for each in self.said if each != self.configured]

    def next(self) -> HostPort | None:
        """Give where it was found last, or else one after the other."""
        known = self.known()
        return known[self._turn % len(known)] if known else None

    def failed(self) -> None:
        """Try another the next time."""
        self._turn += 1

    def hear(self, said: tuple[HostPort, ...], number: int) -> bool:
        """Take what the peer says in place of what it said; tell whether that is news."""
        is_news = said != self.said
        self.said, self.number = said, number
        if is_news:
            self._turn = 0 if self.configured is None or self.configured in said else 1
            self.is_news = True
            self.dialling.cancel()
        return is_news


class Dialler:
    """Keeps one dialling task a known peer."""

    def __init__(
        self,
        host: Host,
        options: TransportOptions,
        rng: random.Random,
        *,
        is_allowed: Callable[[NodeId], bool],
        link_to: Callable[[NodeId], Link | None],
        start: Start,
    ) -> None:
        self._host = host
        self._options = options
        self._rng = rng
        self._is_allowed = is_allowed
        self._link_to = link_to
        self._start = start
        self._places: dict[NodeId, _Place] = {}
        self._nudges: dict[NodeId, trio.Event] = {}

    def set_peers(self, addresses: Iterable[PeerAddress]) -> None:
        """Replace the peers to keep dialling; those that were found stay."""
        me = node_id_of(self._host.get_id())
        wanted = {each.node_id: HostPort(each.host, each.port) for each in addresses}
        wanted.pop(me or b"", None)
        for peer, place in list(self._places.items()):
            if place.configured is not None and wanted.get(peer) != place.configured:
                self._leave(peer)
        for peer, configured in sorted(wanted.items()):
            if peer not in self._places:
                self._dial_for_ever(peer, _Place(configured))
            else:
                self._places[peer].configured = configured

    def learn(self, where: Whereabouts) -> None:
        """Dial a member where it says to be; what it said before, it has taken back."""
        place = self._places.get(where.node_id)
        said = tuple(each for each in where.addresses[:ADDRESSES_MAX] if self._may_dial(each))
        if not said or not self._is_allowed(where.node_id):
            return
        if place is None:
            if self._found() >= FOUND_MAX:
                return
            place = _Place(None)
        elif where.number <= place.number:
            return
        is_news = place.hear(said, where.number)
        if where.node_id not in self._places:
            self._dial_for_ever(where.node_id, place)
        elif is_news:
            self.nudge(where.node_id)

    def forget(self, peer: NodeId) -> None:
        """Drop what a peer has said that is no longer allowed."""
        place = self._places.get(peer)
        if place is not None and place.configured is None:
            self._leave(peer)
        elif place is not None:
            place.said, place.number = (), -1

    def _may_dial(self, at: HostPort) -> bool:
        """Keep this machine's own services from being dialled at a member's word."""
        mine = self._options.listen.host
        return not is_loopback(at.host) or is_loopback(mine)

    def _found(self) -> int:
        return sum(place.configured is None for place in self._places.values())

    def _leave(self, peer: NodeId) -> None:
        self._places.pop(peer).scope.cancel()
        self._nudges.pop(peer, None)

    def _dial_for_ever(self, peer: NodeId, place: _Place) -> None:
        self._places[peer] = place
        self._start("dialler_raised", self._keep_connected, peer, place)

    def peers(self) -> frozenset[NodeId]:
        """Give the peers being dialled."""
        return frozenset(self._places)

    def nudge(self, peer: NodeId) -> None:
        """Tell the peer's task that something has changed."""
        event = self._nudges.pop(peer, None)
        if event is not None:
            event.set()

    async def _keep_connected(self, peer: NodeId, place: _Place) -> None:
        """Dial whenever the peer is allowed and not connected."""
        failures = 0
        with place.scope:
            while True:
                link = self._link_to(peer)
                if link is not None and self._is_up(peer):
                    since_s = trio.current_time()
                    await link.done.wait()
                    failures = 0 if trio.current_time() - since_s > STEADY_S else failures + 1
                elif not self._is_allowed(peer):
                    await self._nudged(peer, math.inf)
                    continue
                elif not connections_to(self._host, peer) and not await self._dial(peer, place):
                    failures += 1
                    if place.configured is None and failures >= FOUND_TRIES_MAX:
                        self._leave(peer)  # for another that is found
                        return
                elif self._is_up(peer) or await self._has_come(peer):
                    continue
                else:
                    failures += 1
                if not place.is_news:
                    await self._nudged(peer, self._backoff_s(failures))
                if place.is_news:
                    place.is_news, failures = False, 0

    async def _has_come(self, peer: NodeId) -> bool:
        """Wait for a link, while there is a connection that it could come by."""
        is_nudged = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_alone, peer, nursery.cancel_scope)
            is_nudged = await self._nudged(peer, self._options.link_deadline_s)
            nursery.cancel_scope.cancel()
        return is_nudged

    async def _cancel_when_alone(self, peer: NodeId, waiting: trio.CancelScope) -> None:
        """End the wait for a peer that lets go, such as one that has no room for now."""
        for connection in list(connections_to(self._host, peer)):
            await connection.event_closed.wait()
        waiting.cancel()

    def _is_up(self, peer: NodeId) -> bool:
        link = self._link_to(peer)
        return link is not None and link.up.is_set()

    def _backoff_s(self, failures: int) -> float:
        doubled = self._options.backoff_base_s * 2.0 ** min(failures, 32)
        return min(self._options.backoff_max_s, doubled) * (0.5 + self._rng.random())

    async def _dial(self, peer: NodeId, place: _Place) -> bool:
        at = place.next()
        place.dialling = trio.CancelScope()
        with place.dialling, trio.move_on_after(self._options.dial_timeout_s):
            try:
                if at is not None:
                    await dial(self._host, peer_id_of(peer), at)
                    return True
            except NETWORK_ERRORS:
                pass
        if not place.is_news:
            place.failed()
        return False

    async def _nudged(self, peer: NodeId, timeout_s: float) -> bool:
        event = self._nudges.setdefault(peer, trio.Event())
        with trio.move_on_after(timeout_s):
            await event.wait()
        return event.is_set()
