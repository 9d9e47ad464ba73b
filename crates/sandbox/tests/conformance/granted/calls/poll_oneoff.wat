;; A subscription has its user's data, its kind and a descriptor at 0, 8 and 16; an event has its
;; user's data, an error, its kind and how many bytes there are at 0, 8, 10 and 16.
(func $poll (param $fd i32) (param $kind i32) (result i32)
  (memory.fill (global.get $buf) (i32.const 0) (i32.const 48))
  (memory.fill (global.get $other_stat) (i32.const 0xff) (i32.const 32))
  (i64.store (global.get $buf) (i64.const 42))
  (i32.store8 offset=8 (global.get $buf) (local.get $kind))
  (i32.store offset=16 (global.get $buf) (local.get $fd))
  (call $poll_oneoff
    (global.get $buf) (global.get $other_stat) (i32.const 1) (global.get $count)))

(func $want_ready (param $step i32) (param $fd i32) (param $kind i32)
  (call $want (local.get $step)
    (call $poll (local.get $fd) (local.get $kind)) (global.get $success))
  (call $want (local.get $step) (i32.load (global.get $count)) (i32.const 1))
  (call $want_i64 (local.get $step) (i64.load (global.get $other_stat)) (i64.const 42))
  (call $want (local.get $step)
    (i32.load16_u offset=8 (global.get $other_stat)) (global.get $success))
  (call $want (local.get $step)
    (i32.load8_u offset=10 (global.get $other_stat)) (local.get $kind)))

(func (export "a file is ready to be read, and says how much there is") (result i32)
  (local $fd i32)
  (local.set $fd (call $open (i32.const 1) @"file" (i32.const 0) (global.get $reading)))
  (call $want_read (i32.const 2) (local.get $fd) (i32.const 4) @"0123")
  (call $want_ready (i32.const 3) (local.get $fd) (i32.const 1))
  (call $want_i64 (i32.const 4) (i64.load offset=16 (global.get $other_stat)) (i64.const 6))
  (global.get $failed))

(func (export "changes: a file is ready to be written") (result i32)
  (local $fd i32)
  (local.set $fd (call $open (i32.const 1) @"file" (i32.const 0) (global.get $writing)))
  (call $want_ready (i32.const 2) (local.get $fd) (i32.const 2))
  (global.get $failed))
