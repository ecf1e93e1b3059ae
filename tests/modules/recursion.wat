;; Calls itself without end.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func $deeper (param i32) (result i32)
    (i32.add (i32.const 1) (call $deeper (local.get 0))))
  (func (export "run") (param i32 i32) (result i64)
    (i64.extend_i32_u (call $deeper (i32.const 0)))))
