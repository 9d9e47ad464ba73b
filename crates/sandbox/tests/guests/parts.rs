//! Components that give each other text, which is copied at one go: where nothing else stops a guest,
//! they have less memory for it to be in.

use propeller_model::Profile;
use propeller_sandbox::{Job, Transcript};

use crate::runtime::COLUMN;
use crate::support::{bound, check, job};

const MIB: u64 = 1024 * 1024;
/// Of 64 KiB, that a text has which may just be copied at one go.
pub(crate) const COPIED_PAGES: u32 = 256;

/// A component of which one part gives the other `len` bytes of text, again and again. The first has
/// `encoding` and `pages` of 64 KiB, the second UTF-8 and room for the text.
fn composition(encoding: &str, pages: u32, len: u32) -> String {
    let room = len.div_ceil(65_536).max(1);
    format!(
        r#"(component
          (component $a
            (core module $m
              (memory (export "memory") {room})
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
              (func (export "f") (param i32 i32)))
            (core instance $i (instantiate $m))
            (func (export "f") (param "s" string)
              (canon lift (core func $i "f")
                (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
          (component $b
            (import "f" (func $f (param "s" string)))
            (core module $m (memory (export "memory") {pages}))
            (core instance $i (instantiate $m))
            (core func $g (canon lower (func $f) string-encoding={encoding}
              (memory (core memory $i "memory"))))
            (core module $c
              (import "" "g" (func $g (param i32 i32)))
              (func (export "f") (param i32) (result i32)
                (loop $again
                  (call $g (i32.const 0) (i32.const {len}))
                  (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                  (br_if $again (local.get 0)))
                (i32.const 1)))
            (core instance $c (instantiate $c (with "" (instance (export "g" (func $g))))))
            (func (export "f") (param "times" u32) (result u32) (canon lift (core func $c "f"))))
          (instance $a (instantiate $a))
          (instance $b (instantiate $b (with "f" (func $a "f"))))
          (export "f" (func $b "f")))"#
    )
}

/// One that copies a text of so many pages that often.
pub(crate) fn copies(pages: u32, times: &str) -> Job {
    job(&composition("utf8", pages, pages * 65_536), "f", &[times])
}

/// One that has `pages`, and asks for `memory` if that is any.
fn has(encoding: &str, pages: u32, memory: Option<u64>) -> Job {
    let mut job = job(&composition(encoding, pages, 4), "f", &["1"]);
    if let Some(memory) = memory {
        job.limits.memory_bytes = bound(memory);
    }
    job
}

/// The end of a guest that is bounded where it shares its process, and of every deterministic one.
async fn check_bounded(job: Job, end: &str) {
    let deterministic = Job {
        profile: Profile::Deterministic,
        transcript: Transcript::default(),
        ..job.clone()
    };
    check(deterministic, end).await;
    let is_killed = COLUMN.name == "process";
    check(job, if is_killed { "1" } else { end }).await;
}

#[tokio::test]
async fn what_is_copied_at_one_go_has_less_memory_to_be_in() {
    check(copies(COPIED_PAGES, "2"), "1").await;
    check(has("utf8", 511, Some(32 * MIB)), "1").await;
    let limit = "limit: memory 33554432 bytes (set by proplet)";
    check_bounded(has("utf8", 512, None), limit).await;
    let refused = "error: the task asks for memory 67108864 bytes; a component that is made of \
                   several may have 33554432, because text that one gives to another is copied at \
                   one go";
    check_bounded(has("utf8", 16, Some(64 * MIB)), refused).await;
}

#[tokio::test]
async fn what_is_converted_at_one_go_has_less_still() {
    check(has("utf16", 250, None), "1").await;
    check(has("utf16", 100, Some(16 * MIB)), "1").await;
    let limit = "limit: memory 16777216 bytes (set by proplet)";
    check_bounded(has("utf16", 300, None), limit).await;
    let refused = "error: the task asks for memory 33554432 bytes; a component whose parts have text \
                   in different encodings may have 16777216, because text is converted at one go";
    check_bounded(has("utf16", 100, Some(32 * MIB)), refused).await;
}

#[tokio::test]
async fn a_component_around_types_alone_is_no_part() {
    let shim = r#"(component
      (component $types (import "f" (func $f (result u32))) (export "f" (func $f)))
      (core module $m
        (memory (export "memory") 5000)
        (func (export "f") (result i32) (i32.const 1)))
      (core instance $i (instantiate $m))
      (func $f (result u32) (canon lift (core func $i "f") (memory (core memory $i "memory"))))
      (instance $t (instantiate $types (with "f" (func $f))))
      (export "f" (func $t "f")))"#;
    let mut shim = job(shim, "f", &[]);
    shim.limits.memory_bytes = bound(512 * MIB);
    check(shim, "1").await;
}
