"""Executions stop in one locked-down process and go on in others, and nobody can tell."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import wasmtime

from ambientd.api.module_moves import trace
from ambientd.api.module_pausing import (
    PausingProcess,
    damaged,
    decode_file,
    encode_file,
)
from ambientd.api.module_process import ModuleProcess
from ambientd.api.module_runs import ModuleCall
from ambientd.codec.digest import sha256
from ambientd.errors import UsageError
from ambientd.model.execution import (
    MEMORY_BYTES_CEILING,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import (
    FRAME_BYTES_MAX,
    ExecutionTraced,
    ModulePrepared,
    ModuleRefused,
    StateRefused,
)
from ambientd.wasm.pausing import Pausable, make_pausable
from ambientd.wasm.state import decode_state
from tests.engines import engines
from tests.fakes.strange_worker import go_astray
from tests.modules.compiled import module

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PROGRAMS = ROOT / "tests" / "programs" / "built"
LIMITS = ExecutionLimits()
SEED = bytes(range(32))
ENGINES = engines()
HASH = (EXAMPLES / "file-hash/hash.wasm").read_bytes()
CSV = (EXAMPLES / "csv-stats/sales.csv").read_bytes()
IMAGES = (EXAMPLES / "image-classify/digits-100.bin").read_bytes()

# Takes a page after the other, writes into each, as often as the input is long.
WIDE = """(module (memory (export "memory") {pages})
  (func (export "alloc") (param i32) (result i32) (i32.const 0))
  (func (export "run") (param i32 i32) (result i64) (local $at i32)
    (loop $again
      (local.set $at (i32.const 0))
      (loop $page
        (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
        (local.set $at (i32.add (local.get $at) (i32.const 0x10000)))
        (br_if $page (i32.lt_u (local.get $at) (i32.const {size}))))
      (br_if $again (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
    (i64.const 8)))"""


def wide(size_bytes: int) -> bytes:
    return bytes(wasmtime.wat2wasm(WIDE.format(pages=size_bytes >> 16, size=size_bytes)))


def ready(process: PausingProcess, source: bytes) -> bytes:
    """Prepare a module there and give the digest to call it by."""
    made = process.prepare_pausable(source)
    assert isinstance(made, ModulePrepared), made
    return sha256(made.module)


def paused(process: PausingProcess, source: bytes, data: bytes, index: int) -> PausedState:
    state = process.execute_until(ready(process, source), data, LIMITS, SEED, pause_at=index)
    assert isinstance(state, PausedState), state
    return state


def ordinary(source: bytes, data: bytes) -> ExecutionResult:
    with ModuleProcess(ENGINES[0]) as process:
        made = process.prepare(source)
        assert isinstance(made, ModulePrepared), made
        return agreed(process.execute(sha256(made.module), data, LIMITS, SEED))


def agreed(result: object) -> ExecutionResult:
    """What nodes agree on: all but the log, in which engines word a trap themselves."""
    assert isinstance(result, ExecutionResult), result
    return msgspec.structs.replace(result, log=b"")


def journey(source: bytes, data: bytes, indices: list[int]) -> tuple[ExecutionResult, list[bytes]]:
    """Pause at each index and go on in a new process of the next engine."""
    state: PausedState | None = None
    roots: list[bytes] = []
    for turn, index in enumerate([*indices, None]):
        with PausingProcess(ENGINES[turn % len(ENGINES)]) as process:
            digest = ready(process, source)
            stop = process.execute_until(digest, data, LIMITS, SEED, pause_at=index, state=state)
        if isinstance(stop, PausedState):
            state = stop
            roots.append(stop.root)
    return agreed(stop), roots


def traced(source: bytes, data: bytes, engine: str, gas_step: int) -> ExecutionTraced:
    with PausingProcess(engine) as process:
        found = process.trace(ready(process, source), data, LIMITS, SEED, gas_step)
    assert isinstance(found, ExecutionTraced), found
    return found


@pytest.mark.parametrize(
    ("path", "data"),
    [
        pytest.param(EXAMPLES / "hello-compute/hello.wasm", b"hello", id="hello-compute"),
        pytest.param(EXAMPLES / "csv-stats/stats.wasm", CSV, id="csv-stats"),
        pytest.param(EXAMPLES / "file-hash/hash.wasm", CSV, id="file-hash"),
        pytest.param(
            EXAMPLES / "image-classify/classify.wasm",
            IMAGES,
            id="image-classify",
            marks=pytest.mark.slow,
        ),
        pytest.param(PROGRAMS / "words.wasm", b"one two two\n" * 99, id="words"),
        pytest.param(PROGRAMS / "world.wasm", b"7", id="world"),
    ],
)
def test_an_execution_moves_through_processes_of_all_engines(path: Path, data: bytes) -> None:
    source = path.read_bytes()
    expected = ordinary(source, data)
    first, *others = [traced(source, data, name, max(1, expected.gas // 4)) for name in ENGINES]
    assert agreed(first.result) == expected
    assert first.trace
    assert all(other.trace == first.trace for other in others)
    result, roots = journey(source, data, [point.gas_index for point in first.trace])
    assert result == expected
    assert roots == [point.root for point in first.trace]


def test_a_module_that_never_reaches_the_index_ends_as_always() -> None:
    source = (EXAMPLES / "noop/noop.wasm").read_bytes()
    result, roots = journey(source, b"", [1 << 40])
    assert (result, roots) == (ordinary(source, b""), [])


def test_a_process_that_is_killed_after_the_pause_takes_nothing_with_it() -> None:
    with PausingProcess(ENGINES[0]) as process:
        state = paused(process, HASH, CSV, 30_000)
        os.kill(process.pid, signal.SIGKILL)
        ended = process.execute_until(state.header.module, CSV, LIMITS, SEED, state=state)
        assert isinstance(ended, Aborted)
        assert "ended by signal 9" in ended.reason
    with PausingProcess(ENGINES[-1]) as process:
        ready(process, HASH)
        result = process.execute_until(state.header.module, CSV, LIMITS, SEED, state=state)
    assert agreed(result) == ordinary(HASH, CSV)


def bent(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


@pytest.mark.parametrize(
    ("bend", "problem"),
    [
        (lambda data: data[:-1], "ends too early"),
        (lambda data: data + b"\0", "is longer than its contents"),
        (lambda data: b"", "ends too early"),
        (lambda data: bent(data, len(data) - 70_000), "the root that it should have"),
        (lambda data: bent(data, 4 + int.from_bytes(data[:4], "big") + 20), ""),
        (lambda data: b"\xff" * 4 + data[4:], "ends too early"),
    ],
    ids=["cut", "longer", "empty", "page", "values", "header"],
)
def test_a_damaged_state_is_refused_and_the_process_goes_on(
    bend: Callable[[bytes], bytes], problem: str
) -> None:
    with PausingProcess(ENGINES[0]) as process:
        state = paused(process, HASH, CSV, 30_000)
        digest = state.header.module
        false = PausedState(root=state.root, data=bend(state.data))
        refused = process.execute_until(digest, CSV, LIMITS, SEED, state=false)
        assert isinstance(refused, StateRefused), refused
        assert problem in refused.reason
        result = process.execute_until(digest, CSV, LIMITS, SEED, state=state)
    assert agreed(result) == ordinary(HASH, CSV)


def test_a_state_is_taken_up_under_nothing_but_what_it_was_paused_under() -> None:
    other = ExecutionLimits(gas_max=LIMITS.gas_max - 1)
    with PausingProcess(ENGINES[0]) as process:
        state = paused(process, HASH, CSV, 30_000)
        digest = state.header.module
        elsewhere = ready(process, (EXAMPLES / "csv-stats/stats.wasm").read_bytes())
        for module_, data, limits, seed in (
            (elsewhere, CSV, LIMITS, SEED),
            (digest, CSV + b".", LIMITS, SEED),
            (digest, CSV, other, SEED),
            (digest, CSV, LIMITS, bytes(32)),
        ):
            refused = process.execute_until(module_, data, limits, seed, state=state)
            assert isinstance(refused, StateRefused), refused


def test_a_module_that_cannot_be_paused_is_refused_with_the_reason() -> None:
    source = bytes(
        wasmtime.wat2wasm("""(module (memory (export "memory") 1) (table 1 funcref)
        (func (export "_start") (table.set (i32.const 0) (ref.null func))))""")
    )
    with PausingProcess(ENGINES[0]) as process:
        refused = process.prepare_pausable(source)
    assert isinstance(refused, ModuleRefused)
    assert refused.reason.startswith("the module can run, but not be paused: ")
    assert "table.set" in refused.reason


def test_a_module_is_made_pausable_there_as_it_is_here() -> None:
    here = make_pausable(module("echo"))
    assert isinstance(here, Pausable)
    with PausingProcess(ENGINES[0]) as process:
        there = process.prepare_pausable(module("echo"))
    assert isinstance(there, ModulePrepared)
    assert there.module == here.module


def moves_through_pieces(size_bytes: int) -> None:
    source, data = wide(size_bytes), b"...."
    expected = ordinary(source, data)
    assert expected.kind is OutcomeKind.COMPLETED
    with PausingProcess(ENGINES[0]) as process:
        state = paused(process, source, data, expected.gas // 2)
    assert len(state.data) > size_bytes
    with PausingProcess(ENGINES[-1]) as process:
        digest = ready(process, source)
        result = process.execute_until(digest, data, LIMITS, SEED, state=state)
    assert agreed(result) == expected


def test_a_state_larger_than_a_frame_travels_in_pieces() -> None:
    moves_through_pieces(FRAME_BYTES_MAX)


@pytest.mark.slow
def test_a_state_of_all_the_memory_there_can_be_travels_too() -> None:
    moves_through_pieces(MEMORY_BYTES_CEILING)


@pytest.mark.parametrize("name", ["recursion", "loop", "trap"])
def test_all_engines_have_the_same_trace_wherever_it_ends(name: str) -> None:
    # Of three engines at once, each step of which stops: long where others want the processors.
    limits = ExecutionLimits(gas_max=500_000, wall_ms_max=300_000)
    call = ModuleCall(module(name), b"1", limits, SEED)
    found = trace(call, tuple(ENGINES), 5)
    assert found.agreed
    assert found.differences == ()
    first, *others = found.traces
    assert first.answer.outcome != "completed"
    assert len(first.checkpoints) <= 5
    assert first.checkpoints or name == "trap"
    assert all(other.checkpoints == first.checkpoints for other in others)


@pytest.mark.parametrize("how", ["hasty", "hoards", "hollow", "disordered", "greedy"])
def test_what_a_strange_process_says_of_a_pause_is_an_abort(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_astray(how, tmp_path, monkeypatch)
    state = PausedState(root=bytes(32), data=b"-")
    asks: list[Callable[[PausingProcess], object]] = [
        lambda process: process.execute_until(bytes(32), b"", LIMITS, SEED, pause_at=7),
        lambda process: process.execute_until(bytes(32), b"", LIMITS, SEED, state=state),
        lambda process: process.trace(bytes(32), b"", LIMITS, SEED, 7),
    ]
    for ask in asks:
        with PausingProcess(ENGINES[0]) as process:
            assert ask(process) == Aborted(
                reason="the worker process gave an answer that makes no sense"
            )


def test_a_state_file_says_what_it_is() -> None:
    with PausingProcess(ENGINES[0]) as process:
        state = paused(process, HASH, CSV, 30_000)
    file = encode_file(state)
    assert decode_file(file, "s") == state
    assert decode_state(state.data).root() == state.root
    with pytest.raises(UsageError, match="s: is no state of a paused execution"):
        decode_file(b"\0asm", "s")
    with pytest.raises(UsageError, match="s: is damaged"):
        decode_file(file[:60], "s")
    assert str(damaged("s", "x")) == "s: is damaged: x; pause the execution again"
