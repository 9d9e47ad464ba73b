;; How programs look for their directories: from 3 on, until the first `badf`.
(func (export "refused: there are no directories") (result i32)
  (call $want (i32.const 1) (call $fd_prestat_get (i32.const 3) (i32.const 8)) (global.get $badf))
  (call $want (i32.const 2) (call $fd_prestat_get (i32.const 4) (i32.const 8)) (global.get $badf))
  (global.get $failed))

(func (export "a stream is no directory") (result i32)
  (call $want_unfit (i32.const 1) (call $fd_prestat_get (i32.const 0) (i32.const 8)))
  (call $want_unfit (i32.const 2) (call $fd_prestat_get (i32.const 1) (i32.const 8)))
  (call $want_unfit (i32.const 3) (call $fd_prestat_get (i32.const 2) (i32.const 8)))
  (global.get $failed))
