"""Paused and taken up again: anywhere, on any engine, with the same result, gas and roots."""

from functools import cache
from pathlib import Path

import msgspec
import pytest
import wasmtime
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ambientd.adapters.engines import open_engine
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import (
    PAGE_BYTES,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.ports.engine import Engine
from ambientd.wasm.pausing import Pausable, make_pausable
from ambientd.wasm.state import Stage, State, decode_state, encode_state
from ambientd.worker.execution import execute
from ambientd.worker.pausing import (
    Ended,
    PausableExecution,
    PausableModule,
    Paused,
    execute_with_trace,
)
from tests.engines import engines
from tests.modules.compiled import module
from tests.wasm.running import ABI
from tests.worker.pausable_programs import PausableProgram

ROOT = Path(__file__).parents[2]
SEED = bytes(range(32))
LIMITS = ExecutionLimits(gas_max=300_000, memory_bytes_max=64 * PAGE_BYTES)
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=80)
ENGINES = engines()


@cache
def engine(name: str) -> Engine:
    return open_engine(name)


@cache
def made(source: bytes) -> Pausable:
    outcome = make_pausable(source)
    assert isinstance(outcome, Pausable), outcome
    return outcome


@cache
def compiled(source: bytes, name: str) -> PausableModule:
    pausable = made(source).module
    return PausableModule(engine(name).compile(pausable), sha256(pausable))


def agreed(result: ExecutionResult | Aborted) -> ExecutionResult:
    """What nodes agree on: all but the log, in which engines word a trap themselves."""
    assert isinstance(result, ExecutionResult), result
    return msgspec.structs.replace(result, log=b"")


def ordinary(source: bytes, data: bytes, limits: ExecutionLimits = LIMITS) -> ExecutionResult:
    prepared = engine(ENGINES[0]).compile(made(source).prepared.module)
    return agreed(execute(prepared, data, limits, SEED))


def trace_of(
    source: bytes, name: str, data: bytes, limits: ExecutionLimits, step: int
) -> tuple[ExecutionResult, tuple[TracePoint, ...]]:
    result, _, trace = execute_with_trace(compiled(source, name), data, limits, SEED, step)
    return agreed(result), trace


def moved(
    source: bytes, data: bytes, limits: ExecutionLimits, indices: list[int]
) -> tuple[ExecutionResult, list[TracePoint]]:
    """Pause at each index and go on in a fresh instance of the next engine."""
    execution = PausableExecution(compiled(source, ENGINES[0]), data, limits, SEED)
    seen = []
    for turn, index in enumerate(indices, 1):
        stop = execution.run_until(index)
        if isinstance(stop, Ended):
            break
        encoded = encode_state(stop.state)
        state = decode_state(encoded)
        assert encode_state(state) == encoded
        seen.append(TracePoint(gas_index=state.gas_index, root=state.root()))
        execution.close()
        name = ENGINES[turn % len(ENGINES)]
        execution = PausableExecution.resume(compiled(source, name), state, data)
    else:
        stop = execution.run_until(None)
    execution.close()
    assert isinstance(stop, Ended)
    return agreed(stop.result), seen


def check(source: bytes, data: bytes, limits: ExecutionLimits, step: int) -> list[TracePoint]:
    """Hold all that a trace and a journey through the engines give against one run."""
    expected = ordinary(source, data, limits)
    traces = []
    for name in ENGINES:
        result, trace = trace_of(source, name, data, limits, step)
        assert result == expected
        traces.append(trace)
    assert all(trace == traces[0] for trace in traces)
    indices = [point.gas_index for point in traces[0]]
    assert indices == sorted(set(indices))
    assert all(0 <= index <= limits.gas_max for index in indices)
    result, seen = moved(source, data, limits, indices)
    assert result == expected
    assert seen == list(traces[0])
    return seen


def program(fields: str, abi: str = ABI) -> bytes:
    return bytes(wasmtime.wat2wasm(f'(module (memory (export "memory") 1) {fields} {abi})'))


def runs(function: str, fields: str = "") -> bytes:
    """A module whose `run` stores what `$main` gives for the input's first byte."""
    return program(
        f"""{fields} {function}
        (func (export "alloc") (param i32) (result i32) (i32.const 1024))
        (func (export "run") (param i32 i32) (result i64)
          (i64.store (i32.const 0) (call $main (i32.load8_u (local.get 0)))) (i64.const 8))""",
        abi="",
    )


@pytest.mark.slow
@SETTINGS
@given(
    seed=st.integers(0, 2**32),
    sizes=st.sampled_from(((1_000, 1), (10_000, 100), (300_000, 5_000))),
)
@example(seed=348, sizes=(1_000, 1))  # an `if` whose first arm has no points
def test_a_random_program_is_paused_anywhere_and_goes_on_anywhere(
    seed: int, sizes: tuple[int, int]
) -> None:
    gas_max, step = sizes
    source = PausableProgram(seed).binary()
    if isinstance(make_pausable(source), Pausable):
        limits = msgspec.structs.replace(LIMITS, gas_max=gas_max)
        check(source, bytes(range(200)), limits, step)


SHAPES = {
    # operands below a call, of every kind, NaNs with payloads among them
    "operands": """
      (func $f (param i32) (result i32) (loop) (local.get 0))
      (func $main (param $n i32) (result i64)
        (i64.add (i64.const 5) (i64.add
          (i64.reinterpret_f64 (f64.add (f64.const -nan:0x123) (f64.convert_i32_s
            (i32.add (call $f (local.get $n)) (call $f (i32.const 9))))))
          (i64.extend_i32_u (i32x4.extract_lane 2 (i32x4.add (i32x4.splat (local.get $n))
            (i32x4.splat (i32.add (i32.reinterpret_f32 (f32.mul (f32.const nan:0x99)
              (f32.convert_i32_s (call $f (i32.const 3))))) (call $f (i32.const 1))))))))))""",
    # a block with parameters that holds a call below its own operands
    "block parameters": """
      (func $f (param i32) (result i32) (loop) (i32.mul (local.get 0) (i32.const 3)))
      (func $main (param $n i32) (result i64) (local $x i64)
        (i64.const 1) (local.get $n) (f32.const 2.5)
        (block (param i32 f32) (result i32 i64)
          i32.trunc_f32_s call $f i64.extend_i32_u
          (br_if 0 (i32.gt_u (local.get $n) (i32.const 200)))
          drop call $f (i64.extend_i32_u (call $f (i32.const 4))))
        local.set $x i64.extend_i32_u i64.add (i64.add (local.get $x)))""",
    # a loop with parameters: its slots are used again by what lies at the same height
    "loop parameters": """
      (func $f (param i32) (result i32) (loop) (i32.add (local.get 0) (i32.const 1)))
      (func $main (param $n i32) (result i64) (local $i i32)
        (i64.const 3) (i32.const 4)
        (loop $l (param i64 i32) (result i64 i32)
          local.set $i (i64.const 7) i64.mul (call $f (local.get $i))
          (br_if $l (i32.lt_u (local.tee $i (call $f (local.get $i))) (i32.const 12))))
        i64.extend_i32_u i64.xor)""",
    # both arms of an `if` with parameters, and one arm alone
    "alternatives": """
      (func $f (param i32) (result i32) (loop) (i32.rotl (local.get 0) (i32.const 3)))
      (func $main (param $n i32) (result i64) (local $i i32)
        (i64.const 3)
        (loop $l
          (i64.const 5) (i32.and (local.get $i) (i32.const 1))
          (if (param i64) (result i64)
            (then drop (i64.extend_i32_u (call $f (i32.add (call $f (local.get $i))
              (local.get $n)))))
            (else (i64.extend_i32_u (call $f (local.get $n))) i64.add))
          (i64.add (global.get $g)) global.set $g
          (if (i32.gt_u (local.get $i) (i32.const 3)) (then
            (local.set $n (call $f (local.get $n)))))
          (if (i32.gt_u (local.get $i) (i32.const 9)) (then (nop)) (else
            (if (i32.eqz (local.get $n)) (then (unreachable)))
            (drop (call $f (local.get $n)))))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
            (i32.const 12))))
        (i64.add (global.get $g)))""",
    # a switch with calls behind every label, and dead code with calls
    "branch table": """
      (func $f (param i32) (result i32) (loop) (i32.sub (local.get 0) (i32.const 1)))
      (func $main (param $n i32) (result i64) (local $s i32)
        (loop $l
          (block $d (block $c (block $b (block $a
            (br_table $a $b $c $d (i32.and (local.get $n) (i32.const 3))))
            (local.set $s (i32.add (local.get $s) (call $f (local.get $n)))) (br $d)
            (drop (call $f (i32.const 1))) (loop (drop (call $f (i32.const 2)))))
            (local.set $s (i32.mul (call $f (local.get $s)) (call $f (i32.const 4)))))
            (local.set $s (i32.xor (local.get $s) (call $f (local.get $s)))))
          (br_if $l (local.tee $n (call $f (local.get $n)))))
        (i64.extend_i32_u (local.get $s)))""",
    # recursion through a table, several results, a call as a block's last instruction
    "recursion": """
      (type $t (func (param i32) (result i32 i64)))
      (table funcref (elem $r $s))
      (func $r (param $n i32) (result i32 i64)
        (if (result i32 i64) (i32.eqz (local.get $n)) (then (i32.const 1) (i64.const 2))
          (else (call_indirect (type $t) (i32.sub (local.get $n) (i32.const 1))
            (i32.and (local.get $n) (i32.const 1))))))
      (func $s (type $t) (local i64)
        (call_indirect (type $t) (i32.shr_u (local.get 0) (i32.const 1)) (i32.const 0))
        (i64.add (i64.const 1)) local.set 1 (i32.add (local.get 0)) (local.get 1))
      (func $main (param $n i32) (result i64)
        (call $r (local.get $n)) (block (param i32 i64) (result i64) (call $d) drop
          i64.extend_i32_u))
      (func $d (param i32 i64) (result i32 i64) (loop) (local.get 0) (local.get 1))""",
    # every kind of local and global, alive across a loop
    "variables": """
      (global $h (mut f32) (f32.const nan:0x7)) (global $d (mut f64) (f64.const -nan:0x5))
      (global $v (mut v128) (v128.const i64x2 3 -1)) (global $c i32 (i32.const 2))
      (func $main (param $n i32) (result i64) (local $f f32) (local $e f64) (local $w v128)
        (local.set $f (f32.const nan:0x3)) (local.set $e (f64.const 4.5))
        (loop $l
          (local.set $w (v128.xor (global.get $v) (f32x4.sqrt (f32x4.splat (local.get $f)))))
          (global.set $v (i64x2.add (local.get $w) (i64x2.splat (i64.const 77))))
          (global.set $h (f32.sub (global.get $h) (local.get $f)))
          (global.set $d (f64.mul (local.get $e) (f64.const -2)))
          (local.set $e (global.get $d)) (local.set $f (f32.div (f32.const 0) (f32.const 0)))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (global.get $c)))))
        (i64.xor (i64.reinterpret_f64 (local.get $e)) (i64x2.extract_lane 1 (local.get $w))))""",
    # memory grows between two pauses
    "memory": """
      (func $main (param $n i32) (result i64)
        (loop $l
          (drop (memory.grow (i32.const 1)))
          (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4))
            (local.get $n))
          (memory.fill (i32.const 4096) (local.get $n) (i32.const 100))
          (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 2)))))
        (i64.or (i64.load (i32.const 4090)) (i64.extend_i32_u (memory.size))))""",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_of_code_is_paused_at_every_checkpoint(shape: str) -> None:
    source = runs(SHAPES[shape], "(global $g (mut i64) (i64.const 11))")
    assert ordinary(source, b"\x0a").kind is OutcomeKind.COMPLETED
    assert len(check(source, b"\x0a", LIMITS, 1)) >= 4


def test_start_alloc_and_run_may_each_be_under_way() -> None:
    source = program(
        """(global $g (mut i32) (i32.const 0)) (start $s)
        (func $spin (result i32) (local $i i32)
          (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
            (i32.const 5)))) (local.get $i))
        (func $s (global.set $g (call $spin)))
        (func (export "alloc") (param i32) (result i32)
          (i32.add (i32.mul (call $spin) (i32.const 100)) (global.get $g)))
        (func (export "run") (param i32 i32) (result i64)
          (i32.store (i32.const 0) (i32.add (i32.load8_u (local.get 0)) (call $spin)))
          (i64.const 4))""",
        abi="",
    )
    check(source, b"\x07", LIMITS, 1)
    execution = PausableExecution(compiled(source, ENGINES[0]), b"\x07", LIMITS, SEED)
    stages, index = set(), 0
    while isinstance(stop := execution.run_until(index + 1), Paused):
        stages.add(Stage(stop.state.header.stage))
        index = stop.state.gas_index
    execution.close()
    assert stages == {Stage.START, Stage.ALLOC, Stage.RUN}


COMMAND = """
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\64\\00\\00\\00\\03\\00\\00\\00")   ;; read 3 bytes to 100
  (data (i32.const 8) "\\64\\00\\00\\00\\18\\00\\00\\00")   ;; write 24 bytes from 100
  (func (export "_start")
    (loop $again
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 40)))
      (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 104)))
      (drop (call $random (i32.const 112) (i32.const 7)))
      (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 44)))
      (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 44)))
      (br_if $again (i32.load (i32.const 40))))
    (drop (call $close (i32.const 2)))
    (loop $more
      (drop (call $write (i32.const 2) (i32.const 8) (i32.const 1) (i32.const 44)))
      (br_if $more (i32.ne (i32.load (i32.const 44)) (i32.const 24)))))
"""


def test_streams_clock_and_random_bytes_go_on_where_they_were() -> None:
    source = bytes(wasmtime.wat2wasm(f"(module {COMMAND})"))
    limits = msgspec.structs.replace(LIMITS, gas_max=10_000_000)
    assert len(check(source, b"abcdefghijklm", limits, 1)) == 7
    prepared = engine(ENGINES[0]).compile(made(source).prepared.module)
    whole = execute(prepared, b"abcdefghijklm", limits, SEED)
    execution = PausableExecution(compiled(source, ENGINES[0]), b"abcdefghijklm", limits, SEED)
    stop = execution.run_until(100_000)
    assert isinstance(stop, Paused)
    execution.close()
    later = PausableExecution.resume(
        compiled(source, ENGINES[-1]), stop.state, b"abcdefghijklm"
    ).run_until(None)
    assert later == Ended(whole)  # the log as well


REFERENCE = [
    ("noop/noop.wasm", b"", 1),
    ("hello-compute/hello.wasm", b"Hello, mesh!\n" * 300, 20),
    ("image-classify/classify.wasm", None, 300),
]


@pytest.mark.parametrize(("path", "data", "parts"), REFERENCE)
def test_reference_modules_move_between_engines(path: str, data: bytes | None, parts: int) -> None:
    source = (ROOT / "examples" / path).read_bytes()
    digits = (ROOT / "examples" / "image-classify" / "digits-100.bin").read_bytes()
    limits = ExecutionLimits()
    given_ = data if data is not None else digits[:4].replace(b"\x64", b"\x08") + digits[4:516]
    expected = ordinary(source, given_, limits)
    assert expected.kind is OutcomeKind.COMPLETED
    seen = check(source, given_, limits, max(1, expected.gas // parts))
    assert len(seen) <= parts + 1


@pytest.mark.slow
def test_a_deep_recursion_is_paused_and_still_meets_the_same_depth() -> None:
    source = module("recursion")
    limits = msgspec.structs.replace(LIMITS, gas_max=1 << 40)
    assert ordinary(source, b"", limits).reason == "call_depth"
    assert len(check(source, b"", limits, 20_000)) >= 2


def test_a_pause_comes_at_the_first_checkpoint_that_is_not_before_the_index() -> None:
    source = runs(SHAPES["loop parameters"])
    every = [point.gas_index for point in check(source, b"\x01", LIMITS, 1)]
    for index in range(every[-1] + 2):
        execution = PausableExecution(compiled(source, ENGINES[0]), b"\x01", LIMITS, SEED)
        stop = execution.run_until(index)
        execution.close()
        due = next((at for at in every if at >= index), None)
        assert (stop.state.gas_index if isinstance(stop, Paused) else None) == due


def test_a_module_runs_through_when_nobody_asks_for_a_pause() -> None:
    source = runs(SHAPES["recursion"])
    module_ = compiled(source, ENGINES[0])
    assert agreed(execute(module_.compiled, b"\x09", LIMITS, SEED)) == ordinary(source, b"\x09")


@pytest.mark.parametrize("gas_max", [60, 100, 150, 200, 251])
def test_gas_runs_out_at_the_same_place_whether_paused_or_not(gas_max: int) -> None:
    source = runs(SHAPES["branch table"])
    limits = msgspec.structs.replace(LIMITS, gas_max=gas_max)
    assert ordinary(source, b"\x0a", limits).kind is OutcomeKind.OUT_OF_GAS
    check(source, b"\x0a", limits, 1)


def test_a_trace_takes_at_most_one_root_in_each_step() -> None:
    source = runs(SHAPES["alternatives"], "(global $g (mut i64) (i64.const 11))")
    _, trace = trace_of(source, ENGINES[0], b"\x0a", LIMITS, 100)
    steps = [point.gas_index // 100 for point in trace]
    assert steps == sorted(set(steps))
    with pytest.raises(ValueError, match="gas_step"):
        execute_with_trace(compiled(source, ENGINES[0]), b"", LIMITS, SEED, 0)


def a_state(source: bytes, index: int = 200) -> State:
    execution = PausableExecution(compiled(source, ENGINES[0]), b"\x0a", LIMITS, SEED)
    stop = execution.run_until(index)
    execution.close()
    assert isinstance(stop, Paused)
    return stop.state


def with_values(state: State, values: bytes) -> State:
    header = msgspec.structs.replace(
        state.header, values=sha256(values), values_count=len(values) // 8
    )
    return State(header, values, state.host, state.pages)


def outcome_of(state: State, source: bytes) -> Paused | Ended:
    execution = PausableExecution.resume(compiled(source, ENGINES[0]), state, b"\x0a")
    try:
        return execution.run_until(None)
    finally:
        execution.close()


def test_a_state_with_other_values_has_another_root_and_harms_nobody() -> None:
    source = runs(SHAPES["alternatives"], "(global $g (mut i64) (i64.const 11))")
    state = a_state(source)
    seen = set()
    for at in range(0, len(state.values), 4):
        for delta in (1, 0x80):
            values = bytearray(state.values)
            values[at] ^= delta
            other = with_values(state, bytes(values))
            assert other.root() != state.root()
            try:
                stop = outcome_of(other, source)
            except RemoteProtocolError as error:
                seen.add(str(error))
            else:
                assert isinstance(stop, Ended)
                assert isinstance(stop.result, ExecutionResult)
                assert stop.result.gas <= LIMITS.gas_max
    assert any("names other gas" in text for text in seen)


@pytest.mark.parametrize("values", [b"", bytes(8), bytes(24), bytes(8 * 200)])
def test_frames_that_do_not_fit_the_module_are_refused(values: bytes) -> None:
    source = runs(SHAPES["recursion"])
    state = a_state(source, 100)
    kept = state.values[: len(values) and -len(values)] if len(values) < 100 else state.values
    others = [with_values(state, kept[8:]), with_values(state, values + state.values)]
    for other in others:
        if other.values != state.values:
            with pytest.raises(RemoteProtocolError, match="the execution state"):
                outcome_of(other, source)


def test_a_state_of_another_module_or_input_is_refused() -> None:
    source = runs(SHAPES["recursion"])
    state = a_state(source, 100)
    with pytest.raises(RemoteProtocolError, match="another module or input"):
        PausableExecution.resume(compiled(source, ENGINES[0]), state, b"\x0b")
    with pytest.raises(RemoteProtocolError, match="another module or input"):
        outcome_of(state, runs(SHAPES["operands"]))


def test_a_state_with_memory_the_module_cannot_have_is_refused() -> None:
    source = bytes(
        wasmtime.wat2wasm(f'(module (memory (export "memory") 2 3) (func $f (loop)) {ABI})')
    )
    source = runs(SHAPES["recursion"])
    state = a_state(source, 100)
    for pages in (state.pages[:0], state.pages * 65):
        header = msgspec.structs.replace(state.header, pages=len(pages))
        with pytest.raises(RemoteProtocolError, match="pages of memory"):
            outcome_of(State(header, state.values, state.host, pages), source)


def test_host_snapshots_out_of_range_are_refused() -> None:
    source = runs(SHAPES["recursion"])
    state = a_state(source, 100)
    for host in (b"", b"\xc0", state.host + b"\0", bytes([state.host[0], 0x7F]) + state.host[2:]):
        header = msgspec.structs.replace(state.header, host=sha256(host), host_bytes=len(host))
        with pytest.raises(RemoteProtocolError):
            outcome_of(State(header, state.values, host, state.pages), source)
