;; Rounds of xorshift64, as many as the input says, a little-endian 32-bit number: a small task to prove.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param $at i32) (param i32) (result i64) (local $left i32) (local $state i64)
    (local.set $left (i32.load (local.get $at)))
    (local.set $state (i64.const 0x9e3779b97f4a7c15))
    (loop $again
      (local.set $state (i64.xor (local.get $state) (i64.shl (local.get $state) (i64.const 13))))
      (local.set $state (i64.xor (local.get $state) (i64.shr_u (local.get $state) (i64.const 7))))
      (local.set $state (i64.xor (local.get $state) (i64.shl (local.get $state) (i64.const 17))))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i64.store (i32.const 8) (local.get $state))
    (i64.const 0x800000008)))
