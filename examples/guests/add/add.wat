;; The smallest useful guest: exported functions, no imports, no memory.
;; `add` wraps around at 2^32 as `i32.add` does; `mul_f64` is the floating point case.
(module
  (func (export "add") (param $a i32) (param $b i32) (result i32)
    local.get $a
    local.get $b
    i32.add)

  (func (export "mul_f64") (param $a f64) (param $b f64) (result f64)
    local.get $a
    local.get $b
    f64.mul))
