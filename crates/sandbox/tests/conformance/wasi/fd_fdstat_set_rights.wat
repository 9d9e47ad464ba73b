(func (export "rights may be kept or dropped") (result i32)
  (call $want (i32.const 1)
    (call $fd_fdstat_set_rights (i32.const 1) (i64.const 0x40) (i64.const 0))
    (global.get $success))
  (call $want (i32.const 2)
    (call $fd_fdstat_set_rights (i32.const 1) (i64.const 0) (i64.const 0))
    (global.get $success))
  (global.get $failed))

;; The right to read, of standard output.
(func (export "refused: rights cannot be added") (result i32)
  (call $want_unfit (i32.const 1)
    (call $fd_fdstat_set_rights (i32.const 1) (i64.const 0x42) (i64.const 0)))
  (global.get $failed))

(func (export "a descriptor that does not exist is badf") (result i32)
  (call $want (i32.const 1)
    (call $fd_fdstat_set_rights (i32.const 3) (i64.const 0) (i64.const 0)) (global.get $badf))
  (global.get $failed))
