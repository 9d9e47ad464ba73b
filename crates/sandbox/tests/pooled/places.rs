//! The places of a pool: bounded, given back whatever becomes of a guest, and empty of it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use propeller_sandbox::{Allocator, EngineConfig, Job, Runtime, WasmtimeRuntime};
use tokio::task::JoinSet;

use crate::support::{CONFIG, alone, bound, job, line, until};

/// Nobody writes down what a guest hides, so that whoever finds it has found the guest's memory: the
/// test and the guest's code know the complement.
const COMPLEMENT: i64 = 0x21ad_1834_65d8_2ff2;

/// How many words may be left outside the pool: the host's own functions run on a guest's stack, and
/// take along what lies there where their values have gaps. No guest can read the host's heap.
const STRAY_MAX: usize = 16;

/// What memory is looked at through.
const MASK: u8 = 0x5a;

/// Hides it in 32 MiB of memory and in a deep stack, and goes on for ever if asked to.
const HIDE: &str = r#"
    (module
      (memory 512)
      (func $bury (param $canary i64) (param $depth i32) (result i64)
        (if (i32.eqz (local.get $depth)) (then (return (local.get $canary))))
        (i64.xor
          (call $bury (local.get $canary) (i32.sub (local.get $depth) (i32.const 1)))
          (local.get $canary)))
      (func (export "hide") (param $complement i64) (param $stay i32) (result i32)
        (local $canary i64) (local $at i32)
        (local.set $canary (i64.xor (local.get $complement) (i64.const -1)))
        (loop $again
          (local.set $at (i32.const 0))
          (loop $next
            (i64.store (local.get $at) (local.get $canary))
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 33554432))))
          (drop (call $bury (local.get $canary) (i32.const 5000)))
          (br_if $again (local.get $stay)))
        (i64.eq (i64.load (i32.const 0)) (local.get $canary))))
"#;

fn hide(stay: &str) -> Job {
    let mut job = job(HIDE, "hide", &[&COMPLEMENT.to_string(), stay]);
    job.limits.fuel = bound(1 << 60);
    job
}

fn pool(guests_max: u32) -> WasmtimeRuntime {
    let config = EngineConfig {
        allocator: Allocator::Pooling { guests_max },
        ..CONFIG
    };
    WasmtimeRuntime::new(config).expect("the engine starts on this machine")
}

/// How often what is hidden stands in the memory of this process.
fn found() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("there is /proc");
    let mut memory = File::open("/proc/self/mem").expect("there is /proc");
    let mut buffer = vec![0; 1 << 20];
    let masked = COMPLEMENT.to_le_bytes().map(|byte| !byte ^ MASK);
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line
            .split_once(' ')
            .and_then(|(range, _)| range.split_once('-'))
            .expect("a mapping begins with its range");
        let address = |hex| u64::from_str_radix(hex, 16).expect("addresses are in hex");
        let (mut at, to) = (address(from), address(to));
        while at < to {
            memory.seek(SeekFrom::Start(at)).expect("files seek");
            let wanted = usize::try_from((to - at).min(1 << 20)).expect("a mebibyte at most");
            let Ok(len) = memory.read(&mut buffer[..wanted]) else {
                break;
            };
            at += len as u64;
            // Looked at under a mask, byte by byte, and forgotten at once: whoever compares words
            // leaves what it seeks on its own stack.
            buffer.iter_mut().for_each(|byte| *byte ^= MASK);
            let words = buffer[..len].as_chunks::<8>().0.iter();
            found += words.filter(|word| **word == masked).count();
            buffer.fill(0);
            if len == 0 {
                break;
            }
        }
    }
    found
}

#[tokio::test]
async fn nothing_of_a_guest_is_left_when_it_is_gone() {
    if !alone("places::nothing_of_a_guest_is_left_when_it_is_gone") {
        return;
    }
    let runtime = pool(4);
    // A guest that is there can be found.
    let mut guest = JoinSet::new();
    let runtime = Arc::new(runtime);
    let running = Arc::clone(&runtime);
    guest.spawn(async move { running.run(hide("1")).await });
    until(|| found() > 4_000_000).await;
    // One that was stopped cannot, nor can one that came to its end.
    guest.shutdown().await;
    until(|| runtime.running() == 0).await;
    let left = found();
    assert!(left < STRAY_MAX, "{left} of a guest that was stopped");
    let end = runtime.run(hide("0")).await;
    assert_eq!(line(&end), "1");
    let left = found();
    assert!(left < STRAY_MAX, "{left} of a guest that came to its end");
}

#[tokio::test]
async fn guests_wait_for_a_place_and_places_come_back() {
    let runtime = Arc::new(pool(2));
    let mut staying = JoinSet::new();
    for _ in 0..2 {
        let runtime = Arc::clone(&runtime);
        staying.spawn(async move { runtime.run(hide("1")).await });
    }
    until(|| runtime.running() == 2).await;
    let mut waiting = JoinSet::new();
    for _ in 0..4 {
        let runtime = Arc::clone(&runtime);
        waiting.spawn(async move { line(&runtime.run(hide("0")).await) });
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(runtime.running(), 2, "no place for a third");
    staying.shutdown().await;
    let lines = waiting.join_all().await;
    assert_eq!(lines, ["1"; 4]);
}
