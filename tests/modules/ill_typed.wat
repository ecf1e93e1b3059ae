;; Well formed, yet its types do not fit; assembled with --no-check.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param i32 i32) (result i64) (f32.const 1)))
