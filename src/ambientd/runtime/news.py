"""News: what the log decided, and anchors that were sent, told to whoever asked.

A slow listener loses news, never memory.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import trio

from ambientd.node.effect import Told
from ambientd.ports.anchors import AnchorSent

LISTENERS_MAX = 64
BACKLOG_MAX = 1024


@dataclass(frozen=True, slots=True)
class AnchorTold:
    """This node has sent an anchor, which no other node hears of."""

    event: AnchorSent
    time_ms: int


Tidings: TypeAlias = Told | AnchorTold


class News:
    """Fans decided events out to the listeners of this daemon."""

    def __init__(self) -> None:
        self._listeners: set[trio.MemorySendChannel[Tidings]] = set()

    def tell(self, told: Tidings) -> None:
        """Pass one event to everybody who listens."""
        for listener in list(self._listeners):
            try:
                listener.send_nowait(told)
            except trio.WouldBlock:
                self._listeners.discard(listener)
                listener.close()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[trio.MemoryReceiveChannel[Tidings]]:
        """Hear everything from now on; the channel ends when this listener is too slow."""
        send, receive = trio.open_memory_channel[Tidings](BACKLOG_MAX)
        self._listeners.add(send)
        try:
            yield receive
        finally:
            self._listeners.discard(send)
            send.close()
            receive.close()
