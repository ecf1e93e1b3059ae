"""Places for what is large and comes in slowly: who is slow gives its place to whoever waits."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import trio

from ambientd.api.operations import OperationError

GRACE_S = 10.0
FAIR_BYTES_A_SECOND = 256 * 1024
_LOOK_S = 1.0


class Berth:
    """One place, and how much came in through it."""

    def __init__(self, begun_s: float) -> None:
        self.scope = trio.CancelScope()
        self._begun_s = begun_s
        self._size_bytes = 0

    async def counted(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Give the pieces on, and count them."""
        async for piece in pieces:
            self._size_bytes += len(piece)
            yield piece

    def rate(self, now_s: float) -> float | None:
        """Give the bytes a second so far; None while it is too early to tell."""
        lasts_s = now_s - self._begun_s
        return self._size_bytes / lasts_s if lasts_s > GRACE_S else None


class Berths:
    """So many places. While one is free nobody is too slow; once none is, the slowest goes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: list[Berth] = []

    @asynccontextmanager
    async def take(self, wait_s: float) -> AsyncIterator[Berth]:
        """Hold a place for the block; raise OperationError if there is none, or if it is lost."""
        await self._wait(trio.current_time() + wait_s)
        berth = Berth(trio.current_time())
        self._taken.append(berth)
        try:
            with berth.scope:
                yield berth
        finally:
            if berth in self._taken:
                self._taken.remove(berth)
        if berth.scope.cancelled_caught:
            msg = "others waited, and this came in too slowly to keep its place"
            rate = FAIR_BYTES_A_SECOND // 1024
            raise OperationError("busy", msg, f"try again at {rate} KiB/s or more, or later")

    async def _wait(self, until_s: float) -> None:
        while len(self._taken) >= self._most and not self._let_go():
            left_s = until_s - trio.current_time()
            if left_s <= 0:
                msg = f"{self._most} large bodies are being brought already"
                raise OperationError("busy", msg, "try again, or raise [http] bodies_at_once_max")
            await trio.sleep(min(_LOOK_S, left_s))

    def _let_go(self) -> bool:
        """Take its place from the slowest, if it is slower than is fair."""
        now_s = trio.current_time()
        known = [(rate, each) for each in self._taken if (rate := each.rate(now_s)) is not None]
        rate, slowest = min(known, key=lambda each: each[0], default=(None, None))
        if slowest is None or rate is None or rate >= FAIR_BYTES_A_SECOND:
            return False
        self._taken.remove(slowest)
        slowest.scope.cancel()
        return True
