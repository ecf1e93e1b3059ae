"""What a transport tells of its peers: who came, who went, and who broke a protocol."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

from ambientd.ports.transport import (
    ConnectionEvent,
    NodeId,
    PeerConnected,
    PeerLost,
    PeerMisbehaved,
)

EVENTS_MAX: Final = 1024
FAULTS_WAITING_MAX: Final = EVENTS_MAX // 2
"""Of them; so no flood of breaches takes the room of who comes and goes."""


class Events:
    """The sending end of the port's `connections`."""

    def __init__(self, start: Callable[..., None]) -> None:
        self._start = start
        self._send, self.received = trio.open_memory_channel[ConnectionEvent](EVENTS_MAX)

    async def connected(self, peer: NodeId) -> None:
        """Tell that a peer answers, once there is room."""
        await self._send.send(PeerConnected(peer))

    def lost(self, peer: NodeId, reason: str) -> None:
        """Tell that a peer is gone, now or once there is room."""
        event = PeerLost(peer, reason)
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            self._start("event_raised", self._send.send, event)
        except trio.BrokenResourceError:
            pass  # nobody listens any more

    def misbehaved(self, peer: NodeId, reason: str) -> None:
        """Tell of a breach if there is room; whoever goes on is told of soon enough."""
        if self._send.statistics().current_buffer_used >= FAULTS_WAITING_MAX:
            return
        with suppress(trio.BrokenResourceError):  # nobody listens any more
            self._send.send_nowait(PeerMisbehaved(peer, reason))
