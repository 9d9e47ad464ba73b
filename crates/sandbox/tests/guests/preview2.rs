//! Components and their host: what WASI 0.2 offers works, also where a lock ends whoever makes a
//! system call too many, and what a guest does not get it is refused.

use propeller_model::Profile;
use propeller_sandbox::{Exit, Job, Runtime};

use crate::support::{check, exit, job, runtime};

/// One function for each thing that hosts do with system calls of their own.
const ASKS: &str = r#"
    (component
      (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $pollable (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
      (alias export $poll "pollable" (type $pollable))
      (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $outer))
        (export "pollable" (type $pollable (eq $outer)))
        (export "now" (func (result u64)))
        (export "subscribe-duration"
          (func (param "when" u64) (result (own $pollable))))))
      (import "wasi:random/random@0.2.0" (instance $random
        (export "get-random-u64" (func (result u64)))))
      (import "wasi:sockets/network@0.2.0" (instance $network
        (type $codes (enum "unknown" "access-denied" "not-supported" "invalid-argument"
          "out-of-memory" "timeout" "concurrency-conflict" "not-in-progress" "would-block"
          "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use"
          "remote-unreachable" "connection-refused" "connection-reset" "connection-aborted"
          "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
          "permanent-resolver-failure"))
        (export "error-code" (type (eq $codes)))
        (type $families (enum "ipv4" "ipv6"))
        (export "ip-address-family" (type (eq $families)))))
      (alias export $network "error-code" (type $code))
      (alias export $network "ip-address-family" (type $family))
      (import "wasi:sockets/tcp@0.2.0" (instance $tcp
        (export "tcp-socket" (type (sub resource)))))
      (alias export $tcp "tcp-socket" (type $tcp-socket))
      (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create-tcp
        (alias outer 1 $code (type $codes)) (export "error-code" (type $code (eq $codes)))
        (alias outer 1 $family (type $all)) (export "ip-address-family" (type $family (eq $all)))
        (alias outer 1 $tcp-socket (type $sock)) (export "tcp-socket" (type $socket (eq $sock)))
        (export "create-tcp-socket" (func (param "address-family" $family)
          (result (result (own $socket) (error $code)))))))
      (import "wasi:sockets/udp@0.2.0" (instance $udp
        (export "udp-socket" (type (sub resource)))))
      (alias export $udp "udp-socket" (type $udp-socket))
      (import "wasi:sockets/udp-create-socket@0.2.0" (instance $create-udp
        (alias outer 1 $code (type $codes)) (export "error-code" (type $code (eq $codes)))
        (alias outer 1 $family (type $all)) (export "ip-address-family" (type $family (eq $all)))
        (alias outer 1 $udp-socket (type $sock)) (export "udp-socket" (type $socket (eq $sock)))
        (export "create-udp-socket" (func (param "address-family" $family)
          (result (result (own $socket) (error $code)))))))

      (core module $memory (memory (export "memory") 1))
      (core instance $m (instantiate $memory))
      (alias core export $m "memory" (core memory $mem))
      (core func $block (canon lower (func $poll "[method]pollable.block")))
      (core func $now (canon lower (func $clock "now")))
      (core func $after (canon lower (func $clock "subscribe-duration")))
      (core func $draw (canon lower (func $random "get-random-u64")))
      (core func $tcp-new
        (canon lower (func $create-tcp "create-tcp-socket") (memory $mem)))
      (core func $udp-new
        (canon lower (func $create-udp "create-udp-socket") (memory $mem)))
      (core module $code
        (import "m" "memory" (memory 1))
        (import "h" "block" (func $block (param i32)))
        (import "h" "now" (func $now (result i64)))
        (import "h" "after" (func $after (param i64) (result i32)))
        (import "h" "draw" (func $draw (result i64)))
        (import "h" "tcp" (func $tcp (param i32 i32)))
        (import "h" "udp" (func $udp (param i32 i32)))
        ;; All of a page, so that the memory starts as an image.
        (data (i32.const 4096) "image")
        (func (export "image") (result i32) (i32.load8_u (i32.const 4096)))
        (func (export "sleep") (result i32) (local $start i64)
          (local.set $start (call $now))
          (call $block (call $after (i64.const 2000000)))
          (i64.ge_u (i64.sub (call $now) (local.get $start)) (i64.const 2000000)))
        (func (export "draw") (result i64) (call $draw))
        (func $code (result i32)
          (i32.add
            (i32.mul (i32.load8_u (i32.const 0)) (i32.const 100))
            (i32.load8_u (i32.const 4))))
        (func (export "tcp") (result i32)
          (call $tcp (i32.const 0) (i32.const 0)) (call $code))
        (func (export "udp") (result i32)
          (call $udp (i32.const 1) (i32.const 0)) (call $code)))
      (core instance $c (instantiate $code
        (with "m" (instance $m))
        (with "h" (instance
          (export "block" (func $block)) (export "now" (func $now))
          (export "after" (func $after)) (export "draw" (func $draw))
          (export "tcp" (func $tcp-new)) (export "udp" (func $udp-new))))))
      (func (export "image") (result u32) (canon lift (core func $c "image")))
      (func (export "sleep") (result bool) (canon lift (core func $c "sleep")))
      (func (export "draw") (result u64) (canon lift (core func $c "draw")))
      (func (export "tcp") (result u32) (canon lift (core func $c "tcp")))
      (func (export "udp") (result u32) (canon lift (core func $c "udp"))))
"#;

const GREET: &str = include_str!("../../../../examples/guests/greet/greet.wat");

#[tokio::test]
async fn a_component_sleeps_and_draws_and_finds_its_data() {
    check(job(ASKS, "sleep", &[]), "true").await;
    check(job(ASKS, "image", &[]), "105").await;
    let runtime = runtime();
    let draw = job(ASKS, "draw", &[]);
    let (one, two) = (runtime.run(draw.clone()).await, runtime.run(draw).await);
    assert_ne!(one.expect("it runs").result, two.expect("it runs").result);
}

/// 1 is `access-denied`, after 100 for an error.
#[tokio::test]
async fn a_component_without_a_grant_gets_no_socket() {
    check(job(ASKS, "tcp", &[]), "101").await;
    check(job(ASKS, "udp", &[]), "101").await;
}

fn deterministic(text: &str, entry: &str, args: &[&str]) -> Job {
    Job {
        profile: Profile::Deterministic,
        ..job(text, entry, args)
    }
}

/// The numbers are the same on every machine and in both isolation modes.
#[tokio::test]
async fn a_deterministic_component_is_the_same_everywhere() {
    for (text, entry, args, result, fuel) in [
        (GREET, "greet", &["\"Ada\""][..], "\"Hello, Ada!\"", 98),
        (
            GREET,
            "divide",
            &["7", "0"],
            "err(\"division by zero\")",
            14,
        ),
        (ASKS, "image", &[], "105", 10),
        (ASKS, "sleep", &[], "true", 18),
    ] {
        let Exit {
            result: got, usage, ..
        } = exit(deterministic(text, entry, args)).await;
        assert_eq!(
            (got.as_deref(), usage.fuel, usage.memory_peak_bytes),
            (Some(result), fuel, 65_536),
            "{entry}"
        );
    }
}
