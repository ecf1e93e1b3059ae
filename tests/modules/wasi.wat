;; A WASI command. Input "x<code>": exit with that byte. Input "p": a pointer out of range.
;; Input "f": fill the output without end. Otherwise: to the output two clock readings and 8 random
;; bytes, to the log "hi", then return.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 200) "hi")
  (data (i32.const 0) "\64\00\00\00\10\00\00\00")    ;; read 16 bytes to 100
  (data (i32.const 8) "\2c\01\00\00\18\00\00\00")    ;; write 24 bytes from 300
  (data (i32.const 16) "\c8\00\00\00\02\00\00\00")   ;; write 2 bytes from 200
  (data (i32.const 24) "\00\00\00\00\00\00\01\00")   ;; write all 64 KiB
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 40)))
    (if (i32.eq (i32.load8_u (i32.const 100)) (i32.const 0x78))
      (then (call $exit (i32.load8_u (i32.const 101)))))
    (if (i32.eq (i32.load8_u (i32.const 100)) (i32.const 0x70))
      (then (drop (call $random (i32.const 0xfffffff0) (i32.const 8)))))
    (if (i32.eq (i32.load8_u (i32.const 100)) (i32.const 0x66))
      (then (loop $again
        (drop (call $write (i32.const 1) (i32.const 24) (i32.const 1) (i32.const 40)))
        (br $again))))
    (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 300)))
    (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 308)))
    (drop (call $random (i32.const 316) (i32.const 8)))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 40)))
    (drop (call $write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 40)))))
