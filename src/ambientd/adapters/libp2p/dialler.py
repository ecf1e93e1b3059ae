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
from ambientd.ports.transport import HostPort, NodeId, PeerAddress, TransportOptions

STEADY_S = 10.0
"""A link that lasted this long was no failure."""


class Start(Protocol):
    """Runs a task beside the others; what it raises is counted under `kind`."""

    def __call__(
        self, kind: str, task: Callable[..., Coroutine[Any, Any, object]], *args: object
    ) -> None:
        """Start it."""
        ...


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
        self._tasks: dict[NodeId, tuple[PeerAddress, trio.CancelScope]] = {}
        self._nudges: dict[NodeId, trio.Event] = {}

    def set_peers(self, addresses: Iterable[PeerAddress]) -> None:
        """Replace the peers to keep dialling."""
        me = node_id_of(self._host.get_id())
        wanted = {each.node_id: each for each in addresses if each.node_id != me}
        for peer, (address, scope) in list(self._tasks.items()):
            if wanted.get(peer) != address:
                scope.cancel()
                del self._tasks[peer]
                self._nudges.pop(peer, None)
        for peer, address in sorted(wanted.items()):
            if peer not in self._tasks:
                scope = trio.CancelScope()
                self._tasks[peer] = (address, scope)
                self._start("dialler_raised", self._keep_connected, address, scope)

    def peers(self) -> frozenset[NodeId]:
        """Give the peers being dialled."""
        return frozenset(self._tasks)

    def nudge(self, peer: NodeId) -> None:
        """Tell the peer's task that something has changed."""
        event = self._nudges.pop(peer, None)
        if event is not None:
            event.set()

    async def _keep_connected(self, address: PeerAddress, scope: trio.CancelScope) -> None:
        """Dial whenever the peer is allowed and not connected."""
        peer = address.node_id
        failures = 0
        with scope:
            while True:
                link = self._link_to(peer)
                if link is not None and self._is_up(peer):
                    since_s = trio.current_time()
                    await link.done.wait()
                    failures = 0 if trio.current_time() - since_s > STEADY_S else failures + 1
                elif not self._is_allowed(peer):
                    await self._nudged(peer, math.inf)
                    continue
                elif not connections_to(self._host, peer) and not await self._dial(address):
                    failures += 1
                elif self._is_up(peer) or await self._nudged(peer, self._options.link_deadline_s):
                    continue
                else:
                    failures += 1
                await self._nudged(peer, self._backoff_s(failures))

    def _is_up(self, peer: NodeId) -> bool:
        link = self._link_to(peer)
        return link is not None and link.up.is_set()

    def _backoff_s(self, failures: int) -> float:
        doubled = self._options.backoff_base_s * 2.0 ** min(failures, 32)
        return min(self._options.backoff_max_s, doubled) * (0.5 + self._rng.random())

    async def _dial(self, address: PeerAddress) -> bool:
        at = HostPort(address.host, address.port)
        with trio.move_on_after(self._options.dial_timeout_s):
            try:
                await dial(self._host, peer_id_of(address.node_id), at)
            except NETWORK_ERRORS:
                return False
            return True
        return False

    async def _nudged(self, peer: NodeId, timeout_s: float) -> bool:
        event = self._nudges.setdefault(peer, trio.Event())
        with trio.move_on_after(timeout_s):
            await event.wait()
        return event.is_set()
