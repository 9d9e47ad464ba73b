;; The ways out of a directory that are in a path alone, for guests that have `$attempt`: it makes
;; the call with a path and gives the error.

(func (export "refused: above the granted directory is perm") (result i32)
  (call $want (i32.const 1) (call $attempt @"..") (global.get $perm))
  (call $want (i32.const 2) (call $attempt @"../outside") (global.get $perm))
  (call $want (i32.const 3) (call $attempt @"../outside/secret") (global.get $perm))
  (call $want (i32.const 4) (call $attempt @"../outside/new") (global.get $perm))
  (call $want (i32.const 5) (call $attempt @"folder/../../outside/secret") (global.get $perm))
  (call $want (i32.const 6) (call $attempt @"./../outside/new") (global.get $perm))
  ;; Out and in again is out.
  (call $want (i32.const 7) (call $attempt @"../granted/file") (global.get $perm))
  (global.get $failed))

(func (export "refused: an absolute path is perm") (result i32)
  (call $want (i32.const 1) (call $attempt @"/") (global.get $perm))
  (call $want (i32.const 2) (call $attempt @"/new") (global.get $perm))
  (call $want (i32.const 3) (call $attempt @"/etc/passwd") (global.get $perm))
  ;; Names are from a descriptor on, also below where the guest finds the directory.
  (call $want (i32.const 4) (call $attempt @"/data/file") (global.get $perm))
  (global.get $failed))

(func (export "refused: through a link that leads out is perm") (result i32)
  (call $want (i32.const 1) (call $attempt @"out-folder/secret") (global.get $perm))
  (call $want (i32.const 2) (call $attempt @"out-folder/new") (global.get $perm))
  (call $want (i32.const 3) (call $attempt @"folder/../out-folder/secret") (global.get $perm))
  (call $want (i32.const 4) (call $attempt @"absolute-folder/secret") (global.get $perm))
  (global.get $failed))
