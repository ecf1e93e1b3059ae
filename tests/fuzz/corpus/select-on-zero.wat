;; A campaign's find: wasmi 2.0.0 drops the comparison with zero before a select, and then tests what
;; its register holds instead of the local. native/engines/backend.py mends it.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "run") (param i32 i32) (result i64) (local $zero i32)
    (i32.store (i32.const 0)
      (select (i32.const 1) (i32.const 2) (i32.eqz (local.get $zero))))
    (i32.store (i32.const 4)
      (select (local.get $zero) (i32.const 2) (i32.ne (local.get 1) (i32.const 0))))
    (i64.store (i32.const 8)
      (select (i64.const 3) (i64.const 4) (i32.eq (local.get $zero) (i32.const 0))))
    (f64.store (i32.const 16)
      (select (f64.const 5) (f64.const 6) (i32.eqz (i32.load8_u (local.get 0)))))
    (v128.store (i32.const 32) (select
      (v128.const i64x2 7 7) (v128.const i64x2 8 8) (i32.ne (local.get $zero) (i32.const 0))))
    (i32.store (i32.const 48) (i32.rem_u (i32.const 9)
      (select (i32.const 1) (local.get $zero) (i32.eqz (local.get $zero)))))
    (i64.const 64)))
