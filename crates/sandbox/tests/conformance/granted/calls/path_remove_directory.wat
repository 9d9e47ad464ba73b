(func $attempt (param $path i32) (param $len i32) (result i32)
  (call $path_remove_directory (global.get $dir) (local.get $path) (local.get $len)))

(func (export "changes: an empty directory is removed") (result i32)
  (call $want (i32.const 1) (call $attempt @"empty") (global.get $success))
  (call $want_gone (i32.const 2) @"empty")
  (call $want (i32.const 3) (call $attempt @"empty") (global.get $noent))
  (global.get $failed))

(func (export "changes: a directory with something in it is notempty") (result i32)
  (call $want (i32.const 1) (call $attempt @"folder") (global.get $notempty))
  (global.get $failed))

(func (export "changes: what is no directory is notdir") (result i32)
  (call $want (i32.const 1) (call $attempt @"file") (global.get $notdir))
  (call $want (i32.const 2) (call $attempt @"to-folder") (global.get $notdir))
  (global.get $failed))

(func (export "changes: the directory that names begin at is inval") (result i32)
  (call $want (i32.const 1) (call $attempt @".") (global.get $inval))
  (global.get $failed))
