//! `tasks view`

use propeller_api::{Attempt, ExitKind, Limits, Task, TaskState, ZERO_TIME};

use super::state_of;
use crate::Session;
use crate::error::{CliError, Exit};
use crate::table::{Facts, Side, Table};
use crate::units::{bytes_text, micros_text};

pub(crate) async fn run(id: &str, session: &mut Session<'_, '_>) -> Result<Exit, CliError> {
    let task = session.client.task_view(id).await?;
    if session.json {
        session.ui.json(&task)?;
        return Ok(Exit::Success);
    }
    let output = output(&task, session).await?;
    session.ui.text(&facts(&task, &output)?.render())?;
    if !task.attempts.is_empty() {
        session.ui.text("\n")?;
        session.ui.text(&attempts(&task.attempts).render())?;
    }
    Ok(Exit::Success)
}

/// What is said of an output that is kept as an object. Only its results name it, and only a
/// completed task without any others has one.
async fn output(task: &Task, session: &Session<'_, '_>) -> Result<String, CliError> {
    let may_be_kept =
        task.results.is_null() && state_of(&task.id, task.state)? == TaskState::Completed;
    if !may_be_kept {
        return Ok(String::new());
    }
    let results = session.client.task_results(&task.id).await?;
    let kept = results.stdout_object.as_ref();
    Ok(kept.map_or_else(String::new, |kept| sealed(kept.length, &kept.digest)))
}

fn sealed(len: u64, digest: &str) -> String {
    format!("{}, sealed as {digest}", bytes_text(len))
}

fn facts(task: &Task, output: &str) -> Result<Facts, CliError> {
    let env = task.env.iter().map(|(key, value)| format!("{key}={value}"));
    let labels = task
        .metadata
        .iter()
        .flatten()
        .map(|(key, value)| match value.as_str() {
            Some(text) => format!("{key}={text}"),
            None => format!("{key}={value}"),
        });
    let exit_code = task
        .exit_code
        .map(|code| code.to_string())
        .unwrap_or_default();
    let mut facts = Facts::default();
    facts.add("id", &task.id);
    facts.add("name", &task.name);
    facts.add("state", state_of(&task.id, task.state)?.word());
    facts.add("error", &task.error);
    facts.add("hint", &task.hint);
    facts.add("exit", task.exit.map(ExitKind::word).unwrap_or_default());
    facts.add("exit code", &exit_code);
    facts.add("module", &task.app_name);
    facts.add("digest", &task.module);
    facts.add("image", &task.image_url);
    facts.add("invoke", &task.invoke);
    facts.add(
        "flags",
        &task.cli_args.as_deref().unwrap_or_default().join(" "),
    );
    facts.add("inputs", &task.inputs.join(", "));
    facts.add("environment", &joined(env));
    if let Some(stdin) = &task.stdin_object {
        facts.add("stdin", &sealed(stdin.length, &stdin.digest));
    }
    facts.add("stdout", output);
    facts.add("limits", &task.limits.map(limits).unwrap_or_default());
    facts.add("priority", &task.priority.to_string());
    facts.add("metadata", &joined(labels));
    facts.add("proplet", &task.proplet_id);
    facts.add("protection", &task.protection);
    if let Some(proof) = task.attempts.last().and_then(|last| last.proof.as_ref()) {
        facts.add("key", &proof.key);
        facts.add("evidence", &proof.evidence_digest);
    }
    if task.profile != "pure" {
        facts.add("profile", &task.profile);
    }
    facts.add("trace", &task.trace_id);
    facts.add("created", time(&task.created_at));
    facts.add("updated", time(&task.updated_at));
    facts.add("started", time(&task.start_time));
    facts.add("finished", time(&task.finish_time));
    Ok(facts)
}

fn limits(limits: Limits) -> String {
    let Limits {
        memory_bytes,
        fuel,
        wall_ms,
        output_bytes,
    } = limits;
    let parts = [
        memory_bytes.map(|bytes| format!("memory {}", bytes_text(bytes))),
        fuel.map(|fuel| format!("fuel {fuel}")),
        wall_ms.map(|ms| format!("time {}", micros_text(ms.saturating_mul(1000)))),
        output_bytes.map(|bytes| format!("output {}", bytes_text(bytes))),
    ];
    joined(parts.into_iter().flatten())
}

fn attempts(attempts: &[Attempt]) -> Table<9> {
    let mut table = Table::new([
        ("ATTEMPT", Side::Right),
        ("PROPLET", Side::Left),
        ("OUTCOME", Side::Left),
        ("EXIT", Side::Left),
        ("ASSIGNED", Side::Left),
        ("ENDED", Side::Left),
        ("RUN", Side::Right),
        ("FUEL", Side::Right),
        ("MEMORY", Side::Right),
    ]);
    for attempt in attempts {
        let usage = attempt.usage;
        table.add([
            attempt.number.to_string(),
            attempt.proplet_id.clone(),
            attempt
                .outcome
                .clone()
                .unwrap_or_else(|| "under way".to_owned()),
            attempt
                .exit
                .map(ExitKind::word)
                .unwrap_or_default()
                .to_owned(),
            attempt.assigned_at.clone(),
            attempt.ended_at.clone().unwrap_or_default(),
            usage
                .map(|usage| micros_text(usage.run_us))
                .unwrap_or_default(),
            usage
                .map(|usage| usage.fuel.to_string())
                .unwrap_or_default(),
            usage
                .map(|usage| bytes_text(usage.memory_peak_bytes))
                .unwrap_or_default(),
        ]);
    }
    table
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A time, unless it is upstream's way to say that there is none.
fn time(text: &str) -> &str {
    if text == ZERO_TIME { "" } else { text }
}
