;; What every guest of the folder `granted` starts with, after `prelude.wat`.

(global $loop i32 (i32.const 32))
(global $exist i32 (i32.const 20))
(global $ilseq i32 (i32.const 25))
(global $isdir i32 (i32.const 31))
(global $nametoolong i32 (i32.const 37))
(global $noent i32 (i32.const 44))
(global $notempty i32 (i32.const 55))
(global $overflow i32 (i32.const 61))
(global $perm i32 (i32.const 63))

;; The directory that is granted: the streams have the numbers before it.
(global $dir i32 (i32.const 3))

;; Whether a path that ends in a symbolic link means what the link leads to.
(global $nofollow i32 (i32.const 0))
(global $follow i32 (i32.const 1))

;; How a file is opened.
(global $creat i32 (i32.const 1))
(global $directory i32 (i32.const 2))
(global $excl i32 (i32.const 4))
(global $trunc i32 (i32.const 8))

;; What a file may be opened to be.
(global $append i32 (i32.const 1))
(global $dsync i32 (i32.const 2))
(global $nonblock i32 (i32.const 4))
(global $rsync i32 (i32.const 8))
(global $sync i32 (i32.const 16))

;; Rights: all that reading takes, the same with what writing takes, and some alone.
(global $reading i64 (i64.const 0x824e0bf))
(global $writing i64 (i64.const 0x8e4e1ff))
(global $right_read i64 (i64.const 0x2))
(global $right_write i64 (i64.const 0x40))

;; Kinds of files.
(global $a_directory i32 (i32.const 3))
(global $a_file i32 (i32.const 4))
(global $a_link i32 (i32.const 7))

;; Where the calls put what they give.
(global $list i32 (i32.const 0))
(global $count i32 (i32.const 64))
(global $opened i32 (i32.const 72))
(global $offset i32 (i32.const 80))
(global $stat i32 (i32.const 256))
(global $other_stat i32 (i32.const 512))
(global $buf i32 (i32.const 1024))
(global $buf_len i32 (i32.const 4096))
;; Behind the buffer and before the texts of the guest.
(global $more i32 (i32.const 16384))

;; The last time that the folder's files are changed before a guest sees them, in nanoseconds.
(global $changed i64 (i64.const 1000000000000000000))

(func $open_from
  (param $fd i32) (param $lookup i32) (param $path i32) (param $len i32) (param $oflags i32)
  (param $rights i64) (param $fdflags i32) (result i32)
  (i32.store (global.get $opened) (i32.const -1))
  (call $path_open
    (local.get $fd) (local.get $lookup) (local.get $path) (local.get $len) (local.get $oflags)
    (local.get $rights) (local.get $rights) (local.get $fdflags) (global.get $opened)))

;; The error that a path opens with, if its last part may be a link.
(func $try (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64) (result i32)
  (call $open_from
    (global.get $dir) (global.get $follow) (local.get $path) (local.get $len) (local.get $oflags)
    (local.get $rights) (i32.const 0)))

;; A descriptor of what the path names.
(func $open
  (param $step i32) (param $path i32) (param $len i32) (param $oflags i32) (param $rights i64)
  (result i32)
  (call $want (local.get $step)
    (call $try (local.get $path) (local.get $len) (local.get $oflags) (local.get $rights))
    (global.get $success))
  (i32.load (global.get $opened)))

;; Writes a text where the descriptor is.
(func $put (param $fd i32) (param $at i32) (param $len i32) (result i32)
  (call $buffer (global.get $list) (i32.const 0) (local.get $at) (local.get $len))
  (call $fd_write (local.get $fd) (global.get $list) (i32.const 1) (global.get $count)))

;; Reads at most so much from where the descriptor is.
(func $take (param $fd i32) (param $max i32) (result i32)
  (i32.store (global.get $count) (i32.const -1))
  (call $buffer (global.get $list) (i32.const 0) (global.get $buf) (local.get $max))
  (call $fd_read (local.get $fd) (global.get $list) (i32.const 1) (global.get $count)))

(func $want_written (param $step i32) (param $fd i32) (param $at i32) (param $len i32)
  (call $want (local.get $step)
    (call $put (local.get $fd) (local.get $at) (local.get $len)) (global.get $success))
  (call $want (local.get $step) (i32.load (global.get $count)) (local.get $len)))

;; What has been read, or listed, is this text.
(func $want_text (param $step i32) (param $at i32) (param $len i32)
  (call $want (local.get $step) (i32.load (global.get $count)) (local.get $len))
  (call $want_true (local.get $step)
    (call $same (global.get $buf) (local.get $at) (local.get $len))))

;; At most so much comes from the descriptor, and it is this text.
(func $want_read (param $step i32) (param $fd i32) (param $max i32) (param $at i32) (param $len i32)
  (call $want (local.get $step)
    (call $take (local.get $fd) (local.get $max)) (global.get $success))
  (call $want_text (local.get $step) (local.get $at) (local.get $len)))

;; A file of the granted directory holds this text.
(func $want_file
  (param $step i32) (param $path i32) (param $path_len i32) (param $at i32) (param $len i32)
  (local $fd i32)
  (local.set $fd
    (call $open (local.get $step)
      (local.get $path) (local.get $path_len) (i32.const 0) (global.get $reading)))
  (call $want_read (local.get $step)
    (local.get $fd) (global.get $buf_len) (local.get $at) (local.get $len))
  (drop (call $fd_close (local.get $fd))))

;; What is said of a path.
(func $look (param $lookup i32) (param $path i32) (param $len i32) (result i32)
  (call $path_filestat_get
    (global.get $dir) (local.get $lookup) (local.get $path) (local.get $len) (global.get $stat)))

;; The path names something of this kind, without following a link.
(func $want_kind (param $step i32) (param $path i32) (param $len i32) (param $kind i32)
  (i32.store8 offset=16 (global.get $stat) (i32.const 255))
  (call $want (local.get $step)
    (call $look (global.get $nofollow) (local.get $path) (local.get $len)) (global.get $success))
  (call $want (local.get $step) (i32.load8_u offset=16 (global.get $stat)) (local.get $kind)))

(func $want_gone (param $step i32) (param $path i32) (param $len i32)
  (call $want (local.get $step)
    (call $look (global.get $nofollow) (local.get $path) (local.get $len)) (global.get $noent)))

;; Whether `$got` says that a directory is no file. The documents leave open which error says so.
(func $want_no_file (param $step i32) (param $got i32)
  (if (i32.ne (local.get $got) (global.get $isdir))
    (then (call $want_unfit (local.get $step) (local.get $got)))))

;; Whether `$got` says that a descriptor was not opened for this. In WASI that is a right that is
;; missing, `notcapable`, and in the systems behind it the way in which a file was opened.
(func $want_no_right (param $step i32) (param $got i32)
  (if (i32.eqz (i32.or
        (i32.or
          (i32.eq (local.get $got) (global.get $notcapable))
          (i32.eq (local.get $got) (global.get $perm)))
        (i32.or
          (i32.eq (local.get $got) (global.get $badf))
          (i32.eq (local.get $got) (global.get $inval)))))
    (then (call $want (local.get $step) (local.get $got) (global.get $notcapable)))))
