(func (export "a function has its name alone") (result i32)
  (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 16))
  (call $want (i32.const 1)
    (call $args_sizes_get (i32.const 0) (i32.const 4)) (global.get $success))
  (call $want (i32.const 2) (i32.load (i32.const 0)) (i32.const 1))
  ;; `guest`, and the zero that ends it.
  (call $want (i32.const 3) (i32.load (i32.const 4)) (i32.const 6))
  (call $want (i32.const 4) (i32.load (i32.const 8)) (i32.const -1))
  (global.get $failed))

(func (export "a pointer outside of memory traps") (result i32)
  (call $args_sizes_get (i32.const 0) (global.get $end)))

(func (export "a pointer that is not aligned traps") (result i32)
  (call $args_sizes_get (i32.const 1) (i32.const 4)))
