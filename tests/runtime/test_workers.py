"""The pool: each way a module or a process can go wrong has its own outcome, and all goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import wasmtime

from ambientd.adapters.wasmtime_engine import WasmtimeEngine
from ambientd.codec import canonical
from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from ambientd.model.execution import (
    INPUT_BYTES_CEILING,
    AbortCause,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.ports.module_cache import ReadyModule
from ambientd.ports.worker_protocol import (
    FRAME_BYTES_MAX,
    REASON_CHARACTERS_MAX,
    REQUIRED_PROTECTIONS,
    ModulePrepared,
    Reply,
)
from ambientd.runtime.worker_options import Sandbox, WorkerPoolOptions
from ambientd.runtime.worker_process import NICE
from ambientd.wasm.interface import Interface
from ambientd.wasm.prepare import Refused
from tests.modules.compiled import module, prepared
from tests.runtime.pools import (
    ENDLESS,
    LIMITS,
    SEED,
    as_ready,
    config_error,
    echo_works,
    has_ended,
    pool_of,
    prepare,
    ready,
    resident_bytes,
    scripted,
)


async def test_a_module_is_prepared_and_executed_in_a_locked_process() -> None:
    async with pool_of() as pool:
        outcome = await prepare(pool, module("echo"))
        assert isinstance(outcome, ReadyModule)
        assert (outcome.source, outcome.prepared) == (
            sha256(module("echo")),
            sha256(prepared("echo")),
        )
        assert (outcome.interface, outcome.imports) == (Interface.AMBIENT, ())
        assert outcome.is_compiled
        result = await pool.execute(outcome, b"compiled elsewhere", LIMITS, SEED)
        assert isinstance(result, ExecutionResult)
        assert result.output == b"compiled elsewhere"
        await echo_works(pool)
        assert pool.protections >= REQUIRED_PROTECTIONS
        assert (pool.engine, pool.engine_version) == ("wasmtime", WasmtimeEngine().version)


async def test_worker_processes_yield_to_the_daemon_that_started_them() -> None:
    async with pool_of() as pool:
        await echo_works(pool)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        for pid in (*pool.pids, *pool.preparer_pids):
            assert os.getpriority(os.PRIO_PROCESS, pid) == min(own + NICE, 19)


async def test_every_hostile_module_has_its_own_outcome_in_one_process() -> None:
    async with pool_of() as pool:
        before = pool.pids
        for name, data, kind, reason in (
            ("loop", b"", OutcomeKind.OUT_OF_GAS, ""),
            ("recursion", b"", OutcomeKind.TRAPPED, "call_depth"),
            ("trap", b"\0", OutcomeKind.TRAPPED, "unreachable"),
            ("bad_segment", b"", OutcomeKind.TRAPPED, "memory_out_of_bounds"),
            ("bad_output", b"", OutcomeKind.TRAPPED, "bad_output"),
            ("wasi", b"p", OutcomeKind.TRAPPED, "host_call"),
            ("wasi", b"x\x03", OutcomeKind.TRAPPED, "exit_code:3"),
        ):
            result = await pool.execute(ready(name), data, LIMITS, SEED)
            assert isinstance(result, ExecutionResult), result
            assert (result.kind, result.reason) == (kind, reason), name
        await echo_works(pool)
        assert pool.pids == before


@pytest.mark.slow
async def test_a_memory_bomb_ends_at_the_limit_and_its_memory_comes_back() -> None:
    async with pool_of() as pool:
        limits = ExecutionLimits(gas_max=1 << 40)
        result = await pool.execute(ready("bomb"), b"", limits, SEED)
        assert isinstance(result, ExecutionResult), result
        assert int.from_bytes(result.output, "little") == 8_192
        await echo_works(pool)
        (pid,) = pool.pids
        assert resident_bytes(pid) < 100 << 20


async def test_five_hundred_executions_leave_no_memory_behind() -> None:
    async with pool_of(executions_max=1_000) as pool:

        async def run(times: int) -> None:
            kinds = (("wasi", b"p"), ("wasi", b"-"), ("echo", b"x"), ("trap", b"\5"))
            for number in range(times):
                name, data = kinds[number % 4]
                result = await pool.execute(ready(name), data, LIMITS, SEED)
                assert isinstance(result, ExecutionResult)

        await run(100)
        (pid,) = pool.pids
        before = resident_bytes(pid)
        await run(500)
        assert resident_bytes(pid) - before < 2 << 20


async def test_malformed_ill_typed_and_forbidden_modules_are_refused() -> None:
    async with pool_of() as pool:
        for data, word in (
            (b"not a module", "module"),
            (b"", "module"),
            (module("forbidden_import"), "open_socket"),
            (module("ill_typed"), "does not validate"),
            (bytes(9 << 20), "bytes"),
        ):
            outcome = await prepare(pool, data)
            assert isinstance(outcome, Refused)
            assert word in outcome.reason
        await echo_works(pool)


async def test_prepared_bytes_that_do_not_validate_are_refused_as_an_outcome() -> None:
    async with pool_of() as pool:
        result = await pool.execute(as_ready(module("ill_typed")), b"", LIMITS, SEED)
        assert isinstance(result, ExecutionResult)
        assert (result.kind, result.gas) == (OutcomeKind.REFUSED, 0)
        assert result.log


async def test_an_endless_loop_is_killed_at_the_wall_limit_and_its_process_replaced() -> None:
    async with pool_of() as pool:
        # Its process has the module from now on: bringing it has a limit of its own.
        await pool.execute(ready("loop"), b"", ExecutionLimits(gas_max=1_000), SEED)
        before = pool.pids
        result = await pool.execute(ready("loop"), b"", ENDLESS, SEED)
        reason = "the execution took longer than 300 ms of wall time"
        assert result == Aborted(reason=reason, cause=AbortCause.WALL_TIME)
        await echo_works(pool)
        assert pool.pids != before


async def test_a_process_killed_from_outside_aborts_and_is_replaced() -> None:
    async with pool_of() as pool:
        await echo_works(pool)
        (pid,) = pool.pids
        start = cpu_ticks(pid)

        async with trio.open_nursery() as nursery:

            async def kill_it() -> None:
                while cpu_ticks(pid) < start + 5:  # it has really begun to compute
                    await trio.sleep(0.01)
                os.kill(pid, signal.SIGKILL)

            nursery.start_soon(kill_it)
            limits = ExecutionLimits(gas_max=1 << 62, wall_ms_max=60_000)
            result = await pool.execute(ready("loop"), b"", limits, SEED)
        assert isinstance(result, Aborted)
        assert "signal 9" in result.reason
        await echo_works(pool)


def cpu_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[11])


async def test_an_idle_process_that_died_costs_nobody_a_call() -> None:
    async with pool_of() as pool:
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        while not has_ended(pid):
            await trio.sleep(0.001)
        await echo_works(pool)
        assert pool.pids != (pid,)


async def test_a_cancelled_execution_frees_its_place() -> None:
    async with pool_of() as pool:
        limits = ExecutionLimits(gas_max=1 << 62, wall_ms_max=60_000)
        with trio.move_on_after(0.2) as scope:
            await pool.execute(ready("loop"), b"", limits, SEED)
        assert scope.cancelled_caught
        await echo_works(pool)


async def test_the_module_travels_again_after_the_process_has_forgotten_it() -> None:
    async with pool_of() as pool:
        await echo_works(pool)
        for number in range(40):  # more than a process keeps
            section = prepared("trap") + bytes([0, 2, 1, number])  # a custom section
            await pool.execute(as_ready(section), b"\0", LIMITS, SEED)
        await echo_works(pool)


async def test_large_inputs_and_outputs_travel_whole() -> None:
    async with pool_of() as pool:
        data = bytes(range(256)) * (12 << 12)
        await echo_works(pool, data)
        too_large = await pool.execute(ready("echo"), bytes(INPUT_BYTES_CEILING + 1), LIMITS, SEED)
        assert isinstance(too_large, Aborted)


async def test_processes_work_side_by_side_and_the_queue_has_an_end() -> None:
    async with pool_of(2, waiting_max=3) as pool:
        results: list[ExecutionResult | Aborted] = []

        async def call() -> None:
            limits = ExecutionLimits(gas_max=20_000_000)
            results.append(await pool.execute(ready("loop"), b"", limits, SEED))

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(call)
        aborted = [result for result in results if isinstance(result, Aborted)]
        assert len(aborted) == 3
        assert all("wait already" in result.reason for result in aborted)
        assert isinstance(await prepare(pool, module("echo")), ReadyModule)
        await echo_works(pool)


async def test_a_seed_of_another_size_is_our_own_mistake() -> None:
    async with pool_of() as pool:
        with pytest.raises(LocalProtocolError, match="seed"):
            await pool.execute(ready("echo"), b"", LIMITS, b"short")


async def test_the_processes_end_with_the_pool() -> None:
    async with pool_of(2) as pool:
        pids = pool.pids
        assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


HELLO = "say(Hello(protections=(), engine='{}', engine_version='1', rewriter_version={}))"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello(*sorted(REQUIRED_PROTECTIONS)[1:])", "missing dies with the daemon"),
        ("hello(version=99)", "rewriter version 99"),
        (HELLO.format("other", 1), "runs 'other', not 'wasmtime'"),
        ("sys.exit(3)", "ended with status 3"),
        ("say(ModuleLoaded())\nread_frame(0)", "at its start"),
        ("os.write(1, bytes(4) + b'no')\nread_frame(0)", "at its start"),
        ("os.write(1, b'\\xff' * 8)\nread_frame(0)", "at its start"),
    ],
)
async def test_a_pool_that_cannot_be_trusted_to_hold_does_not_start(text: str, words: str) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with pool_of(command=scripted(text)):
            pytest.fail("the pool started")
    assert words in config_error(caught.value)


async def test_a_process_that_says_nothing_is_given_up() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with pool_of(command=scripted("read_frame(0)"), start_ms_max=500):
            pytest.fail("the pool started")
    assert "said nothing for 500 ms" in config_error(caught.value)


async def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with pool_of(command=("/nowhere/python",)):
            pytest.fail("the pool started")
    assert "/nowhere/python" in config_error(caught.value)


async def test_best_effort_starts_with_what_the_platform_has() -> None:
    command = scripted("hello()\nread_frame(0)")
    async with pool_of(command=command, sandbox="best-effort") as pool:
        assert pool.protections == frozenset()
    async with pool_of(command=command, sandbox=Sandbox.BEST_EFFORT):
        pass


SAYS_HELLO = "hello(*sorted(REQUIRED_PROTECTIONS))\nread_frame(0)\n"
RESULT = "Executed(result=ExecutionResult(kind={}, reason='', output={}, gas={}, log=b''))"


@pytest.mark.parametrize(
    "reply",
    [
        RESULT.format(0, "bytes(2000)", 1),
        RESULT.format(0, "b''", LIMITS.gas_max + 1),
        RESULT.format(0, "b''", -1),
        RESULT.format(1, "b'x'", 1),
        "ModulePrepared(module=b'', interface='ambient', imports=())",
        "Hello(protections=(), engine='', engine_version='', rewriter_version=1)",
    ],
)
async def test_a_reply_that_makes_no_sense_aborts_and_ends_the_process(reply: str) -> None:
    text = f"{SAYS_HELLO}say(ModuleLoaded())\nread_frame(0)\nsay({reply})\nread_frame(0)"
    limits = ExecutionLimits(gas_max=LIMITS.gas_max, output_bytes_max=1000)
    async with pool_of(command=scripted(text)) as pool:
        before = pool.pids
        result = await pool.execute(ready("echo"), b"", limits, SEED)
        assert isinstance(result, Aborted)
        assert "makes no sense" in result.reason
        assert pool.pids != before


async def test_a_reply_longer_than_what_was_asked_for_is_not_awaited() -> None:
    length = "os.write(1, (1 << 20).to_bytes(4, 'little'))"
    text = f"{SAYS_HELLO}say(ModuleLoaded())\nread_frame(0)\n{length}\nread_frame(0)"
    limits = ExecutionLimits(output_bytes_max=1_000)
    async with pool_of(command=scripted(text)) as pool:
        result = await pool.execute(ready("echo"), b"", limits, SEED)
        assert isinstance(result, Aborted)
        assert "by signal 9" in result.reason


async def test_a_reason_of_any_length_is_cut() -> None:
    text = f"{SAYS_HELLO}say(ExecutionAborted(aborted=Aborted(reason='x' * 50_000)))\nread_frame(0)"
    async with pool_of(command=scripted(text)) as pool:
        result = await pool.execute(ready("echo"), b"", LIMITS, SEED)
        assert result == Aborted(reason="x" * REASON_CHARACTERS_MAX)


def test_a_list_longer_than_any_honest_one_is_refused_before_it_is_made() -> None:
    one = canonical.encode(ModulePrepared(module=b"", interface="wasi", imports=()))
    # The head says 2^32 - 1 entries, which do not follow: they are never looked for.
    frame = one[:-1] + b"\xdd" + b"\xff" * 4
    with pytest.raises(RemoteProtocolError, match="length <= 256"):
        canonical.decode(frame, Reply, FRAME_BYTES_MAX)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("ModuleLoaded()", "makes no sense"),
        ("ModulePrepared(module=b'', interface='magic', imports=())", "makes no sense"),
        ("ExecutionAborted(aborted=Aborted(reason='no memory'))", "no memory"),
    ],
)
async def test_preparation_that_goes_wrong_aborts(reply: str, words: str) -> None:
    text = f"{SAYS_HELLO}say({reply})\nread_frame(0)"
    async with pool_of(command=scripted(text)) as pool:
        result = await prepare(pool, module("echo"))
        assert isinstance(result, Aborted)
        assert words in result.reason


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("ModuleUnknown()", "makes no sense"),
        ("ExecutionAborted(aborted=Aborted(reason='no memory'))", "no memory"),
    ],
)
async def test_loading_that_goes_wrong_aborts(reply: str, words: str) -> None:
    text = f"{SAYS_HELLO}say({reply})\nread_frame(0)"
    async with pool_of(command=scripted(text)) as pool:
        result = await pool.execute(ready("echo"), b"", LIMITS, SEED)
        assert isinstance(result, Aborted)
        assert words in result.reason


@pytest.mark.parametrize("options", [{"size": 0}, {"sandbox": "none"}])
def test_options_that_make_no_sense_are_named(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        WorkerPoolOptions(**options)  # type: ignore[arg-type]


async def test_processor_time_ends_a_preparation_and_the_pool_goes_on() -> None:
    body = "(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))" * 100
    functions = f"(func {body})" * 300
    source = wasmtime.wat2wasm(
        f'(module (memory (export "memory") 1) {functions}'
        ' (func (export "alloc") (param i32) (result i32) (i32.const 0))'
        ' (func (export "run") (param i32 i32) (result i64) (i64.const 0)))'
    )
    async with pool_of(prepare_cpu_ms_max=30) as pool:
        outcome = await prepare(pool, bytes(source))
        assert outcome == Aborted(
            reason="preparing the module took more processor time than is allowed",
            cause=AbortCause.PREPARATION,
        )
        await echo_works(pool)


def test_time_that_others_use_of_the_processor_ends_no_preparation() -> None:
    program = (
        "import time\n"
        "from ambientd.worker.serve import CpuLimit\n"
        "with CpuLimit(50):\n"
        "    time.sleep(0.2)\n"
        "print('waited', flush=True)\n"
    )
    ended = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, timeout=60)
    assert (ended.stdout, ended.returncode) == (b"waited\n", 0)
    options = WorkerPoolOptions()
    assert options.prepare_wall_ms_max >= 10 * options.prepare_cpu_ms_max


def test_the_processors_time_for_a_hostile_module_has_an_end() -> None:
    program = (
        "from ambientd.worker.serve import CpuLimit\n"
        "with CpuLimit(50):\n"
        "    pass\n"
        "print('freed', flush=True)\n"
        "with CpuLimit(50):\n"
        "    while True: pass\n"
    )
    ended = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, timeout=60)
    assert ended.stdout == b"freed\n"
    assert ended.returncode == -signal.SIGPROF
