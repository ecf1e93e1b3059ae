"""In a crew that rests, whoever lies idle ends, and whoever is lent its place waits for a start."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from ambientd.errors import ConfigError
from ambientd.runtime.worker_crew import WorkerCrew
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.worker_process import WorkerProcess
from tests.runtime.pools import echo_works, pool_of

SIZE = 2


@asynccontextmanager
async def resting_crew(size: int = SIZE) -> AsyncIterator[WorkerCrew]:
    async with trio.open_nursery() as nursery:
        crew = WorkerCrew(WorkerPoolOptions(rests=True), nursery, None, size=size, uses_max=1_000)
        assert await crew.open() is None
        try:
            yield crew
        finally:
            with trio.CancelScope(shield=True):
                await crew.close()
            nursery.cancel_scope.cancel()


async def until_resting(crew: WorkerCrew) -> None:
    with trio.fail_after(60):
        while crew.pids:
            crew.look_after_idle()
            await trio.sleep(0.01)


def check_places(crew: WorkerCrew, size: int = SIZE) -> None:
    """Every place is free, none is lost, and none is there twice."""
    assert crew._free.value == size == len(crew._idle) + crew._resting


async def test_it_begins_with_one_ends_who_lies_idle_and_starts_who_is_lent() -> None:
    async with resting_crew() as crew:
        assert len(crew.pids) == 1
        assert crew.hello is not None
        crew.look_after_idle()  # not lent since it started, but seen for the first time
        await until_resting(crew)
        check_places(crew)
        async with crew.lend() as first, crew.lend() as second:
            assert crew.pids == tuple(sorted((first.pid, second.pid)))
            crew.look_after_idle()
            assert len(crew.pids) == SIZE, "who works is left alone"
        crew.look_after_idle()
        assert len(crew.pids) == SIZE, "who has worked since the last look is, too"
        await until_resting(crew)
        check_places(crew)


async def test_one_who_gives_up_while_a_process_starts_leaves_the_place_to_others() -> None:
    async with resting_crew() as crew:
        await until_resting(crew)
        for patience_s in (0.0, 0.001, 0.02):
            with trio.move_on_after(patience_s):
                async with crew.lend():
                    pass
        check_places(crew)
        async with crew.lend(), crew.lend():
            pass
        check_places(crew)


async def test_a_process_that_does_not_start_at_once_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with resting_crew() as crew:
        await until_resting(crew)
        start, failures = WorkerProcess.start, iter([True, True, True])

        def sometimes(command: tuple[str, ...]) -> WorkerProcess:
            if next(failures, False):
                raise OSError(11, "Resource temporarily unavailable")
            return start(command)

        monkeypatch.setattr(WorkerProcess, "start", sometimes)
        with trio.fail_after(60):
            async with crew.lend(), crew.lend():
                assert len(crew.pids) == SIZE
        check_places(crew)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_no_place_is_lost_whatever_comes_amid_what(seed: int) -> None:
    rng = random.Random(seed)
    async with resting_crew() as crew:

        async def ask() -> None:
            await trio.sleep(rng.random() * 2)
            with trio.move_on_after(rng.choice([0.001, 0.05, 0.3, 60])):
                async with crew.lend() as process:
                    assert crew._free.value <= SIZE
                    await trio.sleep(rng.random() * 0.05)
                    if rng.random() < 0.1:
                        await crew.end(process)

        async def look(scope: trio.CancelScope) -> None:
            with scope:
                while True:
                    crew.look_after_idle()
                    await trio.sleep(rng.random() * 0.05)

        looking = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, looking)
            with trio.fail_after(60):
                async with trio.open_nursery() as asking:
                    for _ in range(40):
                        asking.start_soon(ask)
            looking.cancel()
        with trio.fail_after(60):
            while crew._free.value < SIZE:
                await trio.sleep(0.01)
        check_places(crew)
        async with crew.lend(), crew.lend():
            assert len(crew.pids) >= SIZE


async def test_a_pool_that_has_rested_executes_as_before() -> None:
    async with pool_of(2, rests=True, idle_ms=50) as pool:
        await echo_works(pool)
        with trio.fail_after(60):
            while pool.pids:
                await trio.sleep(0.05)
        await echo_works(pool)


async def test_one_that_does_not_start_at_all_says_why() -> None:
    async with trio.open_nursery() as nursery:
        options = WorkerPoolOptions(rests=True, command=("/nowhere/worker",))
        crew = WorkerCrew(options, nursery, None, size=SIZE, uses_max=1)
        assert isinstance(await crew.open(), ConfigError)


async def test_a_pool_that_rests_begins_with_one_process_and_prepares_when_asked() -> None:
    async with pool_of(rests=True, size=1) as pool:
        assert (len(pool.pids), pool.preparer_pids) == (1, ())
        assert pool.protections
        assert pool.engine_version
        await echo_works(pool)
        assert len(pool.preparer_pids) <= 1
