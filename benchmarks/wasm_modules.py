"""Modules that the worker benchmarks execute, assembled here so that anyone has the same bytes."""

import wasmtime

MIB = 1 << 20

_INTERFACE = """
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
"""

# One of many functions: loads, stores, a loop, a branch and a call, as compiled programs have them.
_FUNCTION = """
  (func $f{number} (param $a i32) (param $b i32) (result i32) (local $i i32)
    (block $out (loop $again
      (br_if $out (i32.ge_u (local.get $i) (i32.and (local.get $b) (i32.const 3))))
      {steps}
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $again)))
    (if (result i32) (i32.and (local.get $a) (i32.const 1))
      (then (call $f{callee} (local.get $a) (local.get $i)))
      (else (i32.xor (local.get $a) (i32.const {number})))))
"""
_STEP = """
      (i32.store offset={offset} (i32.and (local.get $a) (i32.const 65535))
        (i32.mul (i32.const {factor}) (i32.load offset={other}
          (i32.and (local.get $b) (i32.const 65535)))))
      (local.set $a (i32.rotl (i32.add (local.get $a) (local.get $b)) (i32.const {turn})))
"""


def large_module(size_bytes: int) -> bytes:
    """A module of about this size whose `run` calls one of its many functions."""
    functions, per_function = [], 0
    while not functions or len(functions) * per_function < size_bytes:
        number = len(functions)
        steps = "".join(
            _STEP.format(
                offset=4 * (number * 7 + step) % 65_536,
                other=4 * (number * 13 + step) % 65_536,
                factor=number * 2_654_435_761 % (1 << 31),
                turn=(number + step) % 31 + 1,
            )
            for step in range(16)
        )
        functions.append(_FUNCTION.format(number=number, steps=steps, callee=max(0, number - 1)))
        if per_function == 0:
            per_function = len(_assemble(functions)) - len(_assemble([]))
    # The later ones have longer numbers than the one that was measured.
    fitting = len(functions) * size_bytes // len(_assemble(functions))
    return _assemble(functions[:fitting])


def _assemble(functions: list[str]) -> bytes:
    run = "(i64.extend_i32_u (call $f0 (i32.const 2) (i32.const 1)))" if functions else ""
    return bytes(
        wasmtime.wat2wasm(
            '(module (memory (export "memory") 4)'
            + _INTERFACE
            + "".join(functions)
            + f'(func (export "run") (param i32 i32) (result i64) (drop {run or "(i64.const 0)"})'
            + " (i64.const 4)))"
        )
    )


def hungry_module() -> bytes:
    """A module that takes memory up to its limit and writes to each page; it gives the pages."""
    return bytes(
        wasmtime.wat2wasm(
            '(module (memory (export "memory") 16)'
            + _INTERFACE
            + """
  (func (export "run") (param i32 i32) (result i64) (local $at i32)
    (block $full (loop $grow
      (br_if $full (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
      (br $grow)))
    (block $full (loop $touch
      (br_if $full (i32.ge_u (local.get $at)
        (i32.mul (memory.size) (i32.const 65536))))
      (i32.store (local.get $at) (local.get $at))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (br $touch)))
    (i32.store (i32.const 0) (memory.size))
    (i64.const 4)))"""
        )
    )
