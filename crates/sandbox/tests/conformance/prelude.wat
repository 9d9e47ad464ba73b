;; What every guest of this folder starts with, after the imports that it uses.

(memory (export "memory") 2)

(global $success i32 (i32.const 0))
(global $badf i32 (i32.const 8))
(global $inval i32 (i32.const 28))
(global $notdir i32 (i32.const 54))
(global $notsock i32 (i32.const 57))
(global $notsup i32 (i32.const 58))
(global $spipe i32 (i32.const 70))
(global $notcapable i32 (i32.const 76))

;; The two pages end here.
(global $end i32 (i32.const 131072))

;; 0, or the first step that failed, times 1000, plus what it got.
(global $failed (mut i32) (i32.const 0))

(func $want (param $step i32) (param $got i32) (param $wanted i32)
  (if (i32.and
        (i32.ne (local.get $got) (local.get $wanted))
        (i32.eqz (global.get $failed)))
    (then
      (global.set $failed
        (i32.add
          (i32.mul (local.get $step) (i32.const 1000))
          (i32.rem_u (local.get $got) (i32.const 1000)))))))

(func $want_true (param $step i32) (param $holds i32)
  (call $want (local.get $step) (i32.ne (local.get $holds) (i32.const 0)) (i32.const 1)))

(func $want_i64 (param $step i32) (param $got i64) (param $wanted i64)
  (call $want_true (local.get $step) (i64.eq (local.get $got) (local.get $wanted))))

;; Whether `$got` says that a descriptor is not of the kind that the call is for. The documents
;; leave open which of these errors says so.
(func $want_unfit (param $step i32) (param $got i32)
  (if (i32.eqz (i32.or
        (i32.or
          (i32.eq (local.get $got) (global.get $badf))
          (i32.eq (local.get $got) (global.get $inval)))
        (i32.or
          (i32.or
            (i32.eq (local.get $got) (global.get $notdir))
            (i32.eq (local.get $got) (global.get $notsup)))
          (i32.or
            (i32.eq (local.get $got) (global.get $spipe))
            (i32.eq (local.get $got) (global.get $notcapable))))))
    (then (call $want (local.get $step) (local.get $got) (global.get $badf)))))

;; Entry `$index` of a list of buffers at `$list`.
(func $buffer (param $list i32) (param $index i32) (param $at i32) (param $len i32)
  (i32.store
    (i32.add (local.get $list) (i32.mul (local.get $index) (i32.const 8)))
    (local.get $at))
  (i32.store offset=4
    (i32.add (local.get $list) (i32.mul (local.get $index) (i32.const 8)))
    (local.get $len)))

;; Whether `$len` bytes at `$one` and at `$other` are the same.
(func $same (param $one i32) (param $other i32) (param $len i32) (result i32)
  (loop $more
    (if (i32.eqz (local.get $len)) (then (return (i32.const 1))))
    (local.set $len (i32.sub (local.get $len) (i32.const 1)))
    (br_if $more
      (i32.eq
        (i32.load8_u (i32.add (local.get $one) (local.get $len)))
        (i32.load8_u (i32.add (local.get $other) (local.get $len))))))
  (i32.const 0))
