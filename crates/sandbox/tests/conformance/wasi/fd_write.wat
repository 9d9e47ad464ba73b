(data (i32.const 64) "one two three")

(func $write (param $fd i32) (param $buffers i32) (result i32)
  (i32.store (i32.const 8192) (i32.const -1))
  (call $fd_write (local.get $fd) (i32.const 0) (local.get $buffers) (i32.const 8192)))

(func $count (result i32) (i32.load (i32.const 8192)))

;; Writes all `$buffers` at 0, however little of them one call takes.
(func $write_all (param $buffers i32)
  (local $at i32) (local $len i32) (local $taken i32)
  (loop $call
    (if (i32.eq (local.get $at) (i32.mul (local.get $buffers) (i32.const 8))) (then (return)))
    (call $want (i32.const 101)
      (call $fd_write
        (i32.const 1) (local.get $at)
        (i32.sub (local.get $buffers) (i32.div_u (local.get $at) (i32.const 8)))
        (i32.const 8192))
      (global.get $success))
    (if (global.get $failed) (then (return)))
    (local.set $taken (call $count))
    (call $want_true (i32.const 102) (local.get $taken))
    (if (global.get $failed) (then (return)))
    (loop $pass
      (local.set $len (i32.load offset=4 (local.get $at)))
      (if (i32.ge_u (local.get $taken) (local.get $len))
        (then
          (local.set $taken (i32.sub (local.get $taken) (local.get $len)))
          (local.set $at (i32.add (local.get $at) (i32.const 8)))
          (if (i32.eq (local.get $at) (i32.mul (local.get $buffers) (i32.const 8)))
            (then
              (call $want (i32.const 103) (local.get $taken) (i32.const 0))
              (return)))
          (br_if $pass (local.get $taken)))
        (else
          (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (local.get $taken)))
          (i32.store offset=4 (local.get $at) (i32.sub (local.get $len) (local.get $taken))))))
    (br $call)))

(func (export "what is written is printed") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 13))
  (call $write_all (i32.const 1))
  (global.get $failed))

(func (export "a write tells how much it took, and the rest may follow") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 4))
  (call $buffer (i32.const 0) (i32.const 1) (i32.const 68) (i32.const 4))
  (call $buffer (i32.const 0) (i32.const 2) (i32.const 72) (i32.const 5))
  (call $write_all (i32.const 3))
  (global.get $failed))

(func (export "empty buffers are passed over") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
  (call $buffer (i32.const 0) (i32.const 1) (i32.const 64) (i32.const 13))
  (call $buffer (i32.const 0) (i32.const 2) (i32.const 0) (i32.const 0))
  (call $write_all (i32.const 2))
  (global.get $failed))

(func (export "buffers may overlap") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 8))
  (call $buffer (i32.const 0) (i32.const 1) (i32.const 68) (i32.const 9))
  (call $write_all (i32.const 2))
  (global.get $failed))

(func (export "a thousand buffers are taken") (result i32)
  (local $index i32)
  ;; Behind the list, which takes 8,000 bytes.
  (memory.copy (i32.const 16384) (i32.const 64) (i32.const 3))
  (loop $next
    (call $buffer (i32.const 0) (local.get $index) (i32.const 16384) (i32.const 3))
    (local.set $index (i32.add (local.get $index) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $index) (i32.const 1000))))
  (call $write_all (i32.const 1000))
  (global.get $failed))

(func (export "a hundred kilobytes are taken") (result i32)
  (memory.fill (i32.const 16384) (i32.const 0x78) (i32.const 100000))
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 16384) (i32.const 100000))
  (call $write_all (i32.const 1))
  (global.get $failed))

(func (export "both outputs are there") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 3))
  (call $want (i32.const 1) (call $write (i32.const 1) (i32.const 1)) (global.get $success))
  (call $want (i32.const 2) (call $write (i32.const 2) (i32.const 1)) (global.get $success))
  (global.get $failed))

(func (export "without a buffer nothing is written") (result i32)
  (call $want (i32.const 1) (call $write (i32.const 1) (i32.const 0)) (global.get $success))
  (call $want (i32.const 2) (call $count) (i32.const 0))
  (global.get $failed))

(func (export "an input cannot be written") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 3))
  (call $want_unfit (i32.const 1) (call $write (i32.const 0) (i32.const 1)))
  (global.get $failed))

(func (export "a descriptor that does not exist is badf") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 3))
  (call $want (i32.const 1) (call $write (i32.const 3) (i32.const 1)) (global.get $badf))
  (call $want (i32.const 2) (call $write (i32.const -1) (i32.const 1)) (global.get $badf))
  (global.get $failed))

(func (export "a buffer outside of memory traps") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 131068) (i32.const 8))
  (call $write (i32.const 1) (i32.const 1)))

(func (export "a buffer around the end of the address space traps") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const -8) (i32.const 64))
  (call $write (i32.const 1) (i32.const 1)))

(func (export "a list outside of memory traps") (result i32)
  (call $fd_write (i32.const 1) (global.get $end) (i32.const 1) (i32.const 8192)))

(func (export "a list that is not aligned traps") (result i32)
  (call $fd_write (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 8192)))

(func (export "a pointer to the count outside of memory traps") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 3))
  (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (global.get $end)))

;; The list would take all of the address space.
(func (export "a list that is longer than memory traps") (result i32)
  (call $write (i32.const 1) (i32.const 0x1fffffff)))
