"""Pausable modules: valid, the same each time, and refused in words where it cannot be done."""

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambientd.wasm.leb import encode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.opcodes import OPCODES, Immediate
from ambientd.wasm.pausing import Pausable, make_pausable
from ambientd.wasm.prepare import Prepared, Refused, prepare
from ambientd.wasm.signatures import EFFECTS
from tests.wasm.programs import Program
from tests.wasm.running import module, valid

SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)
IMMEDIATES = {
    Immediate.NONE: b"",
    Immediate.INDEX: b"\0",
    Immediate.TWO_INDICES: b"\0\0",
    Immediate.MEMORY: b"\0\0",
    Immediate.MEMORY_LANE: b"\0\0\0",
    Immediate.I32: b"\0",
    Immediate.I64: b"\0",
    Immediate.FOUR_BYTES: bytes(4),
    Immediate.EIGHT_BYTES: bytes(8),
    Immediate.SIXTEEN_BYTES: bytes(16),
    Immediate.LANE: b"\0",
    Immediate.ZERO: b"\0",
    Immediate.TWO_ZEROS: b"\0\0",
    Immediate.INDEX_ZERO: b"\0\0",
}


def section(number: int, content: bytes) -> bytes:
    return bytes((number,)) + encode_unsigned(len(content)) + content


def one_instruction(code: int, pops: bytes, pushes: bytes) -> bytes:
    """A module with memory, table and segments, and one function: its parameters, the opcode."""
    signature = b"\x60" + bytes((len(pops),)) + pops + bytes((len(pushes),)) + pushes
    prefix, low = code >> 8, code & 0xFF
    opcode = bytes((prefix,)) + encode_unsigned(low) if prefix else bytes((low,))
    gets = b"".join(b"\x20" + bytes((index,)) for index in range(len(pops)))
    body = b"\0" + gets + opcode + IMMEDIATES[OPCODES[code].immediate] + b"\x0b"
    return (
        b"\0asm\1\0\0\0"
        + section(1, b"\1" + signature)
        + section(3, b"\1\0")
        + section(4, b"\1\x70\0\1")
        + section(5, b"\1\0\1")
        + section(9, b"\1\1\0\1\0")
        + section(12, b"\1")
        + section(10, b"\1" + encode_unsigned(len(body)) + body)
        + section(11, b"\1\1\0")
    )


@pytest.mark.parametrize("code", sorted(EFFECTS), ids=lambda code: OPCODES[code].name)
def test_an_instruction_takes_and_leaves_what_engines_say(code: int) -> None:
    pops, pushes = EFFECTS[code]
    assert valid(one_instruction(code, pops, pushes))
    assert not valid(one_instruction(code, pops + b"\x7f", pushes + b"\x7d"))


def pausable(source: bytes) -> Pausable:
    outcome = make_pausable(source)
    assert isinstance(outcome, Pausable), outcome
    return outcome


@SETTINGS
@given(seed=st.integers(0, 2**32))
def test_a_random_program_becomes_a_valid_module_the_same_each_time(seed: int) -> None:
    source = module(Program(seed).text())
    made = pausable(source)
    assert made.prepared == prepare(source)
    assert valid(made.module)
    assert make_pausable(source) == made
    assert isinstance(prepare(made.module), Refused)


@SETTINGS
@given(st.integers(0, 11), st.data())
def test_a_damaged_module_never_raises_and_never_becomes_less_valid(
    seed: int, data: st.DataObject
) -> None:
    damaged = bytearray(module(Program(seed).text()))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    prepared, made = prepare(bytes(damaged)), make_pausable(bytes(damaged))
    if isinstance(made, Pausable):
        assert made.prepared == prepared
        if valid(made.prepared.module):
            assert valid(made.module)
    elif isinstance(prepared, Prepared):
        assert not valid(prepared.module) or "but not be paused" in made.reason


REFUSED = {
    "table.set": "(func (table.set 0 (i32.const 0) (ref.null func)))",
    "table.grow": "(func (drop (table.grow 0 (ref.null func) (i32.const 0))))",
    "table.fill": "(func (table.fill 0 (i32.const 0) (ref.null func) (i32.const 0)))",
    "table.copy": "(func (table.copy (i32.const 0) (i32.const 0) (i32.const 0)))",
    "table.init": "(elem $p func) (func (table.init $p (i32.const 0) (i32.const 0) (i32.const 0)))",
    "elem.drop": "(elem $p func) (func (elem.drop $p))",
    "data.drop": '(data $p "x") (func (data.drop $p))',
    "a local holds a reference": "(func (local funcref) (loop))",
    "a reference is alive": "(func $f (loop)) (func (ref.null func) (call $f) (drop))",
    "a mutable global holds a reference": "(global (mut funcref) (ref.null func))",
    "more than 1024 operands are alive": (
        f"(func $f (loop)) (func {'(i32.const 0)' * 1025} (call $f) {'(drop)' * 1025})"
    ),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_what_a_state_does_not_hold_is_refused_by_name(problem: str) -> None:
    source = module("(table 1 funcref)" + REFUSED[problem])
    assert isinstance(prepare(source), Prepared)
    outcome = make_pausable(source)
    assert isinstance(outcome, Refused)
    assert problem in outcome.reason
    assert "the module can run, but not be paused" in outcome.reason
    assert "executing it again as a whole" in outcome.reason


def test_references_that_no_pause_meets_are_supported() -> None:
    source = module("""
      (table 2 funcref) (elem (i32.const 0) func $f) (elem declare func $f)
      (elem (table 0) (i32.const 1) funcref (ref.func $f))
      (global $g funcref (ref.func $f))
      (func $brief (param funcref) (result i32) (ref.is_null (local.get 0)))
      (func $f (loop
        (drop (call $brief (table.get 0 (i32.const 0))))
        (drop (ref.is_null (select (result funcref) (ref.func $f) (global.get $g)
          (i32.const 1)))))) """)
    assert valid(pausable(source).module)


def test_a_module_that_is_refused_as_such_is_refused_for_the_same_reason() -> None:
    assert make_pausable(b"nothing") == prepare(b"nothing")


@pytest.mark.parametrize("name", ["push", "pop"])
def test_a_submitted_module_may_not_import_what_keeps_frames(name: str) -> None:
    source = bytes(
        wasmtime.wat2wasm(f'(module (import "ambient_pause" "{name}" (func)) (memory 1))')
    )
    outcome = prepare(source)
    assert isinstance(outcome, Refused)
    assert "is not available" in outcome.reason


KEEPS = "(i32.const 0)" * 1_000


@pytest.mark.parametrize(
    ("problem", "function"),
    [
        ("or 1000000 at all of them", f"{KEEPS} {'(call $f)' * 4_000} {'(drop)' * 1_000}"),
        ("more than 16384 calls and loops", "(call $f)" * 16_384),
        ("is the most for their product", f"(local {'i64 ' * 1_000}) {'(loop)' * 2_000}"),
    ],
)
def test_a_function_that_would_grow_out_of_bounds_is_refused(problem: str, function: str) -> None:
    source = module(f"(func $f (loop)) (func {function})")
    assert isinstance(prepare(source), Prepared)
    outcome = make_pausable(source)
    assert isinstance(outcome, Refused)
    assert problem in outcome.reason


def test_the_size_of_a_pausable_function_is_limited_as_that_of_a_prepared_one() -> None:
    source = module(f"(func $f (loop)) (func {'(call $f)' * 1_000})")
    limits = PrepareLimits(prepared_body_bytes_max=20_000)
    assert isinstance(prepare(source, limits), Prepared)
    outcome = make_pausable(source, limits)
    assert isinstance(outcome, Refused)
    assert "has more than 20000 bytes" in outcome.reason
