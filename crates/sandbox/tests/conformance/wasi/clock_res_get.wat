(func $resolves (param $clock i32) (result i32)
  (call $want (i32.const 1)
    (call $clock_res_get (local.get $clock) (i32.const 8)) (global.get $success))
  (call $want_true (i32.const 2) (i64.ne (i64.load (i32.const 8)) (i64.const 0)))
  (global.get $failed))

(func (export "the wall clock has a resolution") (result i32)
  (call $resolves (i32.const 0)))

(func (export "the monotonic clock has a resolution") (result i32)
  (call $resolves (i32.const 1)))

(func (export "refused: the processor time of the process is inval") (result i32)
  (call $want (i32.const 1) (call $clock_res_get (i32.const 2) (i32.const 8)) (global.get $inval))
  (global.get $failed))

(func (export "refused: the processor time of the thread is inval") (result i32)
  (call $want (i32.const 1) (call $clock_res_get (i32.const 3) (i32.const 8)) (global.get $inval))
  (global.get $failed))

(func (export "a clock that does not exist is inval") (result i32)
  (call $want (i32.const 1) (call $clock_res_get (i32.const 4) (i32.const 8)) (global.get $inval))
  (call $want (i32.const 2) (call $clock_res_get (i32.const -1) (i32.const 8)) (global.get $inval))
  (global.get $failed))

(func (export "a pointer outside of memory traps") (result i32)
  (call $clock_res_get (i32.const 0) (global.get $end)))
