(func (export "no bytes are no error") (result i32)
  (i64.store (i32.const 0) (i64.const -1))
  (call $want (i32.const 1) (call $random_get (i32.const 0) (i32.const 0)) (global.get $success))
  (call $want_i64 (i32.const 2) (i64.load (i32.const 0)) (i64.const -1))
  (global.get $failed))

(func (export "one byte is written and none behind it") (result i32)
  (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 8))
  (call $want (i32.const 1) (call $random_get (i32.const 0) (i32.const 1)) (global.get $success))
  (call $want (i32.const 2) (i32.load8_u (i32.const 1)) (i32.const 0xff))
  (global.get $failed))

;; By chance this fails once in 2^64 runs.
(func (export "bytes differ from call to call") (result i32)
  (call $want (i32.const 1) (call $random_get (i32.const 0) (i32.const 8)) (global.get $success))
  (call $want (i32.const 2) (call $random_get (i32.const 8) (i32.const 8)) (global.get $success))
  (call $want_true (i32.const 3) (i64.ne (i64.load (i32.const 0)) (i64.load (i32.const 8))))
  (global.get $failed))

(func (export "all of a large buffer is filled") (result i32)
  (call $want (i32.const 1)
    (call $random_get (i32.const 0) (global.get $end)) (global.get $success))
  (call $want_true (i32.const 2) (i64.ne (i64.load (i32.const 0)) (i64.const 0)))
  (call $want_true (i32.const 3) (i64.ne (i64.load (i32.const 131064)) (i64.const 0)))
  (global.get $failed))

(func (export "a mebibyte comes at once") (result i32)
  (drop (memory.grow (i32.const 30)))
  (call $want (i32.const 1)
    (call $random_get (i32.const 0) (i32.const 0x100000)) (global.get $success))
  (global.get $failed))

(func (export "refused: more than a mebibyte at once traps") (result i32)
  (drop (memory.grow (i32.const 30)))
  (call $random_get (i32.const 0) (i32.const 0x100001)))

(func (export "a buffer outside of memory traps") (result i32)
  (call $random_get (i32.const 131068) (i32.const 8)))
