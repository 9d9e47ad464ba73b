//! The story as text for people and as JSON for programs.

use std::fmt::Write;
use std::time::Duration;

use propeller_api::{Attempt, Task, TaskState};
use serde_json::{Value, json};

use super::story::{Story, Told};

/// The story for people.
pub(super) fn text(story: &Story) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _written = write_text(story, &mut out);
    out
}

fn write_text(story: &Story, out: &mut String) -> std::fmt::Result {
    let sealed = &story.sealed;
    writeln!(
        out,
        "Propeller demo: an encrypted task across a broker that nobody has to trust\n"
    )?;
    writeln!(
        out,
        "1. Start broker, manager and three proplets on loopback             {}",
        ms(story.ready)
    )?;
    writeln!(
        out,
        "   workload key {} made for this run; proplet \"wrong-key\" has another one",
        story.key_id
    )?;
    writeln!(out, "2. Seal")?;
    writeln!(
        out,
        "   module hello.wasm: {} bytes, sealed {} bytes",
        story.module_len, story.sealed_len
    )?;
    writeln!(out, "   input: {:?}", story.input)?;
    writeln!(
        out,
        "3. Run                                                              {}",
        ms(sealed.round_trip)
    )?;
    describe(&sealed.task, out)?;
    writeln!(out, "   result: {:?}", sealed.result.trim_end())?;
    writeln!(
        out,
        "4. What the broker carried, searched byte by byte for module, input and result"
    )?;
    writeln!(
        out,
        "   encrypted: {:>8} bytes, {} hits",
        sealed.seen.bytes, sealed.seen.hits
    )?;
    writeln!(
        out,
        "   plain:     {:>8} bytes, {} hits (the same task in plain mode: the search does find)",
        story.plain.seen.bytes, story.plain.seen.hits
    )?;
    writeln!(
        out,
        "5. The same task, pinned to the proplet with another key"
    )?;
    describe(&story.wrong_key, out)?;
    writeln!(out, "   error: {}", story.wrong_key.error)?;
    writeln!(out, "\nClaims")?;
    for claim in &story.claims {
        writeln!(
            out,
            "   {}  {}",
            if claim.held { "held  " } else { "BROKEN" },
            claim.claim
        )?;
    }
    let verdict = if story.held() {
        "Every claim held."
    } else {
        "A claim did not hold."
    };
    writeln!(out, "\n{verdict} All in {}", ms(story.total).trim_start())
}

fn describe(task: &Task, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "   task {}: {}, {}",
        task.id,
        word(task),
        task.protection
    )?;
    for attempt in &task.attempts {
        writeln!(
            out,
            "   attempt {} on {} ({})",
            attempt.number, attempt.proplet_id, attempt.reason
        )?;
        if let Some(usage) = attempt.usage {
            writeln!(
                out,
                "   legs: open {} µs, compile {} µs, run {} µs; fuel {}, memory {} bytes",
                usage.prepare_us,
                usage.compile_us,
                usage.run_us,
                usage.fuel,
                usage.memory_peak_bytes
            )?;
        }
    }
    Ok(())
}

/// The story for programs: the same facts.
pub(super) fn json(story: &Story) -> String {
    let claims: Vec<Value> = story
        .claims
        .iter()
        .map(|claim| json!({"claim": claim.claim, "held": claim.held}))
        .collect();
    let value = json!({
        "ok": story.held(),
        "key_id": story.key_id,
        "ready_ms": millis(story.ready),
        "total_ms": millis(story.total),
        "module": {"name": "hello.wasm", "bytes": story.module_len, "sealed_bytes": story.sealed_len},
        "input": story.input,
        "encrypted": told(&story.sealed),
        "plain": told(&story.plain),
        "wrong_key": {
            "task": story.wrong_key.id,
            "state": word(&story.wrong_key),
            "error": story.wrong_key.error,
            "attempts": attempts(&story.wrong_key.attempts),
        },
        "claims": claims,
    });
    format!("{value:#}\n")
}

fn told(told: &Told) -> Value {
    json!({
        "task": told.task.id,
        "state": word(&told.task),
        "protection": told.task.protection,
        "result": told.result,
        "round_trip_ms": millis(told.round_trip),
        "attempts": attempts(&told.task.attempts),
        "broker": {"bytes": told.seen.bytes, "hits": told.seen.hits},
    })
}

fn attempts(attempts: &[Attempt]) -> Value {
    serde_json::to_value(attempts).unwrap_or_default()
}

fn word(task: &Task) -> &'static str {
    TaskState::from_number(task.state).map_or("unknown", TaskState::word)
}

fn ms(duration: Duration) -> String {
    format!("{:>7.1} ms", millis(duration))
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}
