;; A component in text: values with WAVE text in and out, by the canonical ABI.
;;
;; greet:  func(name: string) -> string        "Hello, NAME!"
;; total:  func(prices: list<u32>) -> u64      their sum
;; divide: func(a: s32, b: s32) -> result<s32, string>
;;
;; The interface demo:greeter/api@1.0.0 exports greet once more.

(component
  (core module $code
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (data (i32.const 64) "Hello, ")
    (data (i32.const 80) "division by zero")

    ;; Never frees: every call has an instance of its own.
    (func $realloc (export "realloc")
      (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at
        (i32.and
          (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $len)))
      (block $fits
        (loop $grow
          (br_if $fits
            (i32.le_u (global.get $next) (i32.shl (memory.size) (i32.const 16))))
          (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
          (br $grow)))
      (local.get $at))

    (func (export "greet") (param $name i32) (param $len i32) (result i32)
      (local $text i32)
      (local.set $text
        (call $realloc (i32.const 0) (i32.const 0) (i32.const 1)
          (i32.add (local.get $len) (i32.const 8))))
      (memory.copy (local.get $text) (i32.const 64) (i32.const 7))
      (memory.copy
        (i32.add (local.get $text) (i32.const 7)) (local.get $name) (local.get $len))
      (i32.store8
        (i32.add (i32.add (local.get $text) (i32.const 7)) (local.get $len)) (i32.const 33))
      (i32.store (i32.const 0) (local.get $text))
      (i32.store (i32.const 4) (i32.add (local.get $len) (i32.const 8)))
      (i32.const 0))

    (func (export "total") (param $at i32) (param $count i32) (result i64)
      (local $sum i64)
      (block $done
        (loop $more
          (br_if $done (i32.eqz (local.get $count)))
          (local.set $sum (i64.add (local.get $sum) (i64.load32_u (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 4)))
          (local.set $count (i32.sub (local.get $count) (i32.const 1)))
          (br $more)))
      (local.get $sum))

    ;; A result<s32, string> is a byte that tells which, and the value from byte 4 on.
    (func (export "divide") (param $a i32) (param $b i32) (result i32)
      (if (i32.eqz (local.get $b))
        (then
          (i32.store8 (i32.const 16) (i32.const 1))
          (i32.store (i32.const 20) (i32.const 80))
          (i32.store (i32.const 24) (i32.const 16)))
        (else
          (i32.store8 (i32.const 16) (i32.const 0))
          (i32.store (i32.const 20) (i32.div_s (local.get $a) (local.get $b)))))
      (i32.const 16)))

  (core instance $run (instantiate $code))
  (alias core export $run "memory" (core memory $memory))
  (alias core export $run "realloc" (core func $realloc))

  (func $greet (export "greet") (param "name" string) (result string)
    (canon lift (core func $run "greet") (memory $memory) (realloc $realloc)))
  (func (export "total") (param "prices" (list u32)) (result u64)
    (canon lift (core func $run "total") (memory $memory) (realloc $realloc)))
  (func (export "divide") (param "a" s32) (param "b" s32) (result (result s32 (error string)))
    (canon lift (core func $run "divide") (memory $memory) (realloc $realloc)))

  (instance $api (export "greet" (func $greet)))
  (export "demo:greeter/api@1.0.0" (instance $api)))
