(data (i32.const 64) "etc/passwd")

(func $attempt (param $fd i32) (result i32)
  (call $path_filestat_set_times
    (local.get $fd) (i32.const 1) (i32.const 64) (i32.const 10)
    (i64.const 0) (i64.const 0) (i32.const 0)))

(func (export "refused: there is no directory to look into") (result i32)
  (call $want (i32.const 1) (call $attempt (i32.const 3)) (global.get $badf))
  (call $want (i32.const 2) (call $attempt (i32.const 4)) (global.get $badf))
  ;; What the system calls the working directory.
  (call $want (i32.const 3) (call $attempt (i32.const -100)) (global.get $badf))
  (global.get $failed))

(func (export "a stream is no directory") (result i32)
  (call $want_unfit (i32.const 1) (call $attempt (i32.const 0)))
  (call $want_unfit (i32.const 2) (call $attempt (i32.const 1)))
  (global.get $failed))
