"""News: what the log decided, and anchors that were sent, told to whoever asked.

A slow listener loses news, never memory.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import trio

from ambientd.model.base import TaskId
from ambientd.node.effect import Told
from ambientd.node.event import TaskTakenBack
from ambientd.ports.anchors import AnchorSent

LISTENERS_MAX = 64
BACKLOG_MAX = 1024


OwnEvent: TypeAlias = AnchorSent | TaskTakenBack


@dataclass(frozen=True, slots=True)
class OwnTold:
    """This node has sent an anchor or let go of a task of its own, which no other node hears of."""

    event: OwnEvent
    time_ms: int


Tidings: TypeAlias = Told | OwnTold
Wanted: TypeAlias = Callable[[Tidings], bool]


def is_anything(_told: Tidings) -> bool:
    """Want all news."""
    return True


def is_about_a_task(told: Tidings) -> bool:
    """Tell whether an event names a task."""
    return getattr(told.event, "task", None) is not None


def of_no_other(task: TaskId) -> Wanted:
    """Give what wants news of one task, and of what is about none.

    Else all who wait for a task of theirs are woken for everybody's.
    """
    return lambda told: getattr(told.event, "task", None) in (task, None)


class News:
    """Fans decided events out to the listeners of this daemon."""

    def __init__(self) -> None:
        self._listeners: dict[trio.MemorySendChannel[Tidings], Wanted] = {}

    def tell(self, told: Tidings) -> None:
        """Pass one event to everybody who listens."""
        for listener, is_wanted in list(self._listeners.items()):
            if not is_wanted(told):
                continue
            try:
                listener.send_nowait(told)
            except trio.WouldBlock:
                del self._listeners[listener]
                listener.close()

    @asynccontextmanager
    async def listen(
        self, is_wanted: Wanted = is_anything
    ) -> AsyncIterator[trio.MemoryReceiveChannel[Tidings]]:
        """Hear what is wanted from now on; the channel ends when this listener is too slow."""
        send, receive = trio.open_memory_channel[Tidings](BACKLOG_MAX)
        self._listeners[send] = is_wanted
        try:
            yield receive
        finally:
            self._listeners.pop(send, None)
            send.close()
            receive.close()
