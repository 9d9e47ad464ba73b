(func $attempt (param $path i32) (param $len i32) (result i32)
  (call $path_unlink_file (global.get $dir) (local.get $path) (local.get $len)))

(func (export "changes: a file is removed, and can be read by who has it open") (result i32)
  (local $fd i32)
  (local.set $fd (call $open (i32.const 1) @"file" (i32.const 0) (global.get $reading)))
  (call $want (i32.const 2) (call $attempt @"file") (global.get $success))
  (call $want_gone (i32.const 3) @"file")
  (call $want_read (i32.const 4) (local.get $fd) (i32.const 4) @"0123")
  (call $want (i32.const 5) (call $attempt @"file") (global.get $noent))
  (global.get $failed))

(func (export "changes: a link is removed, and what it leads to stays") (result i32)
  (call $want (i32.const 1) (call $attempt @"to-file") (global.get $success))
  (call $want_kind (i32.const 2) @"file" (global.get $a_file))
  ;; The link is inside, wherever it leads.
  (call $want (i32.const 3) (call $attempt @"out") (global.get $success))
  (global.get $failed))

(func (export "changes: a directory is isdir") (result i32)
  (call $want (i32.const 1) (call $attempt @"folder") (global.get $isdir))
  (call $want (i32.const 2) (call $attempt @"empty") (global.get $isdir))
  (global.get $failed))

(func (export "changes: what does not exist is noent, and below a file is notdir") (result i32)
  (call $want (i32.const 1) (call $attempt @"nothing") (global.get $noent))
  (call $want (i32.const 2) (call $attempt @"file/inner") (global.get $notdir))
  (call $want (i32.const 3) (call $attempt @"file/") (global.get $notdir))
  (global.get $failed))
