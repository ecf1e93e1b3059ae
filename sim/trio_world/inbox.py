"""Frames on their way to whoever reads them, in the order in which they came."""

from collections import deque
from collections.abc import Callable

import trio

from ambientd.ports.transport import NodeId


class Inbox:
    """A queue with a bound, and a line before it of what found no room."""

    def __init__(self, frames_max: int) -> None:
        self._send, self.frames = trio.open_memory_channel[tuple[NodeId, bytes]](frames_max)
        self._waiting: deque[tuple[NodeId, bytes, Callable[[], None]]] = deque()

    def put(self, peer: NodeId, frame: bytes, credit: Callable[[], None]) -> bool:
        """Take a frame in; `credit` once it has room. False: `unpack` has to be started for it."""
        if not self._waiting:
            try:
                self._send.send_nowait((peer, frame))
            except trio.WouldBlock:
                pass
            else:
                credit()
                return True
        self._waiting.append((peer, frame, credit))
        return False

    async def unpack(self) -> None:
        """Bring the next frame that found no room to who reads, when who reads gets there."""
        peer, frame, credit = self._waiting.popleft()
        await self._send.send((peer, frame))
        credit()
