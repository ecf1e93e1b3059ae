"""What comes from above in a trio world: happenings and arrivals, each at its time."""

import heapq
from collections.abc import Callable

import trio


def now_ms() -> int:
    """Give the virtual time."""
    return round(trio.current_time() * 1000)


class Sky:
    """One heap of deeds, and one coroutine that does each when it is time."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._news: trio.Event | None = None

    def at(self, time_ms: int, deed: Callable[[], None]) -> None:
        """Do something at a time, after what was to be done then before."""
        self._sequence += 1
        heapq.heappush(self._heap, (time_ms, self._sequence, deed))
        if self._news is not None and self._heap[0][1] == self._sequence:
            self._news.set()

    async def run(self, until_ms: int) -> None:
        """Do all that is to be done up to a time, and return then."""
        while now_ms() < until_ms or (self._heap and self._heap[0][0] <= until_ms):
            next_ms = min(self._heap[0][0], until_ms) if self._heap else until_ms
            if next_ms > now_ms():
                self._news = trio.Event()
                with trio.move_on_at(next_ms / 1000):
                    await self._news.wait()
                self._news = None
                continue
            if not self._heap or self._heap[0][0] > until_ms:
                break
            heapq.heappop(self._heap)[2]()
