;; Kind, flags and rights are at 0, 2 and 8.
(func $look_at (param $step i32) (param $fd i32) (param $kind i32) (param $flags i32)
  (memory.fill (global.get $stat) (i32.const 0xff) (i32.const 24))
  (call $want (local.get $step)
    (call $fd_fdstat_get (local.get $fd) (global.get $stat)) (global.get $success))
  (call $want (local.get $step) (i32.load8_u (global.get $stat)) (local.get $kind))
  (call $want (local.get $step) (i32.load16_u offset=2 (global.get $stat)) (local.get $flags)))

;; The rights among these that are there.
(func $want_rights (param $step i32) (param $among i64) (param $there i64)
  (call $want_i64 (local.get $step)
    (i64.and (i64.load offset=8 (global.get $stat)) (local.get $among)) (local.get $there)))

(func (export "the granted directory may be listed, and files opened from it") (result i32)
  (call $look_at (i32.const 1) (global.get $dir) (global.get $a_directory) (i32.const 0))
  ;; path_open, fd_readdir, path_readlink, path_filestat_get, fd_filestat_get
  (call $want_rights (i32.const 2) (i64.const 0x24e000) (i64.const 0x24e000))
  (global.get $failed))

(func (export "a directory that was opened is one") (result i32)
  (call $look_at (i32.const 2)
    (call $open (i32.const 1) @"folder" (i32.const 0) (global.get $reading))
    (global.get $a_directory) (i32.const 0))
  (call $want_rights (i32.const 3) (i64.const 0x24e000) (i64.const 0x24e000))
  (global.get $failed))

(func (export "rights to change a directory are shown where they are given") (result i32)
  (local $given i32)
  (local.set $given
    (i32.eqz
      (call $path_create_directory (global.get $dir) @"new")))
  (drop (call $path_remove_directory (global.get $dir) @"new"))
  (call $look_at (i32.const 1) (global.get $dir) (global.get $a_directory) (i32.const 0))
  ;; path_create_directory
  (call $want_rights (i32.const 2)
    (i64.const 0x200) (i64.shl (i64.extend_i32_u (local.get $given)) (i64.const 9)))
  (global.get $failed))

(func (export "a file that is read may be read and not written") (result i32)
  (call $look_at (i32.const 2)
    (call $open (i32.const 1) @"file" (i32.const 0) (global.get $reading))
    (global.get $a_file) (i32.const 0))
  (call $want_rights (i32.const 3) (i64.const 0x42) (global.get $right_read))
  (global.get $failed))

(func (export "changes: a file that is written may be written and not read") (result i32)
  (call $look_at (i32.const 2)
    (call $open (i32.const 1) @"file" (i32.const 0) (global.get $right_write))
    (global.get $a_file) (i32.const 0))
  (call $want_rights (i32.const 3) (i64.const 0x42) (global.get $right_write))
  (global.get $failed))

(func (export "a descriptor has the rights that were asked for and no other") (result i32)
  (call $look_at (i32.const 2)
    (call $open (i32.const 1) @"file" (i32.const 0) (global.get $right_read))
    (global.get $a_file) (i32.const 0))
  (call $want_rights (i32.const 3) (i64.const -1) (global.get $right_read))
  (global.get $failed))

(func (export "changes: a file that is appended to says so") (result i32)
  (call $want (i32.const 1)
    (call $open_from
      (global.get $dir) (global.get $follow) @"file" (i32.const 0) (global.get $writing)
      (global.get $append))
    (global.get $success))
  (call $look_at (i32.const 2)
    (i32.load (global.get $opened)) (global.get $a_file) (global.get $append))
  (global.get $failed))
