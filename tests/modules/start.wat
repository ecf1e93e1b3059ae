;; Has a start function; returns what it left in memory.
(module
  (memory (export "memory") 1)
  (func $begin (i32.store8 (i32.const 0) (i32.const 42)))
  (start $begin)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param i32 i32) (result i64) (i64.const 1)))
