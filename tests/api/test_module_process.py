"""A worker process without a daemon: asked in turn, ended at its limits, never believed."""

import os
import signal
import sys
from pathlib import Path

import pytest

from ambientd.adapters.engines import installed
from ambientd.api.module_process import ModuleProcess, engines_named
from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError, UsageError
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult
from ambientd.ports.worker_protocol import ModuleLoaded, ModulePrepared, ModuleRefused
from tests.fakes.strange_worker import go_astray
from tests.modules.compiled import module, prepared

SEED = bytes(32)
LIMITS = ExecutionLimits(gas_max=1_000_000)


@pytest.mark.parametrize("engine", installed())
def test_a_module_is_prepared_once_and_executed_often(engine: str) -> None:
    with ModuleProcess(engine) as process:
        assert process.hello.engine == engine
        reply = process.prepare(module("echo"))
        assert isinstance(reply, ModulePrepared)
        assert reply.module == prepared("echo")
        for data in (b"one", b"two"):
            result = process.execute(sha256(reply.module), data, LIMITS, SEED)
            assert isinstance(result, ExecutionResult)
            assert result.output == data


def test_an_input_larger_than_every_pipe_arrives() -> None:
    data = os.urandom(1 << 23)
    limits = ExecutionLimits()
    with ModuleProcess("wasmtime") as process:
        assert process.load(prepared("echo")) == ModuleLoaded()
        result = process.execute(sha256(prepared("echo")), data, limits, SEED)
        assert isinstance(result, ExecutionResult)
        assert result.output == data


def test_the_memory_of_the_process_can_be_looked_at_while_it_lives() -> None:
    with ModuleProcess("wasmtime") as process:
        before = process.memory_bytes()
        process.load(prepared("bomb"))
        process.execute(sha256(prepared("bomb")), b"", ExecutionLimits(), SEED)
        after = process.memory_bytes()
    assert process.memory_bytes() is None
    if sys.platform == "linux":
        assert before is not None
        assert after is not None
        assert after[1] > before[1] + (8 << 20)  # it touches a byte in each of 8,192 pages


def test_a_call_that_takes_too_long_ends_the_process_and_only_that() -> None:
    with ModuleProcess("wasmtime") as process:
        process.load(prepared("loop"))
        limits = ExecutionLimits(gas_max=1 << 62, wall_ms_max=50)
        ended = process.execute(sha256(prepared("loop")), b"", limits, SEED)
        assert ended == Aborted(reason="the execution took longer than 50 ms of wall time")
        again = process.prepare(module("echo"))
        assert again == Aborted(reason="the worker process had ended before preparing the module")


def test_a_killed_process_is_an_abort_that_names_the_signal() -> None:
    with ModuleProcess("wasmtime") as process:
        os.kill(process.pid, signal.SIGKILL)
        ended = process.prepare(module("echo"))
        assert isinstance(ended, Aborted)
        assert ended.reason.startswith("the worker process ended by signal 9 during")


def test_a_process_is_gone_when_its_block_is_left() -> None:
    with ModuleProcess("wasmtime") as process:
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_refusals_come_from_rewriter_and_engine() -> None:
    with ModuleProcess("wasmtime") as process:
        for name in ("forbidden_import", "ill_typed"):
            assert isinstance(process.prepare(module(name)), ModuleRefused)
        assert isinstance(process.load(prepared("ill_typed")), ModuleRefused)


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("mute", "does not start; run `"),
        ("rude", "does not say hello"),
        ("bare", "cannot lock worker processes down: missing "),
    ],
)
def test_a_process_that_starts_badly_is_not_used(
    how: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_astray(how, tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match=problem), ModuleProcess("wasmtime"):
        pass


def test_a_missing_protection_can_be_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_astray("bare", tmp_path, monkeypatch)
    with ModuleProcess("wasmtime", sandbox_required=False) as process:
        assert process.hello.protections == ()


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("garbage", "ended"),
        ("endless", "ended"),
        ("dies", "ended with status 7 during preparing the module"),
        ("unasked", "makes no sense"),
        ("unheard", "makes no sense"),
    ],
)
def test_what_a_strange_process_says_of_a_module_is_an_abort(
    how: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_astray(how, tmp_path, monkeypatch)
    with ModuleProcess("wasmtime") as process:
        ended = process.prepare(module("echo"))
        assert isinstance(ended, Aborted)
        assert problem in ended.reason


@pytest.mark.parametrize("how", ["greedy", "wordy", "unasked"])
def test_an_implausible_outcome_is_an_abort(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_astray(how, tmp_path, monkeypatch)
    with ModuleProcess("wasmtime") as process:
        ended = process.execute(bytes(32), b"", LIMITS, SEED)
        assert ended == Aborted(reason="the worker process gave an answer that makes no sense")


def test_engines_are_named_by_people() -> None:
    assert engines_named("all") == installed()
    assert engines_named("wasmtime") == ("wasmtime",)
    with pytest.raises(UsageError, match="no such engine; say wasmtime, "):
        engines_named("v8")


def test_an_engine_that_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", [])  # nor is anything else, from here on
    with pytest.raises(UsageError, match="`make engines`"):
        engines_named("wasmi")


def test_a_process_that_was_made_early_can_end_unused() -> None:
    process = ModuleProcess("wasmtime")
    assert process.close() != 0
    with pytest.raises(AssertionError, match="one block"), process:
        pass
