;; Found at the power test of the comparison: wasmi 2.0.0, built without memory64, reads the offset of
;; these in eight bytes where it wrote four, and stores outside the memory.
(module
  (memory (export "memory") 2)
  (global $v (mut v128) (v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16))
  (func (export "alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "run") (param i32 i32) (result i64)
    (if (i32.eqz (local.get 1))
      (then (v128.store8_lane offset=4294967280 6 (i32.const 0) (global.get $v)))
      (else
        (v128.store8_lane offset=65537 6 (i32.const 3) (global.get $v))
        (v128.store16_lane offset=65540 6 (i32.const 4) (global.get $v))))
    (i64.const 0x1000000000020)))
