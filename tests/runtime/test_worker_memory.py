"""Memory is lent in turn, a shortage is never an outcome, and worn processes are replaced."""

import resource
import sys

import pytest
import trio
import trio.testing

from ambientd.errors import ConfigError
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.rules.executions import memory_need_bytes
from ambientd.runtime.memory_budget import MemoryBudget
from ambientd.runtime.worker_crew import WorkerCrew
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.workers import WorkerPool
from ambientd.wasm.prepare import Refused
from tests.modules.compiled import module
from tests.runtime.pools import (
    LIMITS,
    SEED,
    config_error,
    echo_works,
    pool_of,
    prepare,
    ready,
    scripted,
)

MIB = 1 << 20


async def test_memory_is_lent_in_the_order_of_asking() -> None:
    budget, order = MemoryBudget(10), []
    asked = {"a": 6, "large": 10, "small": 1, "b": 10}
    done = {name: trio.Event() for name in asked}

    async def use(name: str) -> None:
        async with budget.reserve(asked[name]):
            order.append(name)
            await done[name].wait()

    async with trio.open_nursery() as nursery:
        for name in asked:
            nursery.start_soon(use, name)
            await trio.testing.wait_all_tasks_blocked()
        seen = [list(order)]
        for name in asked:
            done[name].set()
            await trio.testing.wait_all_tasks_blocked()
            seen.append(list(order))
    # The small one would have fitted beside the first, but not before the large one.
    assert seen[:3] == [["a"], ["a", "large"], ["a", "large", "small"]]
    assert order == ["a", "large", "small", "b"]
    assert budget.free_bytes == 10


async def test_one_that_gives_up_waiting_lets_the_next_through() -> None:
    budget, order = MemoryBudget(10), []

    async def use(name: str, size_bytes: int) -> None:
        async with budget.reserve(size_bytes):
            order.append(name)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(use, "a", 6)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as impatient:
            async with trio.open_nursery() as inner:
                inner.start_soon(use, "large", 10)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(use, "small", 4)
                await trio.testing.wait_all_tasks_blocked()
                assert order == ["a"]
                impatient.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert order == ["a", "small"]
        nursery.cancel_scope.cancel()
    assert budget.free_bytes == 10


async def test_memory_granted_to_one_that_was_just_cancelled_comes_back() -> None:
    budget = MemoryBudget(10)

    async def use(scope: trio.CancelScope) -> None:
        with scope:
            async with budget.reserve(10):
                await trio.sleep_forever()

    first, second = trio.CancelScope(), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(use, first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(use, second)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        second.cancel()
    assert budget.free_bytes == 10


async def test_executions_side_by_side_never_hold_more_than_the_budget() -> None:
    limits = ExecutionLimits(gas_max=1 << 40, memory_bytes_max=64 * MIB, output_bytes_max=64)
    need = memory_need_bytes(limits, 0)
    async with pool_of(3, memory_budget_bytes=2 * need) as pool:
        free: set[int] = set()

        async def watch() -> None:
            while True:
                free.add(pool.memory_free_bytes)
                await trio.lowlevel.checkpoint()

        results: list[ExecutionResult | Aborted] = []

        async def one() -> None:
            results.append(await pool.execute(ready("bomb"), b"", limits, SEED))

        async with trio.open_nursery() as watching:
            watching.start_soon(watch)
            async with trio.open_nursery() as nursery:
                for _ in range(12):
                    nursery.start_soon(one)
            watching.cancel_scope.cancel()
        assert {0} <= free <= {0, need, 2 * need}
        assert pool.memory_free_bytes == 2 * need
    outcomes = {(each.kind, each.output) for each in results if isinstance(each, ExecutionResult)}
    assert (len(results), len(outcomes)) == (12, 1)


async def test_a_task_above_the_whole_budget_aborts_and_says_how_much_there_is() -> None:
    async with pool_of(memory_budget_bytes=100 * MIB) as pool:
        result = await pool.execute(ready("echo"), b"", ExecutionLimits(), SEED)
        assert isinstance(result, Aborted)
        assert str(100 * MIB) in result.reason
        small = ExecutionLimits(memory_bytes_max=MIB, output_bytes_max=100)
        result = await pool.execute(ready("echo"), b"x", small, SEED)
        assert isinstance(result, ExecutionResult)


def short_of_memory(size_bytes: int) -> tuple[str, ...]:
    """A real worker on a host that grants it no more data than this."""
    text = (
        "import os, resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_DATA, ({size_bytes}, {size_bytes}))\n"
        "os.execv(sys.executable, [sys.executable, '-I', '-m', 'ambientd.worker', *sys.argv[1:]])"
    )
    return (sys.executable, "-I", "-c", text)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_DATA"), reason="no such limit here")
async def test_a_shortage_of_memory_is_an_abort_and_never_an_outcome() -> None:
    """The module would end with fewer pages than elsewhere, and nobody could tell why."""
    command = short_of_memory(300 * MIB)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with pool_of(command=command):
            pytest.fail("the pool started")
    assert "missing memory limit granted ahead" in config_error(caught.value)
    async with pool_of(command=command, sandbox="best-effort") as pool:
        limits = ExecutionLimits(gas_max=1 << 40)
        result = await pool.execute(ready("bomb"), b"", limits, SEED)
        assert isinstance(result, Aborted)
        assert "memory" in result.reason
        small = ExecutionLimits(gas_max=1 << 40, memory_bytes_max=64 * MIB)
        result = await pool.execute(ready("bomb"), b"", small, SEED)
        assert isinstance(result, ExecutionResult)
        assert result.kind is OutcomeKind.COMPLETED
        assert int.from_bytes(result.output, "little") == 1_024


async def fresh_pids(pool: WorkerPool, old: tuple[int, ...]) -> tuple[int, ...]:
    while pool.pids in (old, ()):
        await trio.sleep(0.01)
    return pool.pids


async def test_a_process_is_replaced_after_so_many_executions() -> None:
    async with pool_of(executions_max=3) as pool:
        first = pool.pids
        for _ in range(2):
            await echo_works(pool)
        assert pool.pids == first
        await echo_works(pool)
        second = await fresh_pids(pool, first)
        await echo_works(pool)
        assert pool.pids == second


async def test_a_process_that_has_grown_is_replaced() -> None:
    async with pool_of(resident_bytes_max=1) as pool:
        first = pool.pids
        await echo_works(pool)
        await fresh_pids(pool, first)
        await echo_works(pool)


async def test_a_process_that_lies_idle_with_much_memory_is_replaced() -> None:
    async with pool_of(idle_ms=20, idle_bytes_max=1) as pool:
        first = pool.pids
        await fresh_pids(pool, first)
        await echo_works(pool)


async def test_a_process_that_is_promised_to_one_who_waits_is_left_alone() -> None:
    async with trio.open_nursery() as nursery:
        options = WorkerPoolOptions(idle_bytes_max=1)
        crew = WorkerCrew(options, nursery, None, size=1, uses_max=10)
        assert await crew.open() is None

        async def lend() -> None:
            async with crew.lend():
                crew.look_after_idle()

        async with trio.open_nursery() as waiting:
            async with crew.lend() as process:
                waiting.start_soon(lend)
                await trio.testing.wait_all_tasks_blocked()
            process.lent_since_look = False
            crew.look_after_idle()  # given back, not taken yet by the one who waits
        assert crew.pids == (process.pid,)
        await crew.close()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "options", [{"memory_budget_bytes": -1}, {"executions_max": 0}, {"preparers": 0}]
)
def test_options_that_make_no_sense_are_named(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        WorkerPoolOptions(**options)  # type: ignore[arg-type]


def test_what_is_lent_covers_what_goes_in_and_out() -> None:
    limits = ExecutionLimits(memory_bytes_max=MIB, output_bytes_max=10, log_bytes_max=0)
    assert memory_need_bytes(limits, 5) == MIB + 45
    assert LIMITS.memory_bytes_max < memory_need_bytes(LIMITS, 0)


async def test_a_process_that_prepares_takes_no_more_memory_than_it_is_lent() -> None:
    text = (
        "hello(*sorted(REQUIRED_PROTECTIONS))\n"
        "read_frame(0)\n"
        "held = bytearray(64 << 20)\n"
        "try:\n"
        "    more = bytearray(512 << 20)\n"
        "except MemoryError:\n"
        "    say(ModuleRefused(reason='held', detail=''))\n"
        "read_frame(0)"
    )
    async with pool_of(command=scripted(text), preparation_bytes=256 * MIB) as pool:
        assert await prepare(pool, module("echo")) == Refused("held")
