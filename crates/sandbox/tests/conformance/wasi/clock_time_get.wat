(func $now (param $clock i32) (result i64)
  (call $want (i32.const 1)
    (call $clock_time_get (local.get $clock) (i64.const 0) (i32.const 8))
    (global.get $success))
  (i64.load (i32.const 8)))

(func (export "the wall clock counts nanoseconds since 1970") (result i32)
  (local $now i64)
  (local.set $now (call $now (i32.const 0)))
  ;; From 2020 to 2100.
  (call $want_true (i32.const 2) (i64.gt_u (local.get $now) (i64.const 1577836800000000000)))
  (call $want_true (i32.const 3) (i64.lt_u (local.get $now) (i64.const 4102444800000000000)))
  (global.get $failed))

(func (export "the monotonic clock never goes back and does go on") (result i32)
  (local $first i64) (local $last i64) (local $now i64) (local $left i32)
  (local.set $first (call $now (i32.const 1)))
  (local.set $last (local.get $first))
  (local.set $left (i32.const 1000))
  (loop $again
    (local.set $now (call $now (i32.const 1)))
    (call $want_true (i32.const 2) (i64.ge_u (local.get $now) (local.get $last)))
    (local.set $last (local.get $now))
    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
    (br_if $again (local.get $left)))
  (call $want_true (i32.const 3) (i64.gt_u (local.get $last) (local.get $first)))
  (global.get $failed))

(func (export "any precision may be asked for") (result i32)
  (call $want (i32.const 1)
    (call $clock_time_get (i32.const 1) (i64.const -1) (i32.const 8)) (global.get $success))
  (global.get $failed))

(func (export "refused: the processor time of the process is inval") (result i32)
  (call $want (i32.const 1)
    (call $clock_time_get (i32.const 2) (i64.const 0) (i32.const 8)) (global.get $inval))
  (global.get $failed))

(func (export "refused: the processor time of the thread is inval") (result i32)
  (call $want (i32.const 1)
    (call $clock_time_get (i32.const 3) (i64.const 0) (i32.const 8)) (global.get $inval))
  (global.get $failed))

(func (export "a clock that does not exist is inval") (result i32)
  (call $want (i32.const 1)
    (call $clock_time_get (i32.const 4) (i64.const 0) (i32.const 8)) (global.get $inval))
  (global.get $failed))

(func (export "a pointer outside of memory traps") (result i32)
  (call $clock_time_get (i32.const 0) (i64.const 0) (global.get $end)))

(func (export "a pointer that is not aligned traps") (result i32)
  (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 9)))
