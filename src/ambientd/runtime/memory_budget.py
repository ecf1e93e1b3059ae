"""Memory lent in the order of asking, so that all that runs at once fits the machine."""

import contextlib
from collections import deque
from collections.abc import AsyncIterator

import trio


class MemoryBudget:
    """So many bytes; whoever asks first is served first, however much others would fit before."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.free_bytes = total_bytes
        self._waiting: deque[tuple[int, trio.Event]] = deque()

    @contextlib.asynccontextmanager
    async def reserve(self, size_bytes: int) -> AsyncIterator[None]:
        """Hold this much, at most the whole budget, for the length of the block."""
        await self._take(size_bytes)
        try:
            yield
        finally:
            self._give(size_bytes)

    async def _take(self, size_bytes: int) -> None:
        assert size_bytes <= self.total_bytes, "would wait for ever"
        if not self._waiting and size_bytes <= self.free_bytes:
            self.free_bytes -= size_bytes
            return
        turn = trio.Event()
        entry = (size_bytes, turn)
        self._waiting.append(entry)
        try:
            await turn.wait()
        except trio.Cancelled:
            if turn.is_set():
                self._give(size_bytes)
            else:
                self._waiting.remove(entry)
                self._serve()  # the one behind may fit
            raise

    def _give(self, size_bytes: int) -> None:
        self.free_bytes += size_bytes
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free_bytes:
            size_bytes, turn = self._waiting.popleft()
            self.free_bytes -= size_bytes
            turn.set()
