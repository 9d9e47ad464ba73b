(func $attempt (param $path i32) (param $len i32) (result i32)
  (i32.store (global.get $count) (i32.const -1))
  (memory.fill (global.get $buf) (i32.const 0xff) (i32.const 64))
  (call $path_readlink
    (global.get $dir) (local.get $path) (local.get $len)
    (global.get $buf) (i32.const 64) (global.get $count)))

(func (export "a link says where it leads") (result i32)
  (call $want (i32.const 1) (call $attempt @"to-file") (global.get $success))
  (call $want_text (i32.const 2) @"file")
  (call $want (i32.const 3) (call $attempt @"folder/up") (global.get $success))
  (call $want_text (i32.const 4) @"../file")
  (call $want (i32.const 5) (call $attempt @"to-nothing") (global.get $success))
  (call $want_text (i32.const 6) @"nothing")
  (global.get $failed))

(func (export "a link that leads out says where") (result i32)
  (call $want (i32.const 1) (call $attempt @"out") (global.get $success))
  (call $want_text (i32.const 2) @"../outside/secret")
  (global.get $failed))

(func (export "a short buffer takes a part") (result i32)
  (memory.fill (global.get $buf) (i32.const 0xff) (i32.const 64))
  (call $want (i32.const 1)
    (call $path_readlink
      (global.get $dir) @"to-file" (global.get $buf) (i32.const 2) (global.get $count))
    (global.get $success))
  (call $want_text (i32.const 2) @"fi")
  (call $want (i32.const 3) (i32.load8_u offset=2 (global.get $buf)) (i32.const 0xff))
  (global.get $failed))

(func (export "what is no link is inval") (result i32)
  (call $want (i32.const 1) (call $attempt @"file") (global.get $inval))
  (call $want (i32.const 2) (call $attempt @"folder") (global.get $inval))
  (global.get $failed))

(func (export "what does not exist is noent") (result i32)
  (call $want (i32.const 1) (call $attempt @"nothing") (global.get $noent))
  (global.get $failed))

;; It would tell where the host has its files.
(func (export "refused: an absolute link does not say where it leads, and is perm") (result i32)
  (call $want (i32.const 1) (call $attempt @"absolute") (global.get $perm))
  (call $want (i32.const 2) (call $attempt @"absolute-folder") (global.get $perm))
  (call $want (i32.const 3) (i32.load8_u (global.get $buf)) (i32.const 0xff))
  (global.get $failed))
