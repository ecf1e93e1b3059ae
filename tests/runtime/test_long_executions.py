"""Executions in stretches end as whole ones do, and go on where a stop left them."""

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import trio

from ambientd.adapters.state_files import StateFiles
from ambientd.errors import StoreError
from ambientd.model.base import TaskId
from ambientd.model.execution import AbortCause, Aborted, ExecutionLimits, ExecutionResult
from ambientd.ports.module_cache import ReadyModule
from ambientd.ports.paused_state import PausedState
from ambientd.runtime.cpu_share import CpuSpent
from ambientd.runtime.long_executions import GAS_A_BYTE, LongExecutions
from ambientd.runtime.pausing_workers import PausableCall
from ambientd.runtime.workers import WorkerPool
from tests.mesh.modules import rounds, spin
from tests.runtime.pools import SEED, pool_of, prepare

TASK = TaskId(b"\x07" * 32)
STEP = 50_000_000
COUNT = 40_000_000
ANOTHER = b"\x00\x04\x03pad"
"""A section without a meaning: the module has another name by it."""

LIMITS = ExecutionLimits(gas_max=2_000_000_000, wall_ms_max=60_000)


def call(count: int = COUNT, limits: ExecutionLimits = LIMITS) -> PausableCall:
    return PausableCall(spin(), rounds(count), limits, SEED)


class NotedStates(StateFiles):
    """Notes where each state that is kept stands, and may stop the world at one."""

    def __init__(self, folder: Path, ends: trio.CancelScope | None = None, at: int = 0) -> None:
        super().__init__(folder)
        self.open([(TASK, None)])
        self.kept: list[int] = []
        self._ends = ends
        self._at = at

    def keep(self, task: TaskId, state: PausedState) -> None:
        super().keep(task, state)
        assert state.gas_index is not None
        self.kept.append(state.gas_index)
        if self._ends is not None and len(self.kept) == self._at:
            trio.from_thread.run_sync(self._ends.cancel)


async def ready_of(pool: WorkerPool) -> ReadyModule:
    ready = await prepare(pool, spin())
    assert isinstance(ready, ReadyModule)
    return ready


async def in_stretches(
    pool: WorkerPool, states: NotedStates, wanted: PausableCall | None = None, step: int = STEP
) -> tuple[ExecutionResult | Aborted | None, CpuSpent]:
    ready, spent = await ready_of(pool), CpuSpent()
    long = LongExecutions(pool.stretching, states, step)
    return await long.execute(TASK, wanted or call(), ready.prepared, spent), spent


async def whole(pool: WorkerPool) -> ExecutionResult:
    wanted, ready = call(), await ready_of(pool)
    found = await pool.execute(ready, wanted.input, wanted.limits, wanted.seed)
    assert isinstance(found, ExecutionResult)
    return found


async def test_an_execution_that_was_stopped_goes_on_and_ends_as_a_whole_one(
    tmp_path: Path,
) -> None:
    with trio.CancelScope() as life:
        async with pool_of() as pool:
            await in_stretches(pool, NotedStates(tmp_path, life, at=3))
    assert life.cancelled_caught, "it was to stop amid the execution"
    async with pool_of() as pool:
        states = NotedStates(tmp_path)
        found, spent = await in_stretches(pool, states)
        assert found == await whole(pool)
        assert states.kept
        assert states.kept[0] >= 4 * STEP, "it began anew"
        assert spent.ns is None or spent.ns > 0
        states.forget(TASK)
        assert states.find(TASK) is None


@pytest.mark.parametrize("spoilt", ["root", "data", "cut", "other"])
async def test_a_state_that_is_spoilt_or_of_another_input_is_passed_over(
    tmp_path: Path, spoilt: str
) -> None:
    async with pool_of() as pool:
        states = NotedStates(tmp_path)
        if spoilt == "other":
            await in_stretches(pool, states, call(COUNT + 1))
        else:
            await in_stretches(pool, states)
            (path,) = tmp_path.iterdir()
            data = bytearray(path.read_bytes())
            place = {"root": 0, "data": len(data) - 9, "cut": 0}[spoilt]
            data[place] ^= 1
            path.write_bytes(data[: len(data) // 2] if spoilt == "cut" else data)
        again = NotedStates(tmp_path)
        found, _ = await in_stretches(pool, again)
        assert found == await whole(pool)
        assert again.kept[0] < 2 * STEP, "it went on from what was no state of it"


class FullDisk(NotedStates):
    """Has no room."""

    def keep(self, task: TaskId, state: PausedState) -> None:
        del task, state
        msg = "the disk is full"
        raise StoreError(msg)


async def test_a_full_disk_keeps_no_execution_from_its_end(tmp_path: Path) -> None:
    async with pool_of() as pool:
        found, _ = await in_stretches(pool, FullDisk(tmp_path))
        assert found == await whole(pool)


class EndsMeanwhile(NotedStates):
    """Hears that a task has ended, and is to be abandoned, just when its state is written."""

    long: LongExecutions
    life: trio.CancelScope

    def keep(self, task: TaskId, state: PausedState) -> None:
        trio.from_thread.run_sync(self.long.forget, task)
        trio.from_thread.run_sync(self.life.cancel)
        super().keep(task, state)


async def test_of_a_task_that_ends_while_its_state_is_written_nothing_stays(
    tmp_path: Path,
) -> None:
    async with pool_of() as pool:
        ready, states = await ready_of(pool), EndsMeanwhile(tmp_path)
        states.long = LongExecutions(pool.stretching, states, STEP)
        with trio.CancelScope() as states.life:
            await states.long.execute(TASK, call(), ready.prepared, CpuSpent())
        assert states.kept, "no state was on its way"
        assert states.life.cancelled_caught
    assert not list(tmp_path.iterdir())
    assert states.find(TASK) is None


async def test_stretches_take_no_longer_than_pausing_may(tmp_path: Path) -> None:
    limits = ExecutionLimits(gas_max=1 << 62, wall_ms_max=500)
    async with pool_of() as pool:
        found, _ = await in_stretches(pool, NotedStates(tmp_path), call(1 << 60, limits))
    assert isinstance(found, Aborted)
    assert found.cause is AbortCause.WALL_TIME


async def test_a_module_that_is_not_made_pausable_in_time_is_executed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pool_of() as pool:
        ready = await ready_of(pool)
        long = LongExecutions(pool.stretching, NotedStates(tmp_path), STEP)
        assert await long.execute(TASK, call(1), ready.prepared, CpuSpent()), "its worker is up"
        hasty = replace(pool.stretching._options, prepare_wall_ms_max=0)
        monkeypatch.setattr(pool.stretching, "_options", hasty)
        other = replace(call(), module=spin() + ANOTHER)
        workers = psutil.Process().children(recursive=True)
        for each in workers:
            each.suspend()  # or it might have answered before anybody looked at the clock
        try:
            assert await long.execute(TASK, other, ready.prepared, CpuSpent()) is None
        finally:
            for each in workers:
                with suppress(psutil.NoSuchProcess):
                    each.resume()


async def test_a_large_state_is_kept_less_often(tmp_path: Path) -> None:
    async with pool_of() as pool:
        states = NotedStates(tmp_path)
        found, _ = await in_stretches(pool, states, step=STEP // 100)
        assert isinstance(found, ExecutionResult)
        (path,) = tmp_path.iterdir()
        apart = [after - before for before, after in pairwise(states.kept)]
        assert min(apart) >= GAS_A_BYTE * (path.stat().st_size - 100) > STEP // 100


async def test_another_prepared_module_than_the_one_that_was_asked_for_is_executed_whole(
    tmp_path: Path,
) -> None:
    async with pool_of() as pool:
        long = LongExecutions(pool.stretching, NotedStates(tmp_path), STEP)
        assert await long.execute(TASK, call(), bytes(32), CpuSpent()) is None
