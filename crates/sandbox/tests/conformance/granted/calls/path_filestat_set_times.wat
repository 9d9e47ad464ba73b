;; Sets both times.
(func $set (param $lookup i32) (param $path i32) (param $len i32) (result i32)
  (call $path_filestat_set_times
    (global.get $dir) (local.get $lookup) (local.get $path) (local.get $len)
    (i64.const 1000000001) (i64.const 2000000002) (i32.const 5)))

(func $attempt (param $path i32) (param $len i32) (result i32)
  (call $set (global.get $nofollow) (local.get $path) (local.get $len)))

(func $want_set (param $step i32) (param $lookup i32) (param $path i32) (param $len i32)
  (call $want (local.get $step)
    (call $look (local.get $lookup) (local.get $path) (local.get $len)) (global.get $success))
  (call $want_i64 (local.get $step)
    (i64.load offset=40 (global.get $stat)) (i64.const 1000000001))
  (call $want_i64 (local.get $step)
    (i64.load offset=48 (global.get $stat)) (i64.const 2000000002)))

(func (export "changes: a file and a directory get their times") (result i32)
  (call $want (i32.const 1) (call $attempt @"file") (global.get $success))
  (call $want_set (i32.const 2) (global.get $nofollow) @"file")
  (call $want (i32.const 3) (call $attempt @"folder") (global.get $success))
  (call $want_set (i32.const 4) (global.get $nofollow) @"folder")
  (global.get $failed))

(func (export "changes: a link gets its own times") (result i32)
  (call $want (i32.const 1) (call $attempt @"to-file") (global.get $success))
  (call $want_set (i32.const 2) (global.get $nofollow) @"to-file")
  (call $want_kind (i32.const 3) @"file" (global.get $a_file))
  (call $want_i64 (i32.const 4) (i64.load offset=48 (global.get $stat)) (global.get $changed))
  (global.get $failed))

(func (export "changes: a link is followed if that is asked for") (result i32)
  (call $want (i32.const 1) (call $set (global.get $follow) @"to-file") (global.get $success))
  (call $want_set (i32.const 2) (global.get $nofollow) @"file")
  (global.get $failed))

(func (export "changes: what does not exist is noent") (result i32)
  (call $want (i32.const 1) (call $attempt @"nothing") (global.get $noent))
  (call $want (i32.const 2) (call $set (global.get $follow) @"to-nothing") (global.get $noent))
  (global.get $failed))

(func (export "a time and that of the call at once are inval") (result i32)
  (call $want (i32.const 1)
    (call $path_filestat_set_times
      (global.get $dir) (global.get $nofollow) @"file" (i64.const 1) (i64.const 1) (i32.const 3))
    (global.get $inval))
  (global.get $failed))

(func (export "refused: a link that leads out is not followed, and perm") (result i32)
  (call $want (i32.const 1) (call $set (global.get $follow) @"out") (global.get $perm))
  (call $want (i32.const 2) (call $set (global.get $follow) @"absolute") (global.get $perm))
  (global.get $failed))
