"""Outcomes: every way an execution can end, with the gas that the rule gives it."""

import pytest

from ambientd.adapters.wasmtime_engine import WasmtimeEngine
from ambientd.model.execution import (
    PAGE_BYTES,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.wasm.guest import CALL_GAS, transfer_gas
from ambientd.wasm.interface import Interface
from ambientd.worker.execution import execute, interface_of
from tests.modules.compiled import module, prepared
from tests.worker.small_stack import SmallStack

ENGINE = WasmtimeEngine()
SEED = bytes(range(32))
GAS = 1_000_000


def run(name: str, data: bytes = b"", **limits: int) -> ExecutionResult:
    result = outcome(name, data, **limits)
    assert isinstance(result, ExecutionResult)
    return result


def outcome(name: str, data: bytes = b"", **limits: int) -> ExecutionResult | Aborted:
    compiled = ENGINE.compile(prepared(name))
    return execute(compiled, data, ExecutionLimits(**{"gas_max": GAS, **limits}), SEED)


def test_an_ambient_module_is_given_the_input_and_gives_the_output() -> None:
    result = run("echo", b"hello")
    assert (result.kind, result.reason, result.output) == (OutcomeKind.COMPLETED, "", b"hello")
    assert 0 < result.gas < 200


def test_input_larger_than_the_memory_at_the_start_fits_once_it_has_grown() -> None:
    data = bytes(range(256)) * 1024
    result = run("echo", data)
    assert result.output == data
    assert result.gas > 2 * transfer_gas(len(data))


def test_the_same_execution_costs_the_same_gas_again() -> None:
    assert run("echo", b"hello") == run("echo", b"hello")


def test_the_former_start_function_runs_first() -> None:
    assert run("start").output == b"*"


def test_an_endless_loop_runs_out_of_gas_and_pays_all() -> None:
    result = run("loop")
    assert (result.kind, result.reason, result.gas) == (OutcomeKind.OUT_OF_GAS, "", GAS)


def test_input_that_cannot_be_paid_for_is_out_of_gas() -> None:
    assert run("echo", bytes(800), gas_max=99).kind is OutcomeKind.OUT_OF_GAS


def test_gas_that_just_suffices_completes_and_one_less_does_not() -> None:
    needed = run("echo", b"hello").gas
    assert run("echo", b"hello", gas_max=needed).kind is OutcomeKind.COMPLETED
    less = run("echo", b"hello", gas_max=needed - 1)
    assert (less.kind, less.gas, less.output) == (OutcomeKind.OUT_OF_GAS, needed - 1, b"")


def test_recursion_without_end_traps_at_the_call_depth_on_every_engine() -> None:
    result = run("recursion", gas_max=1 << 40)
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "call_depth")
    assert result.gas == 1 << 40


def test_recursion_short_of_gas_is_out_of_gas_first() -> None:
    assert run("recursion", gas_max=1000).kind is OutcomeKind.OUT_OF_GAS


@pytest.mark.parametrize("pages", [1, 7, 64])
def test_memory_ends_at_the_tasks_limit(pages: int) -> None:
    result = run("bomb", gas_max=1 << 30, memory_bytes_max=pages * PAGE_BYTES + 5)
    assert int.from_bytes(result.output, "little") == pages


def test_a_trap_pays_all_and_leaves_the_engines_wording_to_the_log() -> None:
    result = run("trap", b"\x05")
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "integer_divide_by_zero")
    assert (result.gas, result.output) == (GAS, b"")
    assert b"divide by zero" in result.log
    assert len(run("trap", b"\x05", log_bytes_max=10).log) == 10


def test_a_segment_outside_the_memory_is_a_trap_like_any_other() -> None:
    result = run("bad_segment")
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "memory_out_of_bounds")
    assert result.gas == GAS


def test_an_output_outside_the_memory_is_a_bad_output() -> None:
    result = run("bad_output")
    assert (result.kind, result.reason, result.gas) == (OutcomeKind.TRAPPED, "bad_output", GAS)


def test_an_input_that_alloc_has_no_room_for_is_a_bad_output() -> None:
    assert run("start", bytes(PAGE_BYTES)).reason == "bad_output"


def test_an_output_above_the_limit_is_too_large() -> None:
    result = run("large_output", output_bytes_max=PAGE_BYTES - 1)
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "output_too_large")
    assert run("large_output", output_bytes_max=PAGE_BYTES).kind is OutcomeKind.COMPLETED


def test_an_output_that_cannot_be_paid_for_is_out_of_gas() -> None:
    needed = run("large_output").gas
    assert needed > transfer_gas(PAGE_BYTES)
    assert run("large_output", gas_max=needed - 1).kind is OutcomeKind.OUT_OF_GAS


def test_less_memory_than_the_module_starts_with_is_refused_without_cost() -> None:
    assert run("large_memory", memory_bytes_max=2 * PAGE_BYTES).kind is OutcomeKind.COMPLETED
    result = run("large_memory", memory_bytes_max=PAGE_BYTES)
    assert (result.kind, result.gas) == (OutcomeKind.REFUSED, 0)
    assert "131072 bytes" in result.reason


def test_a_module_that_no_rewriter_made_is_refused() -> None:
    compiled = ENGINE.compile(module("echo"))
    result = execute(compiled, b"", ExecutionLimits(), SEED)
    assert isinstance(result, ExecutionResult)
    assert result.kind is OutcomeKind.REFUSED


def test_the_interface_shows_in_the_exports() -> None:
    assert interface_of(ENGINE.compile(prepared("echo")).shape) is Interface.AMBIENT
    assert interface_of(ENGINE.compile(prepared("wasi")).shape) is Interface.WASI
    assert interface_of(ENGINE.compile(module("wasi")).shape) is None


def test_a_wasi_command_sees_a_deterministic_world() -> None:
    first, second = run("wasi", b"-"), run("wasi", b"-")
    assert first == second
    assert first.kind is OutcomeKind.COMPLETED
    clock_one, clock_two = first.output[:8], first.output[8:16]
    assert int.from_bytes(clock_one, "little") == 0
    assert int.from_bytes(clock_two, "little") == 1_000_000
    assert first.log == b"hi"
    assert first.gas > 6 * CALL_GAS


def test_a_wasi_commands_random_bytes_follow_the_seed() -> None:
    compiled = ENGINE.compile(prepared("wasi"))
    other = execute(compiled, b"-", ExecutionLimits(gas_max=GAS), bytes(32))
    assert isinstance(other, ExecutionResult)
    assert other.output[16:] != run("wasi", b"-").output[16:]


def test_exit_zero_completes_and_another_code_traps_at_the_price_of_completion() -> None:
    assert run("wasi", b"x\0").kind is OutcomeKind.COMPLETED
    failed = run("wasi", b"x\x07")
    assert (failed.kind, failed.reason) == (OutcomeKind.TRAPPED, "exit_code:7")
    assert failed.gas == run("wasi", b"x\0").gas < GAS


def test_a_bad_pointer_to_the_host_traps() -> None:
    result = run("wasi", b"p")
    assert (result.kind, result.reason, result.gas) == (OutcomeKind.TRAPPED, "host_call", GAS)


def test_endless_output_ends_at_the_limit_or_with_the_gas() -> None:
    assert run("wasi", b"f", output_bytes_max=1 << 17).reason == "output_too_large"
    assert run("wasi", b"f").kind is OutcomeKind.OUT_OF_GAS


def test_host_calls_that_cannot_be_paid_for_are_out_of_gas() -> None:
    result = run("wasi", b"-", gas_max=CALL_GAS)
    assert (result.kind, result.gas) == (OutcomeKind.OUT_OF_GAS, CALL_GAS)


def test_a_full_host_stack_aborts_for_it_is_no_property_of_the_module() -> None:
    compiled = SmallStack().compile(prepared("recursion"))
    result = execute(compiled, b"", ExecutionLimits(), SEED)
    assert isinstance(result, Aborted)
    assert "stack" in result.reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory_bytes_max", 0),
        ("memory_bytes_max", (512 << 20) + 1),
        ("wall_ms_max", 0),
        ("gas_max", 0),
        ("gas_max", (1 << 62) + 1),
        ("output_bytes_max", -1),
        ("log_bytes_max", (1 << 20) + 1),
    ],
)
def test_limits_out_of_range_are_named(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        ExecutionLimits(**{field: value})
