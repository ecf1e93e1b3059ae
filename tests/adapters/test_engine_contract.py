"""The engine port on every engine: what traps mean, what a host call's exception does, no leaks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import wasmtime

from ambientd.adapters.engines import open_engine
from ambientd.model.execution import PAGE_BYTES, ExecutionLimits, ExecutionResult, TrapReason
from ambientd.ports.engine import (
    CompiledModule,
    Engine,
    EngineFailureError,
    Instance,
    ModuleInvalidError,
    TrapError,
)
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute
from tests.engines import engines
from tests.modules.compiled import module, prepared

MEMORY = 512 << 20
GAS = 1 << 40
WASI = "wasi_snapshot_preview1"


@pytest.fixture(scope="module", params=engines())
def engine(request: pytest.FixtureRequest) -> Engine:
    return open_engine(request.param)


def compiled(engine: Engine, text: str) -> CompiledModule:
    return engine.compile(bytes(wasmtime.wat2wasm(text)))


def opened(
    engine: Engine, text: str, memory_bytes_max: int = MEMORY, host: "Host | None" = None
) -> Instance:
    return compiled(engine, text).instantiate(memory_bytes_max, host)


class Host:
    """Records what it is asked and answers with a number or an exception."""

    def __init__(self, answer: int | Exception | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, tuple[int, ...]]] = []

    def call(self, name: str, *arguments: int) -> int | None:
        self.asked.append((name, arguments))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        (0, TrapReason.UNREACHABLE),
        (1, TrapReason.MEMORY_OUT_OF_BOUNDS),
        (2, TrapReason.TABLE_OUT_OF_BOUNDS),
        (3, TrapReason.INDIRECT_CALL_TO_NULL),
        (4, TrapReason.INDIRECT_CALL_TYPE_MISMATCH),
        (5, TrapReason.INTEGER_DIVIDE_BY_ZERO),
        (6, TrapReason.INTEGER_OVERFLOW),
        (7, TrapReason.BAD_CONVERSION_TO_INTEGER),
    ],
)
def test_each_trap_has_one_name(engine: Engine, choice: int, reason: TrapReason) -> None:
    instance = engine.compile(prepared("trap")).instantiate(MEMORY, None)
    instance.set_global("__ambient_gas", GAS)
    instance.write(1024, bytes([choice]))
    with pytest.raises(TrapError) as caught:
        instance.call("run", 1024, 1)
    assert caught.value.reason is reason
    instance.close()


M, T = TrapReason.MEMORY_OUT_OF_BOUNDS, TrapReason.TABLE_OUT_OF_BOUNDS
OTHER_TRAPS = {
    "(drop (v128.load (i32.const 65530)))": M,
    "(i64.store32 offset=4294967295 (i32.const -1) (i64.const 0))": M,
    "(v128.store8_lane offset=65536 0 (i32.const 0) (v128.const i64x2 0 0))": M,
    "(v128.store16_lane offset=65535 7 (i32.const 0) (v128.const i64x2 0 0))": M,
    "(v128.store32_lane offset=4294967295 3 (i32.const -1) (v128.const i64x2 0 0))": M,
    "(v128.store64_lane offset=1 1 (i32.const 65528) (v128.const i64x2 0 0))": M,
    "(drop (v128.load8_lane offset=65536 0 (i32.const 0) (v128.const i64x2 0 0)))": M,
    "(drop (v128.load64_zero offset=65529 (i32.const 0)))": M,
    "(memory.fill (i32.const 65535) (i32.const 1) (i32.const 2))": M,
    "(memory.fill (i32.const 65537) (i32.const 1) (i32.const 0))": M,
    "(memory.copy (i32.const 0) (i32.const 65535) (i32.const 2))": M,
    "(memory.init $d (i32.const 0) (i32.const 2) (i32.const 2))": M,
    "(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))": M,
    "(drop (table.get $t (i32.const 4)))": T,
    "(table.set $t (i32.const -1) (ref.null func))": T,
    "(table.fill $t (i32.const 3) (ref.null func) (i32.const 2))": T,
    "(table.copy $t $t (i32.const 0) (i32.const 3) (i32.const 2))": T,
    "(table.init $t $e (i32.const 0) (i32.const 1) (i32.const 1))": T,
    "(elem.drop $e) (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))": T,
    "(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))": TrapReason.INTEGER_OVERFLOW,
    "(drop (i64.rem_u (i64.const 1) (i64.const 0)))": TrapReason.INTEGER_DIVIDE_BY_ZERO,
    "(drop (i32.trunc_f64_u (f64.const -1)))": TrapReason.INTEGER_OVERFLOW,
    "(drop (i64.trunc_f32_s (f32.const inf)))": TrapReason.INTEGER_OVERFLOW,
    "(drop (i64.trunc_f64_s (f64.const nan)))": TrapReason.BAD_CONVERSION_TO_INTEGER,
}


@pytest.mark.parametrize("code", OTHER_TRAPS)
def test_a_trap_has_the_same_name_whatever_the_operation(engine: Engine, code: str) -> None:
    instance = opened(
        engine,
        '(module (memory (export "memory") 1) (data $d "abc") (table $t 4 funcref)'
        f' (elem $e func $f) (func $f (export "go") {code}))',
    )
    with pytest.raises(TrapError) as caught:
        instance.call("go")
    assert caught.value.reason is OTHER_TRAPS[code]
    instance.close()


def test_the_shape_tells_signatures_memory_and_counters(engine: Engine) -> None:
    shape = engine.compile(prepared("wasi")).shape
    assert shape.functions["_start"] == "->"
    assert shape.imported_modules == {WASI}
    assert shape.memory_pages_min == 1
    assert {"__ambient_gas", "__ambient_depth"} <= shape.integer_globals
    assert engine.compile(prepared("echo")).shape.functions["run"] == "ii->l"


def test_the_shape_is_the_same_on_every_engine(engine: Engine) -> None:
    text = (
        '(module (memory (export "other") 3) (global (export "fixed") i32 (i32.const 1))'
        ' (global (export "float") (mut f32) (f32.const 0)) (table (export "t") 1 funcref)'
        ' (global (export "counter") (mut i64) (i64.const 0))'
        ' (func (export "f") (param i32 i64 f32 f64 v128 funcref) (result i64 f32) unreachable))'
    )
    shape = compiled(engine, text).shape
    assert shape.functions == {"f": "il????->l?"}
    assert shape.integer_globals == {"counter"}
    assert shape.memory_pages_min is None
    assert shape.imported_modules == frozenset()


def test_a_module_whose_types_do_not_fit_is_invalid(engine: Engine) -> None:
    with pytest.raises(ModuleInvalidError):
        engine.compile(module("ill_typed"))


@pytest.mark.parametrize("data", [b"", b"\0asm", b"(module)", bytes(100)])
def test_what_is_no_module_is_invalid(engine: Engine, data: bytes) -> None:
    with pytest.raises(ModuleInvalidError):
        engine.compile(data)


@pytest.mark.parametrize(
    "entry",
    [
        '"env" "fd_seek" (func (param i32 i64 i32 i32) (result i32))',
        f'"{WASI}" "fd_seek" (func (param i32 i32 i32 i32) (result i32))',
        f'"{WASI}" "fd_seek" (func (param i32 i64 i32 i32))',
        f'"{WASI}" "fd_seek" (global i32)',
        f'"{WASI}" "memory" (memory 1)',
    ],
)
def test_an_import_that_no_host_gives_is_invalid(engine: Engine, entry: str) -> None:
    with pytest.raises(ModuleInvalidError):
        compiled(engine, f"(module (import {entry}))")


@pytest.mark.parametrize(
    "text",
    [
        '(module (memory (export "memory") i64 1))',
        "(module (memory 1) (memory 1))",
        "(module (memory 1 1 shared))",
        "(module (func $f (return_call $f)))",
        "(module (tag $t) (func (throw $t)))",
        "(module (func (param v128 v128 v128) (result v128) local.get 0 local.get 1 local.get 2"
        " f32x4.relaxed_madd))",
        "(module (type (struct)))",
        "(module (func (param i64 i64) (result i64 i64)"
        " (i64.mul_wide_u (local.get 0) (local.get 1))))",
    ],
)
def test_proposals_that_the_rewriter_does_not_know_are_off(engine: Engine, text: str) -> None:
    with pytest.raises(ModuleInvalidError):
        compiled(engine, text)


GROWER = (
    '(module (memory (export "memory") 1) (func (export "grow") (param i32) (result i32)'
    " (memory.grow (local.get 0))))"
)


def test_memory_grows_to_the_limit_and_not_beyond(engine: Engine) -> None:
    instance = opened(engine, GROWER, 10 * PAGE_BYTES)
    assert instance.call("grow", 10) == -1
    assert instance.call("grow", -1) == -1
    assert instance.call("grow", 9) == 1
    assert instance.call("grow", 1) == -1
    assert instance.call("grow", 0) == 10
    assert instance.memory_bytes() == 10 * PAGE_BYTES
    instance.write(10 * PAGE_BYTES - 3, b"end")
    assert instance.read(10 * PAGE_BYTES - 3, 3) == b"end"
    assert instance.read(PAGE_BYTES, 100) == bytes(100)
    instance.close()


def test_a_limit_between_two_pages_counts_the_whole_ones(engine: Engine) -> None:
    instance = opened(engine, GROWER, 3 * PAGE_BYTES - 1)
    assert instance.call("grow", 2) == -1
    assert instance.call("grow", 1) == 1
    instance.close()


def test_memory_grows_to_its_own_maximum_where_that_is_less(engine: Engine) -> None:
    instance = opened(engine, GROWER.replace(") 1)", ") 1 4)"))
    assert instance.call("grow", 4) == -1
    assert instance.call("grow", 3) == 1
    instance.close()


def test_instances_of_one_module_have_limits_of_their_own(engine: Engine) -> None:
    grower = compiled(engine, GROWER)
    small, large = grower.instantiate(2 * PAGE_BYTES, None), grower.instantiate(MEMORY, None)
    assert (small.call("grow", 2), large.call("grow", 2)) == (-1, 1)
    assert (small.memory_bytes(), large.memory_bytes()) == (PAGE_BYTES, 3 * PAGE_BYTES)
    small.close()
    large.close()


@pytest.mark.slow
def test_the_largest_memory_can_be_had_in_steps(engine: Engine) -> None:
    instance = opened(engine, GROWER)
    for pages in range(1, 8_192, 1_365):
        assert instance.call("grow", 1_365 if pages + 1_365 < 8_192 else 8_192 - pages) == pages
    assert instance.memory_bytes() == MEMORY
    assert instance.call("grow", 1) == -1
    assert instance.read(MEMORY - 8, 8) == bytes(8)
    instance.close()


def test_more_memory_than_the_limit_at_the_start_is_a_failure(engine: Engine) -> None:
    with pytest.raises(EngineFailureError):
        opened(engine, '(module (memory (export "memory") 2))', PAGE_BYTES)


def test_tables_grow_to_the_limit_and_not_beyond(engine: Engine) -> None:
    instance = opened(
        engine,
        '(module (memory (export "memory") 1) (table $t 1 externref) (table $u 1 5 funcref)'
        ' (func (export "t") (param i32) (result i32)'
        "  (table.grow $t (ref.null extern) (local.get 0)))"
        ' (func (export "u") (param i32) (result i32)'
        "  (table.grow $u (ref.null func) (local.get 0)))"
        ' (func (export "size") (result i32) (table.size $t)))',
    )
    assert instance.call("t", 1 << 18) == -1
    assert instance.call("t", -1) == -1
    assert instance.call("t", (1 << 18) - 1) == 1
    assert instance.call("size") == 1 << 18
    assert instance.call("t", 1) == -1
    assert (instance.call("u", 5), instance.call("u", 4)) == (-1, 1)
    instance.close()


@pytest.mark.parametrize("tables", ["(table 262145 funcref)", "(table 1 funcref)" * 9])
def test_more_tables_than_preparation_allows_are_a_failure(engine: Engine, tables: str) -> None:
    with pytest.raises(EngineFailureError):
        opened(engine, f'(module (memory (export "memory") 1) {tables})')


SEEKER = (
    f'(module (import "{WASI}" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))'
    ' (memory (export "memory") 1) (global (export "count") (mut i64) (i64.const 7))'
    ' (func (export "go") (result i32)'
    " (call $seek (i32.const -1) (i64.const -2) (i32.const 3) (i32.const 4))"
    " (i32.add (i32.load (i32.const 8)))"
    " (i32.add (i32.wrap_i64 (global.get 0)))))"
)


def test_a_host_call_sees_signed_integers_and_its_answer_arrives(engine: Engine) -> None:
    host = Host(8)
    instance = opened(engine, SEEKER, MEMORY, host)
    assert instance.call("go") == 15
    assert host.asked == [("fd_seek", (-1, -2, 3, 4))]
    instance.close()


def test_a_host_call_without_a_result_comes_back(engine: Engine) -> None:
    host = Host(None)
    instance = opened(
        engine,
        f'(module (import "{WASI}" "proc_exit" (func $exit (param i32)))'
        f' (import "{WASI}" "proc_exit" (func $again (param i32)))'
        ' (memory (export "memory") 1)'
        ' (func (export "go") (call $exit (i32.const 1)) (call $again (i32.const 2))))',
        MEMORY,
        host,
    )
    assert instance.call("go") is None
    assert host.asked == [("proc_exit", (1,)), ("proc_exit", (2,))]
    instance.close()


def test_the_host_uses_the_instance_during_its_call(engine: Engine) -> None:
    class Guest(Host):
        instance: Instance

        def call(self, name: str, *arguments: int) -> int | None:
            assert self.instance.memory_bytes() == PAGE_BYTES
            assert self.instance.global_value("count") == 7
            self.instance.set_global("count", 20)
            self.instance.write(8, (300).to_bytes(4, "little"))
            assert self.instance.read(8, 2) == b"\x2c\x01"
            return 1

    host = Guest(None)
    host.instance = opened(engine, SEEKER, MEMORY, host)
    assert host.instance.call("go") == 321
    host.instance.close()


def test_an_exception_from_a_host_call_ends_the_call_unchanged(engine: Engine) -> None:
    reason = ValueError("enough")
    instance = opened(engine, SEEKER, MEMORY, Host(reason))
    for _ in range(2):
        with pytest.raises(ValueError, match="enough") as caught:
            instance.call("go")
        assert caught.value is reason
    assert instance.global_value("count") == 7
    instance.close()


@pytest.fixture
def exhausted(engine: Engine) -> Iterator[Instance]:
    instance = engine.compile(module("recursion")).instantiate(MEMORY, None)
    yield instance
    instance.close()


def test_a_full_host_stack_is_the_engines_failure_and_no_outcome(exhausted: Instance) -> None:
    for _ in range(3):
        with pytest.raises(EngineFailureError, match="stack"):
            exhausted.call("run", 0, 0)


def deep(kind: str, locals_: int, operands: int) -> str:
    """Recurse without end, all locals and operands being needed after the call."""

    def load(index: int) -> str:
        return f"({kind}.load (i32.const {16 * index}))"

    places = range(1, 1 + locals_)
    frame = "".join(f"(local.set {place} {load(place)})" for place in places)
    pushed = "".join(load(index) for index in range(operands))
    folded = f"({kind}.xor)" * (operands - 1) + "(local.set 1)"
    used = "".join(f"({kind}.store (i32.const 0) (local.get {place}))" for place in places)
    return (
        '(module (memory (export "memory") 1)'
        f" (func $f (param i32) (local{f' {kind}' * locals_})"
        f" {frame} {pushed} (call $f (i32.const 0)) {folded} {used})"
        ' (func (export "alloc") (param i32) (result i32) (i32.const 0))'
        ' (func (export "run") (param i32 i32) (result i64) (call $f (i32.const 0)) (i64.const 0)))'
    )


@pytest.mark.parametrize("kind", ["i64", "f64", "v128"])
@pytest.mark.parametrize(("locals_", "operands"), [(1, 1), (500, 1), (1, 500), (4_000, 2)])
def test_the_rewriters_depth_limit_comes_before_the_end_of_the_stack(
    engine: Engine, kind: str, locals_: int, operands: int
) -> None:
    text = deep(kind, locals_, operands).replace("(f64.xor)", "(f64.add)")
    outcome = prepare(bytes(wasmtime.wat2wasm(text)))
    assert isinstance(outcome, Prepared), outcome
    result = execute(engine.compile(outcome.module), b"", ExecutionLimits(), bytes(32))
    assert isinstance(result, ExecutionResult), result
    assert result.reason == TrapReason.CALL_DEPTH


def test_a_segment_outside_the_memory_traps_while_instantiating(engine: Engine) -> None:
    with pytest.raises(TrapError) as caught:
        engine.compile(prepared("bad_segment")).instantiate(MEMORY, None)
    assert caught.value.reason is TrapReason.MEMORY_OUT_OF_BOUNDS


def test_an_element_outside_the_table_traps_while_instantiating(engine: Engine) -> None:
    with pytest.raises(TrapError) as caught:
        opened(
            engine,
            '(module (memory (export "memory") 1) (table 1 funcref) (func $f)'
            " (elem (i32.const 1) $f))",
        )
    assert caught.value.reason is TrapReason.TABLE_OUT_OF_BOUNDS


def test_counters_are_read_and_written(engine: Engine) -> None:
    instance = engine.compile(prepared("echo")).instantiate(MEMORY, None)
    instance.set_global("__ambient_gas", -(1 << 63))
    assert instance.global_value("__ambient_gas") == -(1 << 63)
    assert instance.global_value("__ambient_depth") == 0
    with pytest.raises(EngineFailureError):
        instance.set_global("__ambient_depth", 1)
    instance.close()


def test_every_instance_starts_afresh(engine: Engine) -> None:
    counter = compiled(
        engine,
        '(module (memory (export "memory") 1) (data (i32.const 0) "\\01")'
        ' (global $g (export "g") (mut i64) (i64.const 5)) (table $t 1 funcref)'
        " (elem declare func 0)"
        ' (func (export "go") (result i32) (i32.store8 (i32.const 0)'
        " (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))"
        " (global.set $g (i64.add (global.get $g) (i64.const 1)))"
        " (table.set $t (i32.const 0) (ref.func 0)) (drop (memory.grow (i32.const 1)))"
        " (i32.load8_u (i32.const 0))))",
    )
    for _ in range(3):
        instance = counter.instantiate(MEMORY, None)
        assert instance.global_value("g") == 5
        assert (instance.call("go"), instance.call("go")) == (2, 3)
        assert instance.memory_bytes() == 3 * PAGE_BYTES
        instance.close()


def test_a_module_comes_back_from_its_serialized_form(engine: Engine) -> None:
    original = engine.compile(prepared("wasi"))
    data = original.serialize()
    if data is None:
        with pytest.raises(EngineFailureError):
            engine.restore(b"anything")
        return
    restored = open_engine(engine.name).restore(data)
    assert restored.shape == original.shape
    assert restored.serialize() is not None
    reason = ValueError("enough")
    instance = restored.instantiate(MEMORY, Host(reason))
    instance.set_global("__ambient_gas", GAS)
    with pytest.raises(ValueError, match="enough") as caught:
        instance.call("_start")
    assert caught.value is reason
    instance.close()


@pytest.mark.parametrize("data", [b"", b"no module of ours at all", bytes(200)])
def test_what_no_engine_serialized_does_not_come_back(engine: Engine, data: bytes) -> None:
    with pytest.raises(EngineFailureError):
        engine.restore(data)


def test_compiling_starts_no_thread(engine: Engine) -> None:
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    engine.compile(prepared("wasi"))
    assert len(list(tasks.iterdir())) == before


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.slow
def test_five_hundred_instances_leave_no_memory_behind(engine: Engine) -> None:
    bomb = engine.compile(prepared("bomb"))

    def run(times: int) -> None:
        for _ in range(times):
            instance = bomb.instantiate(64 * PAGE_BYTES, None)
            instance.set_global("__ambient_gas", GAS)
            assert instance.call("run", 0, 0) == 4
            instance.close()

    run(50)
    before = resident_kib()
    run(500)
    assert resident_kib() - before < 3_000


@pytest.mark.slow
def test_five_hundred_traps_leave_no_memory_behind(engine: Engine) -> None:
    trapping = engine.compile(prepared("trap"))

    def run(times: int) -> None:
        for _ in range(times):
            instance = trapping.instantiate(MEMORY, None)
            instance.set_global("__ambient_gas", GAS)
            instance.write(1024, b"\0")
            with pytest.raises(TrapError):
                instance.call("run", 1024, 1)
            instance.close()

    run(50)
    before = resident_kib()
    run(500)
    assert resident_kib() - before < 3_000


@pytest.mark.slow
def test_five_hundred_modules_leave_no_memory_behind(engine: Engine) -> None:
    body = "(i64.store (i32.const 0) (i64.load (i32.const 8)))" * 20
    text = '(module (memory (export "memory") 1)' + f"(func {body})" * 100 + ")"
    code = bytes(wasmtime.wat2wasm(text))
    data = engine.compile(code).serialize()

    def run(times: int) -> None:
        for _ in range(times):
            again = engine.compile(code) if data is None else engine.restore(data)
            again.instantiate(MEMORY, None).close()

    run(50)
    before = resident_kib()
    run(500)
    assert resident_kib() - before < 3_000
