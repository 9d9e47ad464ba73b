;; Counts the bytes `a` in its input, in chunks of four bytes.
;;
;; split:   a list of chunks, the last of which may be shorter
;; execute: how many there are in the chunk, as a u32
;; merge:   their sum, as text of one digit
(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 1024))

  (func $alloc (export "alloc") (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.add (local.get $at) (local.get $len)))
    (local.get $at))

  ;; Where bytes are, in one number.
  (func $place (param $at i32) (param $len i32) (result i64)
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32))
      (i64.extend_i32_u (local.get $len))))

  (func (export "split") (param $at i32) (param $len i32) (result i64)
    (local $list i32) (local $to i32) (local $size i32)
    (local.set $list (call $alloc (i32.const 4096)))
    (local.set $to (i32.add (local.get $list) (i32.const 4)))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $len)))
        (local.set $size
          (select (i32.const 4) (local.get $len) (i32.gt_u (local.get $len) (i32.const 4))))
        (i32.store (local.get $to) (local.get $size))
        (memory.copy
          (i32.add (local.get $to) (i32.const 4)) (local.get $at) (local.get $size))
        (local.set $to (i32.add (local.get $to) (i32.add (local.get $size) (i32.const 4))))
        (local.set $at (i32.add (local.get $at) (local.get $size)))
        (local.set $len (i32.sub (local.get $len) (local.get $size)))
        (i32.store (local.get $list)
          (i32.add (i32.load (local.get $list)) (i32.const 1)))
        (br $more)))
    (call $place (local.get $list) (i32.sub (local.get $to) (local.get $list))))

  (func (export "execute") (param $at i32) (param $len i32) (result i64)
    (local $sum i32)
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $len)))
        (local.set $sum
          (i32.add (local.get $sum)
            (i32.eq (i32.load8_u (local.get $at)) (i32.const 97))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $more)))
    (i32.store (i32.const 0) (local.get $sum))
    (call $place (i32.const 0) (i32.const 4)))

  (func (export "merge") (param $at i32) (param $len i32) (result i64)
    (local $left i32) (local $sum i32)
    (local.set $left (i32.load (local.get $at)))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $sum
          (i32.add (local.get $sum) (i32.load offset=8 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $more)))
    (i32.store8 (i32.const 0) (i32.add (i32.const 48) (local.get $sum)))
    (call $place (i32.const 0) (i32.const 1))))
