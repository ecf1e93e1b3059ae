"""Gas counted by hand, and what is left in the globals when there is too little."""

import pytest

from ambientd.wasm.interface import DEPTH_EXPORT, START_EXPORT
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.prepare import Prepared, prepare
from tests.wasm.running import Instance, gas_of, module, prepared

# name, function, arguments, gas: entry + instructions, written out
BY_HAND = [
    ("three instructions", "(param i32) (result i32) local.get 0 i32.const 1 i32.add", (5,), 1 + 3),
    ("nothing", "", (), 1),
    ("free instructions", "nop block nop end", (), 1),
    ("eight locals cost one", "(local i64 i64 i64 i64 i64 i64 i64 i64)", (), 1 + 1),
    ("division", "(result i32) i32.const 7 i32.const 2 i32.div_u", (), 1 + 2 + 4),
    ("if taken", "(param i32) local.get 0 if i32.const 1 drop end", (1,), 1 + 2 + 2),
    ("if not taken", "(param i32) local.get 0 if i32.const 1 drop end", (0,), 1 + 2),
    (
        "else",
        "(param i32) (result i32) local.get 0 if (result i32) i32.const 1 else"
        " i32.const 1 i32.const 2 i32.add end",
        (0,),
        1 + 2 + 3,
    ),
    (
        "five passes of a loop",
        "(param i32) loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end",
        (5,),
        1 + 5 * (1 + 5),
    ),
    ("code behind a return", "return i32.const 1 drop unreachable", (), 1 + 1),
    ("code behind a branch", "block br 0 i32.const 1 drop end i32.const 1 drop", (), 1 + 1 + 2),
    ("code behind a branch out", "br 0 i32.const 1 drop", (), 1 + 1),
    (
        "a branch table",
        "(param i32) block block local.get 0 br_table 0 1 end i32.const 1 drop end nop",
        (0,),
        1 + 2 + 2,
    ),
    (
        "the default of a branch table",
        "(param i32) block block local.get 0 br_table 0 1 end i32.const 1 drop end nop",
        (9,),
        1 + 2,
    ),
    ("a filled page half", "i32.const 0 i32.const 1 i32.const 64 memory.fill", (), 1 + 3 + 16 + 8),
    ("copied bytes", "i32.const 0 i32.const 9 i32.const 9 memory.copy", (), 1 + 3 + 16 + 1),
    ("two pages", "i32.const 2 memory.grow drop", (), 1 + 2 + 64 + 2 * 1024),
    ("a call", "call $two", (), 1 + 8 + (1 + 2)),
    ("an indirect call", "i32.const 0 call_indirect", (), 1 + 1 + 8 + (1 + 2)),
    ("table elements", "ref.null func i32.const 3 table.grow drop", (), 1 + 3 + 64 + 3),
]
AROUND = "(table 1 9 funcref) (elem (i32.const 0) $two) (func $two i32.const 1 drop)"


@pytest.mark.parametrize(("name", "function", "arguments", "gas"), BY_HAND)
def test_gas_is_the_sum_of_what_was_executed(
    name: str, function: str, arguments: tuple[int, ...], gas: int
) -> None:
    source = module(f'(func (export "f") {function}) {AROUND}')
    assert gas_of(source, "f", *arguments) == gas
    rewritten = prepared(source)
    enough, short = Instance(rewritten, gas), Instance(rewritten, gas - 1)
    assert enough.call("f", *arguments).trap is None
    assert enough.paid(gas).gas == gas
    assert short.call("f", *arguments).trap == "UNREACHABLE"
    assert short.paid(gas - 1).gas > gas - 1


def test_nothing_runs_before_gas_is_set() -> None:
    rewritten = Instance(prepared(module('(func (export "f"))')), gas=0)
    assert rewritten.call("f").trap == "UNREACHABLE"
    assert rewritten.paid(0).gas > 0


def test_an_endless_loop_ends_out_of_gas() -> None:
    instance = Instance(prepared(module('(func (export "f") (loop br 0))')), gas=100_000)
    assert instance.call("f").trap == "UNREACHABLE"
    assert instance.paid(100_000).gas == 100_001
    assert instance.paid().depth <= PrepareLimits().call_depth_weight_max


def test_the_largest_length_is_a_charge_and_not_a_gift() -> None:
    for operation in (
        "i32.const 0 i32.const 0 i32.const -1 memory.fill",
        "i32.const 0 i32.const 0 i32.const -1 memory.copy",
        "i32.const -1 memory.grow drop",
        "ref.null func i32.const -1 table.grow drop",
    ):
        source = module(f'(table 1 funcref) (func (export "f") {operation})')
        instance = Instance(prepared(source), gas=1_000_000)
        assert instance.call("f").trap == "UNREACHABLE"
        assert instance.paid(1_000_000).gas > (2**32 - 1) >> 3


def test_bulk_work_is_paid_before_it_is_done() -> None:
    source = module('(func (export "f") i32.const 0 i32.const 7 i32.const 4096 memory.fill)')
    instance = Instance(prepared(source), gas=100)
    assert instance.call("f").memory == bytes(4096)


def test_straight_code_behind_the_last_check_is_still_paid() -> None:
    source = module('(func (export "f") (block) (drop (i32.const 1)) (drop (i32.const 1)))')
    assert Instance(prepared(source), gas=1).call("f").trap == "UNREACHABLE"


def test_a_return_from_deep_inside_settles_gas_and_depth() -> None:
    body = "(block (loop (block (if (i32.const 1) (then (return))))))"
    source = module(f'(func $g {body}) (func (export "f") (call $g) (call $g))')
    assert gas_of(source, "f") == 1 + 16 + 2 * (1 + 1 + 2 + 1)


def test_endless_recursion_exceeds_the_depth_limit_not_the_gas() -> None:
    source = module('(func $f (export "f") (call $f))')
    instance = Instance(prepared(source))
    assert instance.call("f").trap == "UNREACHABLE"
    assert instance.paid().gas > 0
    assert instance.exports["__ambient_gas"].value(instance.store) >= 0
    assert instance.paid().depth > PrepareLimits().call_depth_weight_max


@pytest.mark.parametrize(
    ("function", "weight"),
    [
        ("", 16),
        ("(param i32 i64) (local f64 v128)", 16 + 2 + 1 + 2),
        ("(result i32) i32.const 1 i32.const 2 i32.add", 16 + 1 + 2 * 2),
        ("(result i64 i64) i64.const 1 i64.const 1", 16 + 2 + 2 * 2),
        ("(local v128 v128)", 16 + 4),
    ],
)
def test_a_call_weighs_its_locals_results_and_operands(function: str, weight: int) -> None:
    rewritten = prepared(
        module(f'(func (export "f") {function})'), PrepareLimits(call_depth_weight_max=weight)
    )
    arguments = (1, 2) if "param" in function else ()
    assert Instance(rewritten).call("f", *arguments).trap is None
    tight = prepared(
        module(f'(func (export "f") {function})'), PrepareLimits(call_depth_weight_max=weight - 1)
    )
    instance = Instance(tight)
    assert instance.call("f", *arguments).trap == "UNREACHABLE"
    assert instance.exports[DEPTH_EXPORT].value(instance.store) == weight


def test_the_start_function_waits_for_gas() -> None:
    fields = "(func $s (i32.store (i32.const 0) (i32.const 7))) (start $s)"
    outcome = prepare(module(fields))
    assert isinstance(outcome, Prepared)
    paid = Instance(outcome.module)  # calls the former start function, as a host does
    assert paid.call("alloc", 1).memory[0] == 7
    assert START_EXPORT.encode() in outcome.module
    assert paid.paid().gas == (1 + 3) + (1 + 1)
