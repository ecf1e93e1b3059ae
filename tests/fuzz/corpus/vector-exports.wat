;; A campaign's first find: wasmtime's C interface ends the process when it is asked for the kind of
;; an exported v128.
(module
  (memory (export "memory") 1)
  (global (export "lanes") v128 (v128.const i64x2 1 2))
  (func (export "both") (param v128 i32) (result i64 v128) (i64.const 1) (local.get 0))
  (func (export "alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "run") (param i32 i32) (result i64) (i64.const 16)))
