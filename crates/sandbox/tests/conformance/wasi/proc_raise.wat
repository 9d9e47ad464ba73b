;; 6 is `abrt`, 9 is `kill`.
(func (export "refused: there are no signals") (result i32)
  (call $want_unfit (i32.const 1) (call $proc_raise (i32.const 6)))
  (call $want_unfit (i32.const 2) (call $proc_raise (i32.const 9)))
  (global.get $failed))

(func (export "a signal that does not exist is inval") (result i32)
  (call $want (i32.const 1) (call $proc_raise (i32.const 200)) (global.get $inval))
  (global.get $failed))
