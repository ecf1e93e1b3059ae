"""Answers that may be large: few at once, and who takes its own slowly gives way to who waits."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import trio

from ambientd.api.berths import FAIR_BYTES_A_SECOND, GRACE_S
from ambientd.api.operations import OperationError
from ambientd.ports.http import CallerGoneError, HttpAnswer

AT_ONCE = 8
_LOOK_S = 1.0
_PIECE_BYTES = 64 * 1024


class Downloads:
    """So many places, each held from before an answer is made until its caller has it."""

    def __init__(self, most: int = AT_ONCE) -> None:
        self._most = most
        self._free = trio.Semaphore(most)
        self._taken: list[Download] = []

    async def take(self, wait_s: float) -> "Download":
        """Hold a place until its `end`; raise OperationError if there is none in time."""
        until_s = trio.current_time() + wait_s
        while (left_s := until_s - trio.current_time()) > 0:
            with trio.move_on_after(min(_LOOK_S, left_s)):
                await self._free.acquire()
                download = Download(self)
                self._taken.append(download)
                return download
            self._let_go()
        msg = f"{self._most} callers are being sent something large"
        raise OperationError("busy", msg, "try again")

    def _let_go(self) -> None:
        """Take its place from the slowest, if it is slower than is fair."""
        now_s = trio.current_time()
        known = [(rate, each) for each in self._taken if (rate := each.rate(now_s)) is not None]
        rate, slowest = min(known, key=lambda each: each[0], default=(None, None))
        if slowest is not None and rate is not None and rate < FAIR_BYTES_A_SECOND:
            self.leave(slowest)

    def leave(self, download: "Download") -> None:
        """Give a place back, once."""
        if download in self._taken:
            self._taken.remove(download)
            self._free.release()

    def holds(self, download: "Download") -> bool:
        """Tell whether a download still has its place."""
        return download in self._taken


class Download:
    """One place, and how much of its answer was taken."""

    def __init__(self, places: Downloads) -> None:
        self._places = places
        self._begun_s: float | None = None
        self._sent_bytes = 0

    def end(self) -> None:
        """Give the place back."""
        self._places.leave(self)

    def answer(self, status: int, body: bytes, headers: list[tuple[str, str]]) -> HttpAnswer:
        """Give an answer that is sent as long as this has its place; a small one needs none."""
        if len(body) <= _PIECE_BYTES:
            self.end()
            return HttpAnswer(status, body, headers)
        return self.stream(status, _cut(body), len(body), headers)

    def stream(
        self,
        status: int,
        source: AsyncGenerator[bytes, None],
        size_bytes: int,
        headers: list[tuple[str, str]],
    ) -> HttpAnswer:
        """Give an answer of so many bytes that is made as it is sent, while this has its place."""
        size = ("content-length", str(size_bytes))
        return HttpAnswer(status, self._counted(source), [*headers, size], sent=self.end)

    async def _counted(self, source: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        self._begun_s = trio.current_time()
        async with aclosing(source):
            async for data in source:
                for piece in _pieces(data):
                    if not self._places.holds(self):
                        raise CallerGoneError
                    yield piece
                    self._sent_bytes += len(piece)

    def rate(self, now_s: float) -> float | None:
        """Give the bytes a second so far; None while it is too early to tell."""
        lasts_s = 0.0 if self._begun_s is None else now_s - self._begun_s
        return self._sent_bytes / lasts_s if lasts_s > GRACE_S else None


async def _cut(body: bytes) -> AsyncGenerator[bytes, None]:
    for piece in _pieces(body):
        yield piece


def _pieces(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(0, len(view), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])
