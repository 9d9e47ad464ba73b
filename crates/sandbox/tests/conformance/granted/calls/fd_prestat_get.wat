(func (export "the granted directory is one, and its name has a length") (result i32)
  (i64.store (global.get $stat) (i64.const -1))
  (call $want (i32.const 1)
    (call $fd_prestat_get (global.get $dir) (global.get $stat)) (global.get $success))
  (call $want (i32.const 2) (i32.load8_u (global.get $stat)) (i32.const 0))
  (call $want (i32.const 3) (i32.load offset=4 (global.get $stat)) (i32.const 5))
  (global.get $failed))

(func (export "no other is granted") (result i32)
  (call $want (i32.const 1)
    (call $fd_prestat_get (i32.const 4) (global.get $stat)) (global.get $badf))
  (global.get $failed))

(func (export "what was opened was not granted") (result i32)
  (call $want_unfit (i32.const 2)
    (call $fd_prestat_get
      (call $open (i32.const 1) @"folder" (i32.const 0) (global.get $reading))
      (global.get $stat)))
  (call $want_unfit (i32.const 4)
    (call $fd_prestat_get
      (call $open (i32.const 3) @"file" (i32.const 0) (global.get $reading))
      (global.get $stat)))
  (global.get $failed))
