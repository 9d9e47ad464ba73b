;; The list of pointers at 1024, the text behind it at 65536.

(func (export "a pointer to the list outside of memory traps") (result i32)
  (call $environ_get (global.get $end) (i32.const 65536)))

(func (export "a pointer to the text outside of memory traps") (result i32)
  (call $environ_get (i32.const 1024) (global.get $end)))

(func (export "a list that is not aligned traps") (result i32)
  (call $environ_get (i32.const 1025) (i32.const 65536)))

;; Checks the layout and prints the text; leaves with the step that failed.
(func (export "_start")
  (local $count i32) (local $size i32) (local $at i32) (local $index i32)
  (memory.fill (i32.const 0) (i32.const 0xff) (global.get $end))
  (call $want (i32.const 1)
    (call $environ_sizes_get (i32.const 0) (i32.const 4)) (global.get $success))
  (local.set $count (i32.load (i32.const 0)))
  (local.set $size (i32.load (i32.const 4)))
  (call $want (i32.const 2)
    (call $environ_get (i32.const 1024) (i32.const 65536)) (global.get $success))
  (local.set $at (i32.const 65536))
  (block $all
    (loop $next
      (br_if $all (i32.eq (local.get $index) (local.get $count)))
      ;; Every pointer is where the text before it ended.
      (call $want_true (i32.const 3)
        (i32.eq
          (i32.load (i32.add (i32.const 1024) (i32.mul (local.get $index) (i32.const 4))))
          (local.get $at)))
      (loop $text
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $text (i32.load8_u (i32.sub (local.get $at) (i32.const 1)))))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br $next)))
  ;; The size is that of all texts with their ends, and nothing is written behind either.
  (call $want_true (i32.const 4)
    (i32.eq (i32.sub (local.get $at) (i32.const 65536)) (local.get $size)))
  (call $want (i32.const 5) (i32.load8_u (local.get $at)) (i32.const 0xff))
  (call $want (i32.const 6)
    (i32.load8_u (i32.add (i32.const 1024) (i32.mul (local.get $count) (i32.const 4))))
    (i32.const 0xff))
  (if (global.get $failed)
    (then (call $proc_exit (i32.div_u (global.get $failed) (i32.const 1000)))))
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 65536) (local.get $size))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
