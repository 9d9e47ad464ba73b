(func $link (param $from i32) (param $from_len i32) (param $to i32) (param $to_len i32) (result i32)
  (call $path_link
    (global.get $dir) (global.get $nofollow) (local.get $from) (local.get $from_len)
    (global.get $dir) (local.get $to) (local.get $to_len)))

;; The path as what is to get a name, and as the name.
(func $attempt (param $path i32) (param $len i32) (result i32)
  (local $error i32)
  (local.set $error (call $link (local.get $path) (local.get $len) @"new"))
  (if (i32.ne (local.get $error) (global.get $perm)) (then (return (local.get $error))))
  (call $link @"file" (local.get $path) (local.get $len)))

(func (export "changes: a file gets another name") (result i32)
  (call $want (i32.const 1) (call $link @"file" @"new") (global.get $success))
  (call $want_kind (i32.const 2) @"file" (global.get $a_file))
  (call $want_i64 (i32.const 3) (i64.load offset=24 (global.get $stat)) (i64.const 2))
  (call $want_file (i32.const 4) @"new" @"0123456789")
  (global.get $failed))

(func (export "changes: names are from their descriptors on") (result i32)
  (local $fd i32)
  (local.set $fd (call $open (i32.const 1) @"folder" (i32.const 0) (global.get $reading)))
  (call $want (i32.const 2)
    (call $path_link (local.get $fd) (i32.const 0) @"inner" (global.get $dir) @"new")
    (global.get $success))
  (call $want_file (i32.const 3) @"new" @"inner")
  (global.get $failed))

(func (export "changes: a link gets another name itself") (result i32)
  (call $want (i32.const 1) (call $link @"to-file" @"new") (global.get $success))
  (call $want_kind (i32.const 2) @"new" (global.get $a_link))
  (global.get $failed))

(func (export "changes: what a link leads to gets another name if that is asked for") (result i32)
  (call $want (i32.const 1)
    (call $path_link
      (global.get $dir) (global.get $follow) @"to-file" (global.get $dir) @"new")
    (global.get $success))
  (call $want_kind (i32.const 2) @"new" (global.get $a_file))
  (global.get $failed))

(func (export "changes: a name that is taken is exist") (result i32)
  (call $want (i32.const 1) (call $link @"file" @"folder/inner") (global.get $exist))
  (call $want (i32.const 2) (call $link @"file" @"file") (global.get $exist))
  (call $want (i32.const 3) (call $link @"file" @"to-nothing") (global.get $exist))
  (global.get $failed))

(func (export "changes: what does not exist is noent") (result i32)
  (call $want (i32.const 1) (call $link @"nothing" @"new") (global.get $noent))
  (call $want (i32.const 2) (call $link @"file" @"nothing/new") (global.get $noent))
  (global.get $failed))

(func (export "a directory gets no other name, and that is perm") (result i32)
  (call $want (i32.const 1) (call $link @"folder" @"new") (global.get $perm))
  (global.get $failed))
