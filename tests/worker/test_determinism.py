"""The determinism check: equal where everything is equal, and it sees what is not."""

import pytest

from ambientd.adapters.engines import open_engine
from ambientd.adapters.wasmtime_engine import WasmtimeEngine, WasmtimeInstance, WasmtimeModule
from ambientd.model.execution import ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.ports.engine import HostCalls
from ambientd.worker.determinism import verify_determinism
from tests.engines import engines
from tests.modules.compiled import module
from tests.wasm.running import module as wrapped

LIMITS = ExecutionLimits(gas_max=1_000_000, memory_bytes_max=4 << 20)
SEED = bytes(32)
LOOP = """(func $f (param i32) (result i32) (local $i i32)
  (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
    (i32.const 500)))) (local.get $i))"""


@pytest.mark.parametrize("name", ["echo", "wasi", "trap", "loop", "recursion", "bomb"])
def test_every_engine_gives_the_same(name: str) -> None:
    opened = [open_engine(engine) for engine in engines()]
    report = verify_determinism(opened, module(name), b"hello", LIMITS, SEED, runs=2)
    assert report.deterministic, report.differences
    assert report.pausable == ""
    assert report.executions == 3 * len(opened)
    assert isinstance(report.result, ExecutionResult)


class LosesTime(WasmtimeEngine):
    """An engine whose instances begin with a byte of memory that is not zero, now and then."""

    name = "faulty"

    def compile(self, module: bytes) -> WasmtimeModule:
        compiled = FaultyModule(self._engine, super().compile(module)._module)
        compiled.turn = 0
        return compiled


class FaultyModule(WasmtimeModule):
    turn: int

    def instantiate(self, memory_bytes_max: int, host: HostCalls | None) -> WasmtimeInstance:
        instance = super().instantiate(memory_bytes_max, host)
        self.turn += 1
        instance.write(9_000, bytes((self.turn,)))
        return instance


SHOWS = (
    '(func (export "alloc") (param i32) (result i32) (drop (call 0 (i32.const 0))) (i32.const 16))'
    '(func (export "run") (param i32 i32) (result i64) (i64.const {}))'
)


def test_an_engine_that_gives_another_output_is_named() -> None:
    source = wrapped(LOOP, abi=SHOWS.format(9_000 << 32 | 1))
    opened = [WasmtimeEngine(), LosesTime()]
    report = verify_determinism(opened, source, b"", LIMITS, SEED, runs=3)
    assert not report.deterministic
    assert any("faulty ends otherwise than wasmtime" in text for text in report.differences)


def test_a_state_that_never_shows_in_the_output_is_told_by_its_roots() -> None:
    source = wrapped(LOOP, abi=SHOWS.format(0))
    opened = [WasmtimeEngine(), LosesTime()]
    report = verify_determinism(opened, source, b"", LIMITS, SEED)
    assert report.roots > 30
    assert report.differences == ("faulty has another state at trace point 0",)
    assert isinstance(report.result, ExecutionResult)
    assert report.result.kind is OutcomeKind.COMPLETED


def test_a_module_that_cannot_be_paused_is_compared_by_its_outcomes_alone() -> None:
    source = wrapped("(table 1 funcref) (func (table.set (i32.const 0) (ref.null func)))")
    report = verify_determinism([WasmtimeEngine()], source, b"", LIMITS, SEED)
    assert report.deterministic
    assert (report.executions, report.roots) == (2, 0)
    assert "table.set" in report.pausable


def test_a_refused_or_invalid_module_is_no_success() -> None:
    opened = [WasmtimeEngine()]
    assert not verify_determinism(opened, b"nothing", b"", LIMITS, SEED).deterministic
    report = verify_determinism(opened, module("ill_typed"), b"", LIMITS, SEED)
    assert report.result is None
    assert "wasmtime does not validate the module" in report.differences[0]
