(func (export "a stream has no size and no kind") (result i32)
  (local $fd i32)
  (loop $next
    (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 128))
    (call $want (i32.const 1)
      (call $fd_filestat_get (local.get $fd) (i32.const 8)) (global.get $success))
    (call $want (i32.const 2) (i32.load8_u (i32.const 24)) (i32.const 0))
    (call $want_i64 (i32.const 3) (i64.load (i32.const 40)) (i64.const 0))
    (call $want_i64 (i32.const 4) (i64.load (i32.const 72)) (i64.const -1))
    (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $fd) (i32.const 3))))
  (global.get $failed))

(func (export "a descriptor that does not exist is badf") (result i32)
  (call $want (i32.const 1) (call $fd_filestat_get (i32.const 3) (i32.const 8)) (global.get $badf))
  (global.get $failed))

(func (export "a pointer outside of memory traps") (result i32)
  (call $fd_filestat_get (i32.const 0) (i32.sub (global.get $end) (i32.const 56))))
