;; Recursion whose end is decided by gas or by depth, whichever comes first.
(module
  (memory (export "memory") 1)
  (func $down (param v128 i64) (result i64)
    (i64.add (i64.const 1) (call $down (local.get 0) (i64.mul (local.get 1) (i64.const 3)))))
  (func (export "alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "run") (param i32 i32) (result i64)
    (call $down (v128.const i64x2 1 2) (i64.const 5))))
