;; The kind is `unknown`: the streams are neither terminals nor files, and there is none for pipes.
(func $stream (param $fd i32) (param $right i64) (result i32)
  (memory.fill (i32.const 0) (i32.const 0xff) (i32.const 64))
  (call $want (i32.const 1)
    (call $fd_fdstat_get (local.get $fd) (i32.const 8)) (global.get $success))
  (call $want (i32.const 2) (i32.load8_u (i32.const 8)) (i32.const 0))
  (call $want (i32.const 3) (i32.load16_u (i32.const 10)) (i32.const 0))
  (call $want_i64 (i32.const 4)
    (i64.and (i64.load (i32.const 16)) (local.get $right)) (local.get $right))
  (call $want_i64 (i32.const 5) (i64.load (i32.const 32)) (i64.const -1))
  (global.get $failed))

(func (export "standard input may be read") (result i32)
  (call $stream (i32.const 0) (i64.const 0x02)))

(func (export "standard output may be written") (result i32)
  (call $stream (i32.const 1) (i64.const 0x40)))

(func (export "standard error may be written") (result i32)
  (call $stream (i32.const 2) (i64.const 0x40)))

;; Programs take a descriptor that can be sought for a file, and one that cannot for a terminal.
(func (export "no stream may be sought") (result i32)
  (drop (call $fd_fdstat_get (i32.const 0) (i32.const 8)))
  (drop (call $fd_fdstat_get (i32.const 1) (i32.const 32)))
  (call $want_i64 (i32.const 1)
    (i64.and
      (i64.or (i64.load (i32.const 16)) (i64.load (i32.const 40)))
      (i64.const 0x24))
    (i64.const 0))
  (global.get $failed))

(func (export "a descriptor that does not exist is badf") (result i32)
  (call $want (i32.const 1) (call $fd_fdstat_get (i32.const 3) (i32.const 8)) (global.get $badf))
  (global.get $failed))

(func (export "a pointer outside of memory traps") (result i32)
  (call $fd_fdstat_get (i32.const 0) (i32.sub (global.get $end) (i32.const 16))))

(func (export "a pointer that is not aligned traps") (result i32)
  (call $fd_fdstat_get (i32.const 0) (i32.const 12)))
