"""Each maker comes to its turn, one state at a time, and who was silent holds up nobody else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from ambientd.model.base import NodeId
from ambientd.runtime.turns import Turns

A, B, C, D = (NodeId(letter * 32) for letter in (b"a", b"b", b"c", b"d"))


class Bench:
    """Turns that are held until the test ends them."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.turns = Turns(small=4, large=2)
        self.makers = {node: self.turns.maker(node) for node in (A, B, C, D)}
        self.under_way: set[str] = set()
        self._nursery = nursery
        self._ends: dict[str, trio.Event] = {}
        self._gave: dict[str, bool | None] = {}
        self._scopes: dict[str, trio.CancelScope] = {}

    async def ask(self, name: str, node: NodeId, *, is_large: bool = True) -> None:
        """Have one more wait for its turn."""
        self._nursery.start_soon(self._hold, name, node, is_large)
        await trio.testing.wait_all_tasks_blocked()

    async def end(self, name: str, gave: bool | None) -> None:
        """End a turn."""
        self._gave[name] = gave
        self._ends[name].set()
        await trio.testing.wait_all_tasks_blocked()

    async def leave(self, name: str) -> None:
        """Have one leave, in its turn or before."""
        self._scopes[name].cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def _hold(self, name: str, node: NodeId, is_large: bool) -> None:
        self._ends[name] = trio.Event()
        with trio.CancelScope() as self._scopes[name]:
            async with self.turns.turn(self.makers[node], is_large=is_large) as turn:
                self.under_way.add(name)
                try:
                    await self._ends[name].wait()
                    turn.gave = self._gave[name]
                finally:
                    self.under_way.remove(name)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        yield Bench(nursery)
        nursery.cancel_scope.cancel()


async def test_of_each_maker_one_is_under_way_and_of_all_as_many_as_there_are_places() -> None:
    async with bench() as place:
        await place.ask("a1", A)
        await place.ask("a2", A, is_large=False)
        await place.ask("b", B)
        await place.ask("c", C)
        await place.ask("d", D, is_large=False)
        assert place.under_way == {"a1", "b", "d"}
        await place.end("a1", gave=True)
        assert place.under_way == {"b", "d", "a2", "c"}


async def test_who_was_silent_comes_after_who_was_not_and_leaves_a_place_free() -> None:
    async with bench() as place:
        for name, node in (("a1", A), ("b1", B)):
            await place.ask(name, node)
            await place.end(name, gave=False)
        await place.ask("a2", A)
        await place.ask("b2", B)
        assert place.under_way == {"a2"}, "one place stays for others"
        await place.ask("c1", C)
        await place.ask("d1", D)
        assert place.under_way == {"a2", "c1"}
        await place.end("a2", gave=False)
        assert place.under_way == {"c1", "d1"}, "who came later was not silent"
        await place.end("c1", gave=True)
        assert place.under_way == {"d1"}
        await place.end("d1", gave=True)
        assert place.under_way == {"b2"}


async def test_of_the_silent_each_comes_to_its_turn_whatever_others_ask_for() -> None:
    async with bench() as place:
        for name, node in (("a0", A), ("b0", B)):
            await place.ask(name, node)
            await place.end(name, gave=False)
        for number in range(1, 6):
            await place.ask(f"b{number}", B)
        await place.ask("a1", A)
        await place.end("b1", gave=False)
        assert place.under_way == {"a1"}, "its last turn was before the other's"


async def test_who_gives_again_is_silent_no_longer() -> None:
    async with bench() as place:
        for name, gave in (("a1", False), ("a2", True)):
            await place.ask(name, A)
            await place.end(name, gave=gave)
        await place.ask("b", B)
        await place.ask("a3", A)
        assert place.under_way == {"b", "a3"}


async def test_who_had_no_time_to_give_anything_stays_what_it_was() -> None:
    async with bench() as place:
        await place.ask("a1", A)
        await place.end("a1", gave=None)
        await place.ask("b", B)
        await place.ask("a2", A)
        assert place.under_way == {"b", "a2"}


async def test_who_leaves_holds_no_place() -> None:
    async with bench() as place:
        for name, node in (("a", A), ("b", B), ("c", C), ("d", D)):
            await place.ask(name, node)
        await place.leave("c")
        assert place.under_way == {"a", "b"}
        await place.leave("a")
        assert place.under_way == {"b", "d"}
