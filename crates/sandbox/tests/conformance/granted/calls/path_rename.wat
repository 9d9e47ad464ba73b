(func $rename
  (param $from i32) (param $from_len i32) (param $to i32) (param $to_len i32) (result i32)
  (call $path_rename
    (global.get $dir) (local.get $from) (local.get $from_len)
    (global.get $dir) (local.get $to) (local.get $to_len)))

;; The path as the old name, and as the new one.
(func $attempt (param $path i32) (param $len i32) (result i32)
  (local $error i32)
  (local.set $error (call $rename (local.get $path) (local.get $len) @"new"))
  (if (i32.ne (local.get $error) (global.get $perm)) (then (return (local.get $error))))
  (call $rename @"file" (local.get $path) (local.get $len)))

(func (export "changes: a file gets another name") (result i32)
  (call $want (i32.const 1) (call $rename @"file" @"new") (global.get $success))
  (call $want_gone (i32.const 2) @"file")
  (call $want_file (i32.const 3) @"new" @"0123456789")
  (global.get $failed))

(func (export "changes: a file takes the place of another one") (result i32)
  (call $want (i32.const 1) (call $rename @"file" @"folder/inner") (global.get $success))
  (call $want_gone (i32.const 2) @"file")
  (call $want_file (i32.const 3) @"folder/inner" @"0123456789")
  (global.get $failed))

(func (export "changes: a directory moves with what is in it") (result i32)
  (call $want (i32.const 1) (call $rename @"folder" @"new") (global.get $success))
  (call $want_file (i32.const 2) @"new/inner" @"inner")
  (global.get $failed))

(func (export "changes: a directory takes the place of an empty one") (result i32)
  (call $want (i32.const 1) (call $rename @"folder" @"empty") (global.get $success))
  (call $want_file (i32.const 2) @"empty/inner" @"inner")
  (global.get $failed))

(func (export "changes: a link moves itself") (result i32)
  (call $want (i32.const 1) (call $rename @"to-file" @"new") (global.get $success))
  (call $want_kind (i32.const 2) @"new" (global.get $a_link))
  (call $want_kind (i32.const 3) @"file" (global.get $a_file))
  (global.get $failed))

(func (export "changes: names are from their descriptors on") (result i32)
  (local $fd i32)
  (local.set $fd (call $open (i32.const 1) @"empty" (i32.const 0) (global.get $reading)))
  (call $want (i32.const 2)
    (call $path_rename (global.get $dir) @"file" (local.get $fd) @"file") (global.get $success))
  (call $want_file (i32.const 3) @"empty/file" @"0123456789")
  (global.get $failed))

(func (export "changes: a directory with something in it gives no place: notempty") (result i32)
  (call $want (i32.const 1) (call $rename @"empty" @"folder") (global.get $notempty))
  (global.get $failed))

(func (export "changes: a file does not take the place of a directory: isdir") (result i32)
  (call $want (i32.const 1) (call $rename @"file" @"empty") (global.get $isdir))
  (global.get $failed))

(func (export "changes: a directory does not take the place of a file: notdir") (result i32)
  (call $want (i32.const 1) (call $rename @"empty" @"file") (global.get $notdir))
  (global.get $failed))

(func (export "changes: a directory does not move into itself: inval") (result i32)
  (call $want (i32.const 1) (call $rename @"folder" @"folder/new") (global.get $inval))
  (global.get $failed))

(func (export "changes: what does not exist is noent") (result i32)
  (call $want (i32.const 1) (call $rename @"nothing" @"new") (global.get $noent))
  (call $want (i32.const 2) (call $rename @"file" @"nothing/new") (global.get $noent))
  (global.get $failed))
