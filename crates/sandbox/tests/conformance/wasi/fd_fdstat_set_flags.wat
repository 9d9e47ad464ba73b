(func (export "no flags are taken") (result i32)
  (call $want (i32.const 1)
    (call $fd_fdstat_set_flags (i32.const 1) (i32.const 0)) (global.get $success))
  (global.get $failed))

;; `nonblock` is 4.
(func (export "a flag that is set is shown") (result i32)
  (call $want (i32.const 1)
    (call $fd_fdstat_set_flags (i32.const 0) (i32.const 4)) (global.get $success))
  (drop (call $fd_fdstat_get (i32.const 0) (i32.const 8)))
  (call $want (i32.const 2) (i32.load16_u (i32.const 10)) (i32.const 4))
  (global.get $failed))

(func (export "flags that do not exist are inval") (result i32)
  (call $want (i32.const 1)
    (call $fd_fdstat_set_flags (i32.const 1) (i32.const 32)) (global.get $inval))
  (global.get $failed))

(func (export "a descriptor that does not exist is badf") (result i32)
  (call $want (i32.const 1)
    (call $fd_fdstat_set_flags (i32.const 3) (i32.const 0)) (global.get $badf))
  (global.get $failed))
