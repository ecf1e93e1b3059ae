"""What happens, for many callers at once: one listener, one ring, a place in it for each caller.

An event is encoded once, however many follow. A caller that comes back names the last event it
has seen and hears what it missed, as far as the ring reaches; one that is slower than the ring is
told so and let go.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import trio

from ambientd.api.naming import NAME_CHARS_MIN
from ambientd.api.operations import OperationError
from ambientd.api.replies import Event
from ambientd.api.requests import FollowEvents

EVENTS_KEPT = 4096
PIECE_EVENTS = 256
QUIET_S = 15.0
AGAIN_S = 0.1
_STILL_HERE = b": still here\n\n"

Follow = Callable[[FollowEvents], Any]


class Feed:
    """The newest events, numbered; `life` tells the numbers of one start from another's.

    `told` hears the kind of each event.
    """

    def __init__(
        self, follow: Follow, life: str, followers_max: int, told: Callable[[str], None]
    ) -> None:
        self._follow = follow
        self._life = life
        self._followers_max = followers_max
        self._told = told
        self._followers = 0
        self._ring: list[tuple[str, bytes]] = []
        self._next = 0
        self._changed = trio.Event()

    async def run(self) -> None:
        """Fill the ring until cancelled; where news was lost, those who follow are let go."""
        while True:
            async with aclosing(self._follow(FollowEvents())) as events:
                async for event in events:
                    self._keep(event)
            self._next += EVENTS_KEPT  # a gap that no place in the ring survives
            self._ring.clear()
            self._wake()
            await trio.sleep(AGAIN_S)

    def _keep(self, event: Event) -> None:
        self._told(event.kind)
        data = msgspec.json.encode(event)
        text = b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (
            self._life.encode(),
            self._next,
            event.kind.encode(),
            data,
        )
        self._ring.append((str(event.fields.get("task") or ""), text))
        self._next += 1
        if len(self._ring) >= 2 * EVENTS_KEPT:  # in one stroke, instead of one by one
            del self._ring[:EVENTS_KEPT]
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def follow(
        self, request: FollowEvents, last_seen: str, may_follow: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """Give the events as text, as long as a caller may; raise OperationError if it may not."""
        for task in request.tasks:
            if len(task) < NAME_CHARS_MIN or task.lower().strip("0123456789abcdef"):
                hint = f"give the first {NAME_CHARS_MIN} digits of its id, or more"
                raise OperationError("invalid", f"{task!r} is not the id of a task", hint)
        if self._followers >= self._followers_max:
            msg = f"{self._followers} callers follow events already"
            raise OperationError("busy", msg, "try again, or raise [http] streams_max")
        return self._pieces(tuple(map(str.lower, request.tasks)), last_seen, may_follow)

    async def _pieces(
        self, tasks: tuple[str, ...], last_seen: str, may_follow: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        self._followers += 1
        try:
            place = self._place_after(last_seen)
            yield _STILL_HERE
            while place is not None:
                if not may_follow():
                    return
                changed, found = self._changed, self._since(place)
                if found is None:
                    break
                place += len(found)
                text = b"".join(each for task, each in found if not tasks or task.startswith(tasks))
                if text:
                    yield text
                elif not found:
                    with trio.move_on_after(QUIET_S) as quiet:
                        await changed.wait()
                    if quiet.cancelled_caught:
                        yield _STILL_HERE
            yield b"event: lost\ndata: {}\n\n"
        finally:
            self._followers -= 1

    def _place_after(self, last_seen: str) -> int | None:
        """Give where a caller goes on; None when what it missed is no more here."""
        if not last_seen:
            return self._next
        life, _, number = last_seen.rpartition("-")
        is_ours = life == self._life and number.isascii() and number.isdigit() and len(number) < 19
        if not is_ours or int(number) >= self._next:
            return None
        return int(number) + 1

    def _since(self, place: int) -> list[tuple[str, bytes]] | None:
        start = place - (self._next - len(self._ring))
        return None if start < 0 else self._ring[start : start + PIECE_EVENTS]
