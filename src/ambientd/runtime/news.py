"""News: what the log decided, told to whoever asked; a slow listener loses news, never memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ambientd.node.effect import Told

LISTENERS_MAX = 64
BACKLOG_MAX = 1024


class News:
    """Fans decided events out to the listeners of this daemon."""

    def __init__(self) -> None:
        self._listeners: set[trio.MemorySendChannel[Told]] = set()

    def tell(self, told: Told) -> None:
        """Pass one event to everybody who listens."""
        for listener in list(self._listeners):
            try:
                listener.send_nowait(told)
            except trio.WouldBlock:
                self._listeners.discard(listener)
                listener.close()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[trio.MemoryReceiveChannel[Told]]:
        """Hear everything from now on; the channel ends when this listener is too slow."""
        send, receive = trio.open_memory_channel[Told](BACKLOG_MAX)
        self._listeners.add(send)
        try:
            yield receive
        finally:
            self._listeners.discard(send)
            send.close()
            receive.close()
