"""Memory lent in the order of asking, so that all that runs at once fits the machine."""

import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import trio


@dataclass(slots=True, eq=False)
class _Loan:
    """So much for one who asks; less than asked for when the budget has shrunk below that."""

    size_bytes: int
    turn: trio.Event = field(default_factory=trio.Event)


class MemoryBudget:
    """So many bytes; whoever asks first is served first, however much others would fit before."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.free_bytes = total_bytes
        self._waiting: deque[_Loan] = deque()

    @contextlib.asynccontextmanager
    async def reserve(self, size_bytes: int) -> AsyncIterator[None]:
        """Hold this much, at most the whole budget, for the length of the block."""
        loan = _Loan(min(size_bytes, self.total_bytes))
        await self._take(loan)
        try:
            yield
        finally:
            self._give(loan)

    def resize(self, total_bytes: int) -> None:
        """Lend so much from now on; what is lent already comes back in its own time."""
        self.free_bytes += total_bytes - self.total_bytes
        self.total_bytes = total_bytes
        for loan in self._waiting:
            loan.size_bytes = min(loan.size_bytes, total_bytes)  # else it would wait for ever
        self._serve()

    async def _take(self, loan: _Loan) -> None:
        if not self._waiting and loan.size_bytes <= self.free_bytes:
            self.free_bytes -= loan.size_bytes
            return
        self._waiting.append(loan)
        try:
            await loan.turn.wait()
        except trio.Cancelled:
            if loan.turn.is_set():
                self._give(loan)
            else:
                self._waiting.remove(loan)
                self._serve()  # the one behind may fit
            raise

    def _give(self, loan: _Loan) -> None:
        self.free_bytes += loan.size_bytes
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0].size_bytes <= self.free_bytes:
            loan = self._waiting.popleft()
            self.free_bytes -= loan.size_bytes
            loan.turn.set()
