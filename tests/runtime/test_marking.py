"""States that are handed on: another device ends as a whole execution does, or begins anew."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from ambientd.model.base import Digest, NodeId
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import ExecutionResult
from ambientd.model.mark import FROM_BEGINNING, Mark
from ambientd.ports.paused_state import PausedState
from ambientd.runtime.cpu_share import CpuSpent
from ambientd.runtime.long_executions import (
    LOOKS_A_MARK,
    LongExecutions,
    Marking,
    Start,
    _outside,
)
from ambientd.runtime.workers import WorkerPool
from ambientd.wasm.state import decode_state, encode_state
from tests.runtime.pools import pool_of
from tests.runtime.test_long_executions import STEP, TASK, NotedStates, call, ready_of, whole

MARK = Mark(
    task=TASK,
    slot=0,
    attempt=0,
    worker=NodeId(bytes(32)),
    point=TracePoint(1, bytes(32)),
    state=Digest(bytes(32)),
    state_size_bytes=1,
    follows=FROM_BEGINNING,
    signature=b"",
)


async def marked(
    pool: WorkerPool, folder: Path, state: PausedState | None = None, *others: PausedState
) -> tuple[ExecutionResult, Marking, list[PausedState]]:
    """Execute with marks; give the end, what is known of the way, and the marked states."""
    told: list[PausedState] = []

    async def tell(state: PausedState) -> None:
        told.append(state)

    left = iter([*others])

    async def another() -> Start | None:
        found = next(left, None)
        return None if found is None else Start(MARK, found)

    start = None if state is None else Start(MARK, state)
    marking = Marking(STEP * LOOKS_A_MARK, tell, start, another)
    ready, long = await ready_of(pool), LongExecutions(pool.stretching, NotedStates(folder), 0)
    found = await long.execute(TASK, call(), ready.prepared, CpuSpent(), marking)
    assert isinstance(found, ExecutionResult)
    return found, marking, told


async def test_another_device_goes_on_from_a_marked_state_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    async with pool_of() as pool:
        end = await whole(pool)
        found, first, told = await marked(pool, tmp_path / "first")
        assert found == end
        assert first.mark is None
        assert len(told) >= 2
        begun = told[1].gas_index
        assert begun is not None
        found, second, later = await marked(pool, tmp_path / "second", told[1])
        assert found == end
        assert second.mark == MARK
        assert all((state.gas_index or 0) >= begun + STEP for state in later)


async def test_a_state_that_is_not_that_of_its_mark_costs_a_beginning_anew(tmp_path: Path) -> None:
    async with pool_of() as pool:
        end = await whole(pool)
        _, _, told = await marked(pool, tmp_path / "first")
        spoilt = PausedState(root=bytes(32), data=told[0].data)
        found, marking, _ = await marked(pool, tmp_path / "second", spoilt)
        assert found == end
        assert marking.mark is None, "its receipt must not name what it did not use"


async def test_after_a_state_that_is_none_of_this_execution_the_next_mark_s_is_gone_on_from(
    tmp_path: Path,
) -> None:
    async with pool_of() as pool:
        end = await whole(pool)
        _, _, told = await marked(pool, tmp_path / "first")
        spoilt = PausedState(root=bytes(32), data=told[1].data)
        found, marking, later = await marked(pool, tmp_path / "second", spoilt, told[0])
        assert found == end
        assert marking.mark == MARK
        begun = told[0].gas_index
        assert begun is not None
        assert all((state.gas_index or 0) >= begun + STEP for state in later)


async def test_waiting_for_others_uses_up_no_time_of_an_execution(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Else one liar's marks made every honest worker of a task abort, at each try."""

    async def silent() -> Start | None:
        await trio.sleep(60)
        return None

    with trio.fail_after(1) as limit:
        await trio.sleep(0.4)
        assert await _outside(limit, silent) is None
        assert limit.deadline - trio.current_time() == pytest.approx(0.6)
    with trio.move_on_after(1) as limit:
        await _outside(limit, silent)
        await trio.sleep(2)
    assert limit.cancelled_caught, "the execution's own time stays bounded"


async def test_a_made_up_state_is_its_makers_word_and_execution_from_the_beginning_shows_it(
    tmp_path: Path,
) -> None:
    async with pool_of() as pool:
        end = await whole(pool)
        _, _, told = await marked(pool, tmp_path / "honest")
        state = decode_state(told[0].data)
        page = bytearray(state.pages[0])
        page[-1] ^= 1  # nothing of the program reads it
        false = replace(state, pages=(bytes(page), *state.pages[1:]))
        made_up = PausedState(root=false.root(), data=encode_state(false))
        found, marking, later = await marked(pool, tmp_path / "second", made_up)
        assert marking.mark == MARK, "nothing tells a made-up state from a true one"
        assert found.gas == end.gas
        _, _, replayed = await marked(pool, tmp_path / "replay")
        true_roots = {each.gas_index: each.root for each in replayed}
        assert true_roots[told[0].gas_index] == told[0].root
        assert true_roots[told[0].gas_index] != made_up.root, "the maker's signed root is false"
        assert all(true_roots.get(each.gas_index) != each.root for each in later)
