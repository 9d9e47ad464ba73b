(func (export "refused: there is no file, and a stream is none") (result i32)
  (call $want_unfit (i32.const 1) (call $fd_filestat_set_times (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0)))
  (call $want_unfit (i32.const 2) (call $fd_filestat_set_times (i32.const 1) (i64.const 0) (i64.const 0) (i32.const 0)))
  (call $want_unfit (i32.const 3) (call $fd_filestat_set_times (i32.const 2) (i64.const 0) (i64.const 0) (i32.const 0)))
  (global.get $failed))

(func (export "a descriptor that does not exist is badf") (result i32)
  (call $want (i32.const 1) (call $fd_filestat_set_times (i32.const 3) (i64.const 0) (i64.const 0) (i32.const 0)) (global.get $badf))
  (call $want (i32.const 2) (call $fd_filestat_set_times (i32.const -1) (i64.const 0) (i64.const 0) (i32.const 0)) (global.get $badf))
  (global.get $failed))

;; Both to a given time and to the present one.
(func (export "times that contradict each other are inval") (result i32)
  (call $want (i32.const 1)
    (call $fd_filestat_set_times (i32.const 1) (i64.const 0) (i64.const 0) (i32.const 3))
    (global.get $inval))
  (global.get $failed))
