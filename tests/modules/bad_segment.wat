;; Its data does not fit into its memory: it traps while being instantiated.
(module
  (memory (export "memory") 1)
  (data (i32.const 65535) "xx")
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param i32 i32) (result i64) (i64.const 0)))
