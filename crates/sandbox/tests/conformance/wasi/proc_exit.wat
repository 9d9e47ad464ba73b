(func (export "exit 0") (result i32)
  (call $proc_exit (i32.const 0)) (i32.const 0))

(func (export "exit 1") (result i32)
  (call $proc_exit (i32.const 1)) (i32.const 0))

(func (export "exit 125") (result i32)
  (call $proc_exit (i32.const 125)) (i32.const 0))

(func (export "exit 126") (result i32)
  (call $proc_exit (i32.const 126)) (i32.const 0))

(func (export "exit 127") (result i32)
  (call $proc_exit (i32.const 127)) (i32.const 0))

(func (export "exit 128") (result i32)
  (call $proc_exit (i32.const 128)) (i32.const 0))

(func (export "exit 254") (result i32)
  (call $proc_exit (i32.const 254)) (i32.const 0))

(func (export "exit 255") (result i32)
  (call $proc_exit (i32.const 255)) (i32.const 0))

;; What `exit(-1)` in C becomes. The system keeps eight bits of it; the guest's own number is kept here.
(func (export "exit -1") (result i32)
  (call $proc_exit (i32.const -1)) (i32.const 0))

(func (export "exit 256") (result i32)
  (call $proc_exit (i32.const 256)) (i32.const 0))
