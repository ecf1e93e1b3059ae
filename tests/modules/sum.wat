;; Adds up in memory, as often as the input says, a little-endian 32-bit number; the output is the sum.
(module
  (memory (export "memory") 2)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param $at i32) (param i32) (result i64) (local $left i32)
    (local.set $left (i32.load (local.get $at)))
    (loop $again
      (i64.store (i32.const 8)
        (i64.add (i64.mul (i64.load (i32.const 8)) (i64.const 31)) (i64.const 7)))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i64.const 0x800000008)))
