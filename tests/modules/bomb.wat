;; Grows its memory page by page for as long as it is let, touches all, returns the pages it got.
(module
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param i32 i32) (result i64)
    (local $page i32)
    (block $full
      (loop $again
        (local.set $page (memory.grow (i32.const 1)))
        (br_if $full (i32.eq (local.get $page) (i32.const -1)))
        (i32.store (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1))
        (br $again)))
    (i32.store (i32.const 0) (memory.size))
    (i64.const 4)))
