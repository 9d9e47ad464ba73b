(func (export "refused: a stream is no socket") (result i32)
  (call $want (i32.const 1) (call $sock_send (i32.const 0) (i32.const 64) (i32.const 0) (i32.const 0) (i32.const 8)) (global.get $notsock))
  (call $want (i32.const 2) (call $sock_send (i32.const 1) (i32.const 64) (i32.const 0) (i32.const 0) (i32.const 8)) (global.get $notsock))
  (global.get $failed))

(func (export "refused: there are no sockets") (result i32)
  (call $want (i32.const 1) (call $sock_send (i32.const 3) (i32.const 64) (i32.const 0) (i32.const 0) (i32.const 8)) (global.get $badf))
  (call $want (i32.const 2) (call $sock_send (i32.const -1) (i32.const 64) (i32.const 0) (i32.const 0) (i32.const 8)) (global.get $badf))
  (global.get $failed))
