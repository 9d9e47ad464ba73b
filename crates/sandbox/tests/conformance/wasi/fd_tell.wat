(func (export "a pipe has no offset") (result i32)
  (call $want (i32.const 1) (call $fd_tell (i32.const 0) (i32.const 8)) (global.get $spipe))
  (call $want (i32.const 2) (call $fd_tell (i32.const 1) (i32.const 8)) (global.get $spipe))
  (call $want (i32.const 3) (call $fd_tell (i32.const 2) (i32.const 8)) (global.get $spipe))
  (global.get $failed))

(func (export "a descriptor that does not exist is badf") (result i32)
  (call $want (i32.const 1) (call $fd_tell (i32.const 3) (i32.const 8)) (global.get $badf))
  (global.get $failed))
