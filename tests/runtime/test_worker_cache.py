"""Compiled once: where that happens, what is kept, and what happens to an entry that is bad."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from ambientd.adapters.compiled_files import CompiledFiles
from ambientd.codec.digest import sha256
from ambientd.errors import LocalProtocolError
from ambientd.model.execution import Aborted, ExecutionResult
from ambientd.ports.module_cache import ReadyModule
from ambientd.runtime.workers import WorkerPool
from tests.modules.compiled import module
from tests.runtime.pools import LIMITS, SEED, pool_of, prepare

SOURCE = sha256(module("echo"))


@pytest.fixture
def cache(tmp_path: Path) -> CompiledFiles:
    return CompiledFiles(tmp_path / "compiled", bytes(32))


async def answers(pool: WorkerPool, ready: object) -> bool:
    assert isinstance(ready, ReadyModule)
    result = await pool.execute(ready, b"hi", LIMITS, SEED)
    return isinstance(result, ExecutionResult) and result.output == b"hi"


async def test_a_module_is_compiled_by_a_process_that_runs_none_and_sees_no_other() -> None:
    async with pool_of() as pool:
        executors, preparers = pool.pids, pool.preparer_pids
        ready = await prepare(pool, module("echo"))
        while pool.preparer_pids in (preparers, ()):
            await trio.sleep(0.01)
        assert not set(pool.preparer_pids) & set(preparers)
        assert await answers(pool, ready)
        assert pool.pids == executors
        assert not set(executors) & set(pool.preparer_pids)


async def test_a_module_is_not_prepared_again_after_a_restart(cache: CompiledFiles) -> None:
    async with pool_of(cache=cache) as pool:
        first = await prepare(pool, module("echo"))
    async with pool_of(cache=cache) as pool:
        preparers = pool.preparer_pids
        assert await prepare(pool, module("echo")) == first
        assert pool.preparer_pids == preparers
        assert await answers(pool, first)


async def test_an_entry_that_was_tampered_with_is_made_again(cache: CompiledFiles) -> None:
    async with pool_of(cache=cache) as pool:
        first = await prepare(pool, module("echo"))
        entry = cache.root / SOURCE.hex()
        data = bytearray(entry.read_bytes())
        data[-1] ^= 1
        entry.write_bytes(data)
        again = await prepare(pool, module("echo"))
        assert isinstance(again, ReadyModule)
        assert isinstance(first, ReadyModule)
        assert again.prepared == first.prepared
        assert await answers(pool, again)
        assert cache.find(SOURCE, f"{pool.engine} {pool.engine_version}") == again


async def test_code_that_the_engine_does_not_take_back_aborts_once_and_is_made_again(
    cache: CompiledFiles,
) -> None:
    async with pool_of(cache=cache) as pool:
        ready = await prepare(pool, module("echo"))
        assert isinstance(ready, ReadyModule)
        bad = replace(ready, code=b"no machine code at all")
        cache.keep(f"{pool.engine} {pool.engine_version}", bad)
        assert await prepare(pool, module("echo")) == bad
        result = await pool.execute(bad, b"hi", LIMITS, SEED)
        assert isinstance(result, Aborted)
        assert "made again" in result.reason
        assert await answers(pool, await prepare(pool, module("echo")))


async def test_refusals_are_not_kept_and_a_wrong_name_is_our_own_mistake(
    cache: CompiledFiles,
) -> None:
    async with pool_of(cache=cache) as pool:
        await prepare(pool, module("forbidden_import"))
        assert list(cache.root.iterdir()) == []
        with pytest.raises(LocalProtocolError, match="hash"):
            await pool.prepare(bytes(32), module("echo"))


async def test_code_under_the_digest_of_another_module_runs_for_its_own_tasks_only() -> None:
    async with pool_of() as pool:
        honest = await prepare(pool, module("echo"))
        other = await prepare(pool, module("bad_output"))
        assert isinstance(honest, ReadyModule)
        assert isinstance(other, ReadyModule)
        # As a process would say which a module has taken over while it was compiled.
        assert not await answers(pool, replace(other, prepared=honest.prepared))
        assert await answers(pool, honest)
