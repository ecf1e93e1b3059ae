"""Trio without chance: a virtual clock, an order of coroutines that a seed gives, no threads.

Coroutines that can run at the same moment are put in the order of their birth and then shuffled
by the seed (the switch that trio has for property tests), and the clock jumps as soon as all of
them wait. What the runtime would do in a thread is done in place: a thread ends when it likes.
"""

import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import trio
import trio.testing
from trio._core import _run as scheduler

from sim.mutants.patch import Patch, replaced

CRITICAL = 50  # which no node ever logs


async def in_place(function: Callable[..., Any], *arguments: object, **_: object) -> Any:  # noqa: ANN401  # as trio has it
    """Do in this thread, at once, what would have been done in another."""
    await trio.lowlevel.checkpoint()
    return function(*arguments)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    sorted_first = Patch(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", lambda _: True)
    drawn = Patch(scheduler, "_r", lambda _: random.Random(seed))
    threadless = Patch(trio.to_thread, "run_sync", lambda _: in_place)
    with replaced(sorted_first), replaced(drawn), replaced(threadless):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Let nodes log nothing: the trace tells what happened."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def run_seeded(main: Callable[[], Awaitable[None]], seed: int) -> None:
    """Run a coroutine to its end; the same seed runs it the same way."""
    with _seeded(seed), _quiet():
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
