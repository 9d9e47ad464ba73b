;; An entry is the cookie of the next one, a number, the length of its name and its kind at 0, 8, 16
;; and 20, and its name from 24 on.

;; Lists a directory from a cookie on, and tells how many bytes that are.
(func $list_from (param $step i32) (param $fd i32) (param $cookie i64) (result i32)
  (i32.store (global.get $count) (i32.const -1))
  (call $want (local.get $step)
    (call $fd_readdir
      (local.get $fd) (global.get $buf) (global.get $buf_len) (local.get $cookie)
      (global.get $count))
    (global.get $success))
  (i32.load (global.get $count)))

(func $entry_len (param $at i32) (result i32)
  (i32.add (i32.const 24) (i32.load offset=16 (local.get $at))))

;; Where the entry of this name is in the buffer, or 0.
(func $find (param $name i32) (param $len i32) (result i32)
  (local $at i32)
  (local.set $at (global.get $buf))
  (loop $next
    (if (i32.ge_u (local.get $at) (i32.add (global.get $buf) (i32.load (global.get $count))))
      (then (return (i32.const 0))))
    (if (i32.eq (i32.load offset=16 (local.get $at)) (local.get $len))
      (then
        (if (call $same
              (i32.add (local.get $at) (i32.const 24)) (local.get $name) (local.get $len))
          (then (return (local.get $at))))))
    (local.set $at (i32.add (local.get $at) (call $entry_len (local.get $at))))
    (br $next))
  (unreachable))

;; How many entries are in the buffer.
(func $entries (result i32)
  (local $at i32)
  (local $entries i32)
  (local.set $at (global.get $buf))
  (loop $next
    (if (i32.lt_u (local.get $at) (i32.add (global.get $buf) (i32.load (global.get $count))))
      (then
        (local.set $entries (i32.add (local.get $entries) (i32.const 1)))
        (local.set $at (i32.add (local.get $at) (call $entry_len (local.get $at))))
        (br $next))))
  (local.get $entries))

(func $want_entry (param $step i32) (param $name i32) (param $len i32) (param $kind i32)
  (local $at i32)
  (local.set $at (call $find (local.get $name) (local.get $len)))
  (call $want_true (local.get $step) (local.get $at))
  (call $want (local.get $step) (i32.load8_u offset=20 (local.get $at)) (local.get $kind)))

(func (export "all that is there is told, with its kind") (result i32)
  (drop (call $list_from (i32.const 1) (global.get $dir) (i64.const 0)))
  (call $want_entry (i32.const 2) @"." (global.get $a_directory))
  (call $want_entry (i32.const 3) @".." (global.get $a_directory))
  (call $want_entry (i32.const 4) @"file" (global.get $a_file))
  (call $want_entry (i32.const 5) @"folder" (global.get $a_directory))
  (call $want_entry (i32.const 6) @"to-file" (global.get $a_link))
  (call $want_entry (i32.const 7) @"out" (global.get $a_link))
  (call $want (i32.const 8) (call $entries) (i32.const 14))
  (global.get $failed))

(func (export "an empty directory has itself and what is above it") (result i32)
  (local $fd i32)
  (local.set $fd (call $open (i32.const 1) @"empty" (i32.const 0) (global.get $reading)))
  (drop (call $list_from (i32.const 2) (local.get $fd) (i64.const 0)))
  (call $want_entry (i32.const 3) @"." (global.get $a_directory))
  (call $want_entry (i32.const 4) @".." (global.get $a_directory))
  (call $want (i32.const 5) (call $entries) (i32.const 2))
  (global.get $failed))

;; The whole list is kept aside, and compared with what comes from each of its cookies on.
(func (export "a cookie goes on behind its entry, up to the end") (result i32)
  (local $at i32)
  (local $end i32)
  (local $left i32)
  (local.set $at (global.get $more))
  (local.set $end
    (i32.add (local.get $at) (call $list_from (i32.const 1) (global.get $dir) (i64.const 0))))
  (memory.copy (global.get $more) (global.get $buf) (i32.load (global.get $count)))
  (loop $next
    (local.set $left
      (call $list_from (i32.const 2) (global.get $dir) (i64.load (local.get $at))))
    (local.set $at (i32.add (local.get $at) (call $entry_len (local.get $at))))
    (call $want (i32.const 3)
      (local.get $left) (i32.sub (local.get $end) (local.get $at)))
    (call $want_true (i32.const 4)
      (call $same (global.get $buf) (local.get $at) (local.get $left)))
    (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
  (call $want (i32.const 5) (local.get $left) (i32.const 0))
  (global.get $failed))

(func (export "a cookie from behind the end tells nothing") (result i32)
  (call $want (i32.const 2)
    (call $list_from (i32.const 1) (global.get $dir) (i64.const 1000)) (i32.const 0))
  (global.get $failed))

(func (export "a buffer is filled, also with a part of an entry") (result i32)
  (local $len i32)
  (drop (call $list_from (i32.const 1) (global.get $dir) (i64.const 0)))
  (memory.copy (global.get $more) (global.get $buf) (i32.load (global.get $count)))
  (loop $longer
    (memory.fill (global.get $buf) (i32.const 0xff) (i32.const 128))
    (call $want (i32.const 2)
      (call $fd_readdir
        (global.get $dir) (global.get $buf) (local.get $len) (i64.const 0) (global.get $count))
      (global.get $success))
    (call $want (i32.const 3) (i32.load (global.get $count)) (local.get $len))
    (call $want_true (i32.const 4)
      (call $same (global.get $buf) (global.get $more) (local.get $len)))
    (call $want (i32.const 5)
      (i32.load8_u (i32.add (global.get $buf) (local.get $len))) (i32.const 0xff))
    (local.set $len (i32.add (local.get $len) (i32.const 1)))
    (br_if $longer (i32.lt_u (local.get $len) (i32.const 100))))
  (global.get $failed))

(func (export "an entry has the number of its file") (result i32)
  (drop (call $list_from (i32.const 1) (global.get $dir) (i64.const 0)))
  (call $want_kind (i32.const 2) @"file" (global.get $a_file))
  (call $want_i64 (i32.const 3)
    (i64.load offset=8 (call $find @"file")) (i64.load offset=8 (global.get $stat)))
  (call $want_kind (i32.const 4) @"." (global.get $a_directory))
  (call $want_i64 (i32.const 5)
    (i64.load offset=8 (call $find @".")) (i64.load offset=8 (global.get $stat)))
  (global.get $failed))

(func (export "what is above a directory has its own number") (result i32)
  (call $want_kind (i32.const 1) @"." (global.get $a_directory))
  (drop
    (call $list_from (i32.const 3)
      (call $open (i32.const 2) @"folder" (i32.const 0) (global.get $reading)) (i64.const 0)))
  (call $want_i64 (i32.const 4)
    (i64.load offset=8 (call $find @"..")) (i64.load offset=8 (global.get $stat)))
  (global.get $failed))

(func (export "changes: a list from the start has what has come since") (result i32)
  (drop (call $list_from (i32.const 1) (global.get $dir) (i64.const 0)))
  (call $want (i32.const 2) (call $find @"new") (i32.const 0))
  (call $want (i32.const 3)
    (call $path_create_directory (global.get $dir) @"new") (global.get $success))
  (drop (call $list_from (i32.const 4) (global.get $dir) (i64.const 0)))
  (call $want_entry (i32.const 5) @"new" (global.get $a_directory))
  (global.get $failed))

(func (export "a file has no entries") (result i32)
  (call $want_unfit (i32.const 2)
    (call $fd_readdir
      (call $open (i32.const 1) @"file" (i32.const 0) (global.get $reading))
      (global.get $buf) (global.get $buf_len) (i64.const 0) (global.get $count)))
  (global.get $failed))
