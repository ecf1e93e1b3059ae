"""The engine: what traps mean, what a host call's exception does, that nothing leaks."""

from pathlib import Path

import pytest
import wasmtime

from ambientd.adapters.wasmtime_engine import WasmtimeEngine, WasmtimeModule
from ambientd.model.execution import PAGE_BYTES, TrapReason
from ambientd.ports.engine import EngineFailureError, ModuleInvalidError, TrapError
from tests.modules.compiled import module, prepared

MEMORY = 512 << 20
GAS = 1 << 40


@pytest.fixture(scope="module")
def engine() -> WasmtimeEngine:
    return WasmtimeEngine()


def compiled(engine: WasmtimeEngine, text: str) -> WasmtimeModule:
    return engine.compile(bytes(wasmtime.wat2wasm(text)))


class Host:
    """Records what it is asked and answers with a number or an exception."""

    def __init__(self, answer: int | Exception) -> None:
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
def test_each_trap_has_one_name(engine: WasmtimeEngine, choice: int, reason: TrapReason) -> None:
    instance = engine.compile(prepared("trap")).instantiate(MEMORY, None)
    instance.set_global("__ambient_gas", GAS)
    instance.write(1024, bytes([choice]))
    with pytest.raises(TrapError) as caught:
        instance.call("run", 1024, 1)
    assert caught.value.reason is reason
    instance.close()


def test_the_shape_tells_signatures_memory_and_counters(engine: WasmtimeEngine) -> None:
    shape = engine.compile(prepared("wasi")).shape
    assert shape.functions["_start"] == "->"
    assert shape.imported_modules == {"wasi_snapshot_preview1"}
    assert shape.memory_pages_min == 1
    assert {"__ambient_gas", "__ambient_depth"} <= shape.integer_globals
    assert engine.compile(prepared("echo")).shape.functions["run"] == "ii->l"


def test_a_module_whose_types_do_not_fit_is_invalid(engine: WasmtimeEngine) -> None:
    with pytest.raises(ModuleInvalidError):
        engine.compile(module("ill_typed"))


def test_an_import_that_no_host_gives_is_invalid(engine: WasmtimeEngine) -> None:
    with pytest.raises(ModuleInvalidError):
        engine.compile(module("forbidden_import"))


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
    ],
)
def test_proposals_that_the_rewriter_does_not_know_are_off(
    engine: WasmtimeEngine, text: str
) -> None:
    with pytest.raises(ModuleInvalidError):
        compiled(engine, text)


def test_memory_grows_to_the_limit_and_not_beyond(engine: WasmtimeEngine) -> None:
    text = '(module (memory (export "memory") 1) (func (export "grow") (param i32) (result i32)'
    grower = compiled(engine, text + " (memory.grow (local.get 0))))")
    instance = grower.instantiate(10 * PAGE_BYTES, None)
    assert instance.call("grow", 10) == -1
    assert instance.call("grow", 9) == 1
    assert instance.memory_bytes() == 10 * PAGE_BYTES
    instance.write(10 * PAGE_BYTES - 3, b"end")
    assert instance.read(10 * PAGE_BYTES - 3, 3) == b"end"
    instance.close()


def test_a_host_call_sees_signed_integers_and_its_answer_arrives(engine: WasmtimeEngine) -> None:
    host = Host(8)
    wasi = compiled(
        engine,
        '(module (import "wasi_snapshot_preview1" "fd_seek"'
        " (func $seek (param i32 i64 i32 i32) (result i32)))"
        ' (memory (export "memory") 1) (func (export "go") (result i32)'
        " (call $seek (i32.const -1) (i64.const -2) (i32.const 3) (i32.const 4))))",
    )
    instance = wasi.instantiate(MEMORY, host)
    assert instance.call("go") == 8
    assert host.asked == [("fd_seek", (-1, -2, 3, 4))]
    instance.close()


def test_an_exception_from_a_host_call_ends_the_call_unchanged(engine: WasmtimeEngine) -> None:
    reason = ValueError("enough")
    instance = engine.compile(prepared("wasi")).instantiate(MEMORY, Host(reason))
    instance.set_global("__ambient_gas", GAS)
    with pytest.raises(ValueError, match="enough") as caught:
        instance.call("_start")
    assert caught.value is reason
    instance.close()


def test_a_full_host_stack_is_the_engines_failure_and_no_outcome(engine: WasmtimeEngine) -> None:
    instance = engine.compile(module("recursion")).instantiate(MEMORY, None)
    with pytest.raises(EngineFailureError, match="stack"):
        instance.call("run", 0, 0)
    instance.close()


def test_a_segment_outside_the_memory_traps_while_instantiating(engine: WasmtimeEngine) -> None:
    with pytest.raises(TrapError) as caught:
        engine.compile(prepared("bad_segment")).instantiate(MEMORY, None)
    assert caught.value.reason is TrapReason.MEMORY_OUT_OF_BOUNDS


def test_more_memory_than_the_limit_at_the_start_is_a_failure(engine: WasmtimeEngine) -> None:
    with pytest.raises(EngineFailureError):
        compiled(engine, '(module (memory (export "memory") 2))').instantiate(PAGE_BYTES, None)


def test_counters_are_read_and_written(engine: WasmtimeEngine) -> None:
    instance = engine.compile(prepared("echo")).instantiate(MEMORY, None)
    instance.set_global("__ambient_gas", -(1 << 63))
    assert instance.global_value("__ambient_gas") == -(1 << 63)
    assert instance.global_value("__ambient_depth") == 0
    with pytest.raises(EngineFailureError):
        instance.set_global("__ambient_depth", 1)
    instance.close()


def resident_kib() -> int:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmRSS:")[1].split()[0])


@pytest.mark.slow
def test_five_hundred_instances_leave_no_memory_behind(engine: WasmtimeEngine) -> None:
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
