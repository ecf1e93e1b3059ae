"""Every integer instruction that is allowed gives in images what it gives in an engine."""

import itertools
import re
from pathlib import Path

import pytest
import wasmtime

from ambientd.wasm.opcodes import OPCODES, Immediate
from tests.fuzz.operations import OPERATIONS, Operation
from tests.proofs.test_images import LIMITS, assert_same
from tests.proofs.test_universal import interpreted

NOT_INTEGER = re.compile(r"f(?:32|64)|v128|x(?:2|4|8|16)\b")
VALUES = {"i32": (0, 1, 7, 0x7FFFFFFF, -1, -2147483648, 0x12345678),
          "i64": (0, 1, 63, -1, -(1 << 63), (1 << 63) - 1, 0x123456789ABCDEF0)}  # fmt: skip
DIVISION = re.compile(r"\.(?:div|rem)_")
SCALAR = {
    name: each
    for name, each in OPERATIONS.items()
    if not NOT_INTEGER.search(name) and {*each.params, each.result} <= {"i32", "i64", None}
}
# What has no operands to vary, or its effect is on memory, tables and control: written once below.
OTHER = """
(module
  (memory (export "memory") 1 3)
  (type $two (func (param i32 i64) (result i64 i32)))
  (table $t 6 10 funcref) (table $e 3 8 externref)
  (global $g (mut i64) (i64.const 5)) (global $h i32 (i32.const 3))
  (elem $s func $one $double) (elem (table $t) (i32.const 0) func $one) (elem declare func $double)
  (data $d "abcdefgh") (data (i32.const 40) "wxyz")
  (func $one (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))
  (func $double (param i64) (result i64) (i64.shl (local.get 0) (i64.const 1)))
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param i32 i32) (result i64) (local $sum i64) (local $i i32)
    (memory.init $d (i32.const 100) (i32.const 1) (i32.const 6)) (data.drop $d)
    (memory.copy (i32.const 103) (i32.const 100) (i32.const 5))
    (memory.copy (i32.const 99) (i32.const 101) (i32.const 6))
    (memory.fill (i32.const 110) (i32.const 0x5a) (i32.const 9))
    (table.init $t $s (i32.const 1) (i32.const 0) (i32.const 2)) (elem.drop $s)
    (table.copy $t $t (i32.const 2) (i32.const 1) (i32.const 2))
    (table.set $t (i32.const 5) (table.get $t (i32.const 2)))
    (local.set $i (table.grow $t (ref.func $double) (i32.const 2)))
    (local.set $i (i32.add (local.get $i) (table.grow $t (ref.null func) (i32.const 100))))
    (table.fill $e (i32.const 0) (ref.null extern) (i32.const 3))
    (local.set $i (i32.add (local.get $i) (i32.add (table.size $t) (table.size $e))))
    (local.set $i (i32.add (local.get $i) (ref.is_null (table.get $e (i32.const 1)))))
    (local.set $i (i32.add (local.get $i) (memory.grow (i32.const 1))))
    (local.set $i (i32.add (local.get $i) (i32.add (memory.size) (memory.grow (i32.const 9)))))
    (global.set $g (i64.add (global.get $g) (i64.extend_i32_u (global.get $h))))
    (block $out
      (loop $again
        (block $c (block $b (block $a
          (br_table $a $b $c (i32.and (local.get $i) (i32.const 3))))
          (global.set $g (i64.add (global.get $g) (i64.const 100))) (br $c))
          (global.set $g (i64.mul (global.get $g) (i64.const 3))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (i32.const 60)))
        (br $out)) (unreachable))
    (nop)
    (local.get $i) (i64.const 9)
    (if (param i32 i64) (result i64 i32) (i32.const 1)
      (then (block (type $two) (local.set $sum) (local.set $i) (local.get $sum) (local.get $i)))
      (else (drop) (drop) (i64.const 0) (i32.const 0)))
    (local.set $i)
    (drop (select (i32.const 1) (i32.const 2) (local.get $i)))
    (drop (select (result i64) (i64.const 1) (i64.const 2) (local.tee $i (local.get $i))))
    (local.set $sum (i64.add (global.get $g)))
    (local.set $sum
      (call_indirect $t (param i64) (result i64) (local.get $sum) (i32.const 5)))
    (local.set $sum
      (call_indirect $t (param i64) (result i64) (local.get $sum) (i32.const 6)))
    (i64.store (i32.const 0) (call $one (local.get $sum)))
    (i32.store (i32.const 8) (local.get $i))
    (return (i64.const 128))))
"""


def operand(kind: str, value: int) -> str:
    return f"({kind}.const {value})"


def uses(operation: Operation) -> list[str]:
    """Give the instruction with each pair of operands, added to a sum or stored."""
    memory = operation.immediate is Immediate.MEMORY
    found = []
    kinds = [VALUES[kind] for kind in (operation.params[1:] if memory else operation.params)]
    for values in itertools.product(*kinds):
        if DIVISION.search(operation.name) and (values[1] == 0 or values[1] == -1):
            continue  # these trap: tests of endings have them
        typed = zip(operation.params[1:] if memory else operation.params, values, strict=True)
        given = [operand(*each) for each in typed]
        for offset in (16, 21) if memory else (None,):
            place = ["(i32.const 3)"] if memory else []
            name = operation.name if offset is None else f"{operation.name} offset={offset}"
            made = f"({name} {' '.join(place + given)})"
            if operation.result is None:
                found.append(f"{made} {mixed('(i64.load (i32.const 17))')}")
            else:
                widen = f"(i64.extend_i32_u {made})" if operation.result == "i32" else made
                found.append(mixed(widen))
    return found


def mixed(value: str) -> str:
    return f"(local.set 2 (i64.add (i64.rotl (local.get 2) (i64.const 7)) {value}))"


def using(operations: list[Operation]) -> bytes:
    """Give a module whose output has a sum of 8 bytes for each of the instructions."""
    functions, calls = [], []
    for number, operation in enumerate(operations):
        functions.append(
            f"(func $f{number} (param i32 i32) (result i64) (local i64)"
            f" {' '.join(uses(operation))} (local.get 2))"
        )
        called = f"(call $f{number} (local.get 0) (local.get 1))"
        calls.append(f"(i64.store (i32.const {2048 + 8 * number}) {called})")
    return bytes(
        wasmtime.wat2wasm(f"""(module (memory (export "memory") 1)
          (data (i32.const 0) "bytes \\80\\ff\\7f\\00 with and without a sign \\fe\\81")
          (func (export "alloc") (param i32) (result i32) (i32.const 1024))
          {" ".join(functions)}
          (func (export "run") (param i32 i32) (result i64) {" ".join(calls)}
            (i64.const {2048 << 32 | 8 * len(operations)})))""")
    )


def test_every_instruction_that_is_allowed_and_no_float_or_vector_is_among_these() -> None:
    named = set(SCALAR) | {f"{kind}.const" for kind in VALUES}
    written = set(re.findall(r"\(([a-z_0-9.]+)", OTHER)) | {"end", "select_t", "else"}
    for opcode in OPCODES.values():
        if not NOT_INTEGER.search(opcode.name):
            assert opcode.name in named | written, opcode.name


@pytest.mark.slow
def test_scalar_instructions_give_what_an_engine_gives(tmp_path: Path) -> None:
    assert len(SCALAR) > 80
    submitted = using(list(SCALAR.values()))
    assert_same(submitted, b"", LIMITS, tmp_path)
    interpreted(submitted, b"", LIMITS, tmp_path)


@pytest.mark.slow
def test_bulk_memory_tables_and_control_give_what_an_engine_gives(tmp_path: Path) -> None:
    submitted = bytes(wasmtime.wat2wasm(OTHER))
    assert_same(submitted, b"", LIMITS, tmp_path)
    interpreted(submitted, b"", LIMITS, tmp_path)
