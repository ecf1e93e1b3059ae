;; Goes around 250 times, then divides by the input, a little-endian 32-bit number; the output is 8 bytes.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param $at i32) (param i32) (result i64) (local $left i32) (local $made i64)
    (local.set $left (i32.const 250))
    (loop $again
      (local.set $made (i64.add (i64.mul (local.get $made) (i64.const 31)) (i64.const 7)))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i64.store (i32.const 8) (i64.div_u (local.get $made) (i64.load32_u (local.get $at))))
    (i64.const 0x800000008)))
