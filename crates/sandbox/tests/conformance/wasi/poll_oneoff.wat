;; Subscriptions of 48 bytes at 1024, events of 32 bytes at 32768.

(func $subscription (param $index i32) (result i32)
  (i32.add (i32.const 1024) (i32.mul (local.get $index) (i32.const 48))))

;; Number `$index` waits for a clock; it calls itself 1000 + `$index`.
(func $clock
  (param $index i32) (param $clock i32) (param $timeout i64) (param $flags i32)
  (local $at i32)
  (local.set $at (call $subscription (local.get $index)))
  (memory.fill (local.get $at) (i32.const 0) (i32.const 48))
  (i64.store (local.get $at) (i64.extend_i32_u (i32.add (local.get $index) (i32.const 1000))))
  (i32.store offset=16 (local.get $at) (local.get $clock))
  (i64.store offset=24 (local.get $at) (local.get $timeout))
  (i32.store16 offset=40 (local.get $at) (local.get $flags)))

;; Number `$index` waits for a descriptor: `$kind` 1 to read, 2 to write.
(func $descriptor (param $index i32) (param $kind i32) (param $fd i32)
  (local $at i32)
  (local.set $at (call $subscription (local.get $index)))
  (memory.fill (local.get $at) (i32.const 0) (i32.const 48))
  (i64.store (local.get $at) (i64.extend_i32_u (i32.add (local.get $index) (i32.const 1000))))
  (i32.store8 offset=8 (local.get $at) (local.get $kind))
  (i32.store offset=16 (local.get $at) (local.get $fd)))

(func $poll (param $count i32) (result i32)
  (memory.fill (i32.const 32768) (i32.const 0xff) (i32.const 32768))
  (call $poll_oneoff (i32.const 1024) (i32.const 32768) (local.get $count) (i32.const 8)))

(func $events (result i32) (i32.load (i32.const 8)))

;; Checks that event `$event` is that of subscription `$index`, of `$kind`, without an error.
(func $want_event (param $event i32) (param $index i32) (param $kind i32)
  (local $at i32)
  (local.set $at (i32.add (i32.const 32768) (i32.mul (local.get $event) (i32.const 32))))
  (call $want_i64 (i32.const 201)
    (i64.load (local.get $at))
    (i64.extend_i32_u (i32.add (local.get $index) (i32.const 1000))))
  (call $want (i32.const 202) (i32.load16_u offset=8 (local.get $at)) (global.get $success))
  (call $want (i32.const 203) (i32.load8_u offset=10 (local.get $at)) (local.get $kind)))

;; Polls `$count` subscriptions, of which exactly `$index` fires.
(func $fires (param $count i32) (param $index i32) (param $kind i32) (result i32)
  (call $want (i32.const 1) (call $poll (local.get $count)) (global.get $success))
  (call $want (i32.const 2) (call $events) (i32.const 1))
  (call $want_event (i32.const 0) (local.get $index) (local.get $kind))
  (global.get $failed))

(func $monotonic (result i64)
  (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 16)))
  (i64.load (i32.const 16)))

(func $wall (result i64)
  (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 16)))
  (i64.load (i32.const 16)))

(func (export "without a subscription it is inval") (result i32)
  (call $want (i32.const 1) (call $poll (i32.const 0)) (global.get $inval))
  (global.get $failed))

(func (export "a monotonic clock wakes after a while") (result i32)
  (local $begun i64)
  (local.set $begun (call $monotonic))
  (call $clock (i32.const 0) (i32.const 1) (i64.const 1000000) (i32.const 0))
  (drop (call $fires (i32.const 1) (i32.const 0) (i32.const 0)))
  (call $want_true (i32.const 3)
    (i64.ge_u (i64.sub (call $monotonic) (local.get $begun)) (i64.const 1000000)))
  (global.get $failed))

(func (export "a wall clock wakes after a while") (result i32)
  (call $clock (i32.const 0) (i32.const 0) (i64.const 1000000) (i32.const 0))
  (call $fires (i32.const 1) (i32.const 0) (i32.const 0)))

(func (export "a monotonic clock wakes at a time") (result i32)
  (local $until i64)
  (local.set $until (i64.add (call $monotonic) (i64.const 1000000)))
  (call $clock (i32.const 0) (i32.const 1) (local.get $until) (i32.const 1))
  (drop (call $fires (i32.const 1) (i32.const 0) (i32.const 0)))
  (call $want_true (i32.const 3) (i64.ge_u (call $monotonic) (local.get $until)))
  (global.get $failed))

(func (export "a wall clock wakes at a time") (result i32)
  (call $clock
    (i32.const 0) (i32.const 0) (i64.add (call $wall) (i64.const 1000000)) (i32.const 1))
  (call $fires (i32.const 1) (i32.const 0) (i32.const 0)))

(func (export "a time that has passed wakes at once") (result i32)
  (call $clock (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 1))
  (drop (call $fires (i32.const 1) (i32.const 0) (i32.const 0)))
  (call $clock (i32.const 0) (i32.const 0) (i64.const 1) (i32.const 1))
  (drop (call $fires (i32.const 1) (i32.const 0) (i32.const 0)))
  (call $clock (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 0))
  (call $fires (i32.const 1) (i32.const 0) (i32.const 0)))

;; Alone it would never be over: 2^64 nanoseconds are 584 years.
(func (export "the longest time is no error") (result i32)
  (call $clock (i32.const 0) (i32.const 1) (i64.const -1) (i32.const 0))
  (call $clock (i32.const 1) (i32.const 1) (i64.const -1) (i32.const 1))
  (call $clock (i32.const 2) (i32.const 0) (i64.const -1) (i32.const 1))
  (call $descriptor (i32.const 3) (i32.const 2) (i32.const 1))
  (call $fires (i32.const 4) (i32.const 3) (i32.const 2)))

(func (export "standard input is ready while there is something") (result i32)
  (call $descriptor (i32.const 0) (i32.const 1) (i32.const 0))
  (drop (call $fires (i32.const 1) (i32.const 0) (i32.const 1)))
  (call $want_true (i32.const 3) (i64.ne (i64.load (i32.const 32784)) (i64.const 0)))
  (global.get $failed))

(func (export "standard input is ready at its end") (result i32)
  (call $buffer (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 512))
  (loop $more
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (br_if $more (i32.load (i32.const 8))))
  (call $descriptor (i32.const 0) (i32.const 1) (i32.const 0))
  (call $fires (i32.const 1) (i32.const 0) (i32.const 1)))

(func (export "outputs are ready") (result i32)
  (call $descriptor (i32.const 0) (i32.const 2) (i32.const 1))
  (drop (call $fires (i32.const 1) (i32.const 0) (i32.const 2)))
  (call $descriptor (i32.const 0) (i32.const 2) (i32.const 2))
  (call $fires (i32.const 1) (i32.const 0) (i32.const 2)))

(func (export "the one that is ready is told and the others wait") (result i32)
  (call $clock (i32.const 0) (i32.const 1) (i64.const 3600000000000) (i32.const 0))
  (call $descriptor (i32.const 1) (i32.const 1) (i32.const 0))
  (call $clock (i32.const 2) (i32.const 0) (i64.const 3600000000000) (i32.const 0))
  (call $fires (i32.const 3) (i32.const 1) (i32.const 1)))

(func (export "all that are ready are told in their order") (result i32)
  (call $descriptor (i32.const 0) (i32.const 2) (i32.const 2))
  (call $clock (i32.const 1) (i32.const 1) (i64.const 3600000000000) (i32.const 0))
  (call $descriptor (i32.const 2) (i32.const 1) (i32.const 0))
  (call $descriptor (i32.const 3) (i32.const 2) (i32.const 1))
  (call $want (i32.const 1) (call $poll (i32.const 4)) (global.get $success))
  (call $want (i32.const 2) (call $events) (i32.const 3))
  (call $want_event (i32.const 0) (i32.const 0) (i32.const 2))
  (call $want_event (i32.const 1) (i32.const 2) (i32.const 1))
  (call $want_event (i32.const 2) (i32.const 3) (i32.const 2))
  (call $want_i64 (i32.const 3) (i64.load (i32.const 32864)) (i64.const -1))
  (global.get $failed))

(func (export "one descriptor may be waited for twice") (result i32)
  (call $descriptor (i32.const 0) (i32.const 2) (i32.const 1))
  (call $descriptor (i32.const 1) (i32.const 2) (i32.const 1))
  (call $want (i32.const 1) (call $poll (i32.const 2)) (global.get $success))
  (call $want (i32.const 2) (call $events) (i32.const 2))
  (global.get $failed))

(func (export "a hundred subscriptions are taken") (result i32)
  (local $index i32)
  (loop $next
    (call $clock (local.get $index) (i32.const 1) (i64.const 3600000000000) (i32.const 0))
    (local.set $index (i32.add (local.get $index) (i32.const 1)))
    (br_if $next (i32.lt_u (local.get $index) (i32.const 100))))
  (call $descriptor (i32.const 57) (i32.const 2) (i32.const 1))
  (call $fires (i32.const 100) (i32.const 57) (i32.const 2)))

(func (export "a descriptor that does not exist is badf in its event") (result i32)
  (call $descriptor (i32.const 0) (i32.const 1) (i32.const 3))
  (call $want (i32.const 1) (call $poll (i32.const 1)) (global.get $success))
  (call $want (i32.const 2) (call $events) (i32.const 1))
  (call $want (i32.const 3) (i32.load16_u (i32.const 32776)) (global.get $badf))
  (global.get $failed))

(func (export "an output that is to be read is an error in its event") (result i32)
  (call $descriptor (i32.const 0) (i32.const 1) (i32.const 1))
  (call $want (i32.const 1) (call $poll (i32.const 1)) (global.get $success))
  (call $want (i32.const 2) (call $events) (i32.const 1))
  (call $want_unfit (i32.const 3) (i32.load16_u (i32.const 32776)))
  (global.get $failed))

(func (export "refused: processor time is no clock to wait for") (result i32)
  (call $clock (i32.const 0) (i32.const 2) (i64.const 0) (i32.const 0))
  (call $want_unfit (i32.const 1) (call $poll (i32.const 1)))
  (call $clock (i32.const 0) (i32.const 3) (i64.const 0) (i32.const 0))
  (call $want_unfit (i32.const 2) (call $poll (i32.const 1)))
  (global.get $failed))

(func (export "what does not exist cannot be waited for") (result i32)
  ;; A clock, a flag, a kind of subscription.
  (call $clock (i32.const 0) (i32.const 4) (i64.const 0) (i32.const 0))
  (call $want (i32.const 1) (call $poll (i32.const 1)) (global.get $inval))
  (call $clock (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 2))
  (call $want (i32.const 2) (call $poll (i32.const 1)) (global.get $inval))
  (call $descriptor (i32.const 0) (i32.const 3) (i32.const 1))
  (call $want (i32.const 3) (call $poll (i32.const 1)) (global.get $inval))
  (global.get $failed))

(func (export "subscriptions outside of memory trap") (result i32)
  (call $poll_oneoff
    (i32.sub (global.get $end) (i32.const 40)) (i32.const 32768) (i32.const 1) (i32.const 8)))

(func (export "events outside of memory trap") (result i32)
  (call $descriptor (i32.const 0) (i32.const 2) (i32.const 1))
  (call $poll_oneoff
    (i32.const 1024) (i32.sub (global.get $end) (i32.const 24)) (i32.const 1) (i32.const 8)))

(func (export "subscriptions that are not aligned trap") (result i32)
  (call $poll_oneoff (i32.const 1028) (i32.const 32768) (i32.const 1) (i32.const 8)))
