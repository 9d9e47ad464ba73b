;; What metering is measured on. Every function takes how often to repeat, so that a call takes some
;; milliseconds.
(module
  (memory (export "memory") 8)

  ;; Integers that depend on each other, without memory: xorshift.
  (func (export "integer") (param $times i32) (result i64) (local $x i64)
    (local.set $x (i64.const 88172645463325252))
    (loop $next
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
      (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
      (br_if $next (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $x))

  ;; A sieve: integers, memory and branches.
  (func (export "sieve") (param $times i32) (result i64) (local $i i32) (local $j i32) (local $n i64)
    (loop $again
      (local.set $n (i64.const 0))
      (memory.fill (i32.const 0) (i32.const 0) (i32.const 100000))
      (local.set $i (i32.const 2))
      (loop $next
        (if (i32.eqz (i32.load8_u (local.get $i)))
          (then
            (local.set $n (i64.add (local.get $n) (i64.const 1)))
            (local.set $j (i32.shl (local.get $i) (i32.const 1)))
            (if (i32.lt_u (local.get $j) (i32.const 100000))
              (then
                (loop $mark
                  (i32.store8 (local.get $j) (i32.const 1))
                  (local.set $j (i32.add (local.get $j) (local.get $i)))
                  (br_if $mark (i32.lt_u (local.get $j) (i32.const 100000))))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const 100000))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $n))

  ;; The textbook's product of two 64 x 64 matrices of f64: one sum in a local, one step per turn.
  (func (export "matmul") (param $times i32) (result i64)
    (local $i i32) (local $j i32) (local $k i32) (local $a i32) (local $b i32) (local $sum f64)
    (loop $again
      (local.set $i (i32.const 0))
      (loop $rows
        (local.set $j (i32.const 0))
        (loop $columns
          (local.set $sum (f64.const 0))
          (local.set $k (i32.const 64))
          (local.set $a (i32.shl (local.get $i) (i32.const 9)))
          (local.set $b (i32.shl (local.get $j) (i32.const 3)))
          (loop $inner
            (local.set $sum (f64.add (local.get $sum)
              (f64.mul (f64.load (local.get $a)) (f64.load offset=32768 (local.get $b)))))
            (local.set $a (i32.add (local.get $a) (i32.const 8)))
            (local.set $b (i32.add (local.get $b) (i32.const 512)))
            (br_if $inner (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
          (f64.store offset=65536
            (i32.add (i32.shl (local.get $i) (i32.const 9)) (i32.shl (local.get $j) (i32.const 3)))
            (local.get $sum))
          (br_if $columns
            (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 64))))
        (br_if $rows
          (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 64))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (i64.reinterpret_f64 (f64.load offset=65536 (i32.const 0))))

  ;; The same with four steps per turn: what a compiler's unrolling makes of it.
  (func (export "matmul unrolled") (param $times i32) (result i64)
    (local $i i32) (local $j i32) (local $k i32) (local $a i32) (local $b i32) (local $sum f64)
    (loop $again
      (local.set $i (i32.const 0))
      (loop $rows
        (local.set $j (i32.const 0))
        (loop $columns
          (local.set $sum (f64.const 0))
          (local.set $k (i32.const 16))
          (local.set $a (i32.shl (local.get $i) (i32.const 9)))
          (local.set $b (i32.shl (local.get $j) (i32.const 3)))
          (loop $inner
            (local.set $sum (f64.add (local.get $sum)
              (f64.mul (f64.load (local.get $a)) (f64.load offset=32768 (local.get $b)))))
            (local.set $sum (f64.add (local.get $sum)
              (f64.mul (f64.load offset=8 (local.get $a)) (f64.load offset=33280 (local.get $b)))))
            (local.set $sum (f64.add (local.get $sum)
              (f64.mul (f64.load offset=16 (local.get $a)) (f64.load offset=33792 (local.get $b)))))
            (local.set $sum (f64.add (local.get $sum)
              (f64.mul (f64.load offset=24 (local.get $a)) (f64.load offset=34304 (local.get $b)))))
            (local.set $a (i32.add (local.get $a) (i32.const 32)))
            (local.set $b (i32.add (local.get $b) (i32.const 2048)))
            (br_if $inner (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
          (f64.store offset=65536
            (i32.add (i32.shl (local.get $i) (i32.const 9)) (i32.shl (local.get $j) (i32.const 3)))
            (local.get $sum))
          (br_if $columns
            (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 1))) (i32.const 64))))
        (br_if $rows
          (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 64))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (i64.reinterpret_f64 (f64.load offset=65536 (i32.const 0))))

  ;; Four sums side by side in locals: more floats that live across a check.
  (func (export "four sums") (param $times i32) (result i64)
    (local $k i32) (local $a i32) (local $s f64) (local $t f64) (local $u f64) (local $v f64)
    (loop $again
      (local.set $k (i32.const 8192))
      (local.set $a (i32.const 0))
      (loop $inner
        (local.set $s (f64.add (local.get $s) (f64.load (local.get $a))))
        (local.set $t (f64.add (local.get $t) (f64.load offset=8 (local.get $a))))
        (local.set $u (f64.add (local.get $u) (f64.load offset=16 (local.get $a))))
        (local.set $v (f64.add (local.get $v) (f64.load offset=24 (local.get $a))))
        (local.set $a (i32.add (local.get $a) (i32.const 32)))
        (br_if $inner (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (i64.reinterpret_f64 (f64.add
      (f64.add (local.get $s) (local.get $t)) (f64.add (local.get $u) (local.get $v)))))

  ;; A dot product, four f32 at a time.
  (func (export "simd") (param $times i32) (result i64)
    (local $k i32) (local $a i32) (local $sum v128)
    (loop $again
      (local.set $k (i32.const 4096))
      (local.set $a (i32.const 0))
      (loop $inner
        (local.set $sum (f32x4.add (local.get $sum)
          (f32x4.mul (v128.load (local.get $a)) (v128.load offset=65536 (local.get $a)))))
        (local.set $a (i32.add (local.get $a) (i32.const 16)))
        (br_if $inner (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (i64x2.extract_lane 0 (local.get $sum)))

  ;; Calls and little else.
  (func $fib (param $n i32) (result i32)
    (if (i32.lt_u (local.get $n) (i32.const 2)) (then (return (local.get $n))))
    (i32.add
      (call $fib (i32.sub (local.get $n) (i32.const 1)))
      (call $fib (i32.sub (local.get $n) (i32.const 2)))))
  (func (export "recursive") (param $times i32) (result i64)
    (loop $again
      (drop (call $fib (i32.const 20)))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (i64.extend_i32_u (call $fib (i32.const 10)))))
