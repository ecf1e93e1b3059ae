"""Whose state is brought next: of each maker one at a time, and who was silent after who was not.

Of makers that were silent, the one goes first whose last turn ended first, so that each comes to
its turn whatever others do; and they never take all places, so that nobody else waits for them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import trio

from ambientd.model.base import NodeId


@dataclass(eq=False, slots=True, weakref_slot=True)
class Maker:
    """One who made states; what is known of it is kept while any of them is wanted."""

    is_busy: bool = False
    silent_at: int = 0
    """The number of the turn in which it gave nothing; 0 if it gave something in its last."""


@dataclass(eq=False, slots=True)
class Turn:
    """A place that is waited for, then held."""

    maker: Maker
    is_large: bool
    gave: bool | None = None
    """Whether the maker gave something; None where it had no time to."""

    begins: trio.Event = field(default_factory=trio.Event)


class Turns:
    """Gives places out, some for small states and some for large ones."""

    def __init__(self, small: int, large: int) -> None:
        """Take how many of either may be on their way at once; one is never for the silent."""
        assert min(small, large) > 1, "who was silent would never come to its turn"
        self._free = {False: small, True: large}
        self._makers: WeakValueDictionary[NodeId, Maker] = WeakValueDictionary()
        self._waiting: dict[Turn, None] = {}  # in the order in which they came
        self._ended = 0

    def maker(self, node: NodeId) -> Maker:
        """Give what is known of a maker; for as long as it is held."""
        return self._makers.setdefault(node, Maker())

    @asynccontextmanager
    async def turn(self, maker: Maker, *, is_large: bool) -> AsyncIterator[Turn]:
        """Wait for a maker's turn and hold it; say in it whether the maker gave something."""
        turn = Turn(maker, is_large)
        self._waiting[turn] = None
        self._go_on()
        try:
            await turn.begins.wait()
            yield turn
        finally:
            if turn in self._waiting:
                del self._waiting[turn]
            else:
                self._end(turn)

    def _end(self, turn: Turn) -> None:
        self._ended += 1
        turn.maker.is_busy = False
        if turn.gave is not None:
            turn.maker.silent_at = 0 if turn.gave else self._ended
        self._free[turn.is_large] += 1
        self._go_on()

    def _go_on(self) -> None:
        while ready := [turn for turn in self._waiting if self._may_begin(turn)]:
            turn = min(ready, key=lambda each: each.maker.silent_at)
            del self._waiting[turn]
            turn.maker.is_busy = True
            self._free[turn.is_large] -= 1
            turn.begins.set()

    def _may_begin(self, turn: Turn) -> bool:
        left = 1 if turn.maker.silent_at else 0  # for who was not silent
        return not turn.maker.is_busy and self._free[turn.is_large] > left
