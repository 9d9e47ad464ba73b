(func $symlink (param $to i32) (param $to_len i32) (param $path i32) (param $len i32) (result i32)
  (call $path_symlink
    (local.get $to) (local.get $to_len) (global.get $dir) (local.get $path) (local.get $len)))

(func $attempt (param $path i32) (param $len i32) (result i32)
  (call $symlink @"file" (local.get $path) (local.get $len)))

(func (export "changes: a link is made, and followed") (result i32)
  (call $want (i32.const 1) (call $symlink @"file" @"new") (global.get $success))
  (call $want_kind (i32.const 2) @"new" (global.get $a_link))
  (call $want_file (i32.const 3) @"new" @"0123456789")
  (global.get $failed))

(func (export "changes: a link may lead to what does not exist") (result i32)
  (call $want (i32.const 1) (call $symlink @"nothing" @"new") (global.get $success))
  (call $want_kind (i32.const 2) @"new" (global.get $a_link))
  (global.get $failed))

(func (export "changes: a name that is taken is exist") (result i32)
  (call $want (i32.const 1) (call $attempt @"folder") (global.get $exist))
  (call $want (i32.const 2) (call $attempt @"file") (global.get $exist))
  (call $want (i32.const 3) (call $attempt @"to-nothing") (global.get $exist))
  (global.get $failed))

(func (export "changes: below what does not exist, and to nothing at all, is noent") (result i32)
  (call $want (i32.const 1) (call $attempt @"nothing/new") (global.get $noent))
  (call $want (i32.const 2) (call $symlink @"" @"new") (global.get $noent))
  (global.get $failed))

(func (export "changes: a link that leads out may be made, and is not followed") (result i32)
  (call $want (i32.const 1) (call $symlink @"../outside/secret" @"new") (global.get $success))
  (call $want (i32.const 2)
    (call $try @"new" (i32.const 0) (global.get $reading)) (global.get $perm))
  (global.get $failed))

(func (export "refused: a link that leads to an absolute path is perm") (result i32)
  (call $want (i32.const 1) (call $symlink @"/etc/passwd" @"new") (global.get $perm))
  (call $want (i32.const 2) (call $symlink @"/data/file" @"new") (global.get $perm))
  (global.get $failed))
