;; wasmi reports an element segment past the end of its table as a failure to instantiate, not as a
;; trap; the adapter makes it one.
(module
  (memory (export "memory") 1)
  (table 2 funcref)
  (elem (i32.const 1) $f $f)
  (func $f)
  (func (export "alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "run") (param i32 i32) (result i64) (i64.const 0)))
