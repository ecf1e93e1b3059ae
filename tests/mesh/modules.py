"""Modules that mesh tests run, from text."""

import wasmtime

_SPIN = """
(module
  (memory (export "memory") 2)
  (func (export "alloc") (param i32) (result i32) i32.const 1024)
  (func (export "run") (param $at i32) (param $len i32) (result i64)
    (local $left i64) (local $sum i64)
    (local.set $left (i64.load (local.get $at)))
    (block $done
      (loop $again
        (br_if $done (i64.eqz (local.get $left)))
        (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 6364136223846793005))
                                 (local.get $left)))
        (local.set $left (i64.sub (local.get $left) (i64.const 1)))
        (br $again)))
    (i64.store (i32.const 0) (local.get $sum))
    (i64.const 8)))
"""


def spin() -> bytes:
    """A module that counts down from its input, a little-endian 64-bit number."""
    return bytes(wasmtime.wat2wasm(_SPIN))


def rounds(count: int) -> bytes:
    return count.to_bytes(8, "little")
