(func (export "refused: there are no directories") (result i32)
  (call $want (i32.const 1)
    (call $fd_readdir
      (i32.const 3) (i32.const 64) (i32.const 1024) (i64.const 0) (i32.const 8))
    (global.get $badf))
  (global.get $failed))

(func (export "a stream is no directory") (result i32)
  (call $want_unfit (i32.const 1)
    (call $fd_readdir
      (i32.const 0) (i32.const 64) (i32.const 1024) (i64.const 0) (i32.const 8)))
  (call $want_unfit (i32.const 2)
    (call $fd_readdir
      (i32.const 1) (i32.const 64) (i32.const 1024) (i64.const -1) (i32.const 8)))
  (global.get $failed))
