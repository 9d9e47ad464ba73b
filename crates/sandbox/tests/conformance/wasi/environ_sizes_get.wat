(func (export "there is nothing that the task does not set") (result i32)
  (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 16))
  (call $want (i32.const 1)
    (call $environ_sizes_get (i32.const 0) (i32.const 4)) (global.get $success))
  (call $want (i32.const 2) (i32.load (i32.const 0)) (i32.const 0))
  (call $want (i32.const 3) (i32.load (i32.const 4)) (i32.const 0))
  (call $want (i32.const 4) (i32.load (i32.const 8)) (i32.const -1))
  (global.get $failed))

(func (export "a pointer outside of memory traps") (result i32)
  (call $environ_sizes_get (global.get $end) (i32.const 4)))

(func (export "a pointer that is not aligned traps") (result i32)
  (call $environ_sizes_get (i32.const 0) (i32.const 5)))
