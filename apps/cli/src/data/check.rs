//! `data verify`: every byte of every shard, without the key.

use clap::Args;
use propeller_ces::{Report, Trust, verify};
use serde_json::{Value, json};

use super::damage::{Findings, MOVE_AWAY, Unreadable};
use super::failure::Failure;
use super::info::claimed_len;
use super::shelf::Shelf;
use super::{ObjectArgs, Work};
use crate::error::{CliError, Exit};
use crate::table::Facts;
use crate::units::bytes_text;

/// An object to look at thoroughly.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    object: ObjectArgs,
}

pub(super) fn run(args: &Verify, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    let shelf = args.object.shelf(work)?;
    let report = look(&args.object, &shelf, work)?;
    let found = Findings::new(&report.damage, report.object.geometry, &shelf);
    let json = json!({
        "name": args.object.name.to_string(),
        "object": report.object.id.to_string(),
        "digest": report.digest.to_string(),
        "trust": trust_json(&report.trust),
        "keys": report.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "whole": found.bad.is_empty(),
        "readable": report.is_readable(),
        "segments": report.segments,
        "segments_lost": report.lost,
        "plain_bytes": report.plain_len,
        "bad": found.bad,
        "superfluous": found.superfluous,
    });
    work.show(&json, &text(args, &report, &found))?;
    told(&report, &found, work);
    match found.bad.is_empty() {
        true => Ok(Exit::Success),
        false => Ok(Exit::Failure),
    }
}

/// What is wrong with all shards, with a bar while they are read.
pub(crate) fn look(
    args: &ObjectArgs,
    shelf: &Shelf,
    work: &mut Work<'_, '_>,
) -> Result<Report, Failure> {
    let bar = work
        .ui
        .progress_of(claimed_len(shelf), format!("Verifying {}", args.name));
    let report = verify(shelf.sources(), args.wanted(shelf), &mut |bytes| {
        bar.set_position(bytes);
    });
    bar.finish_and_clear();
    // Whatever could not be read then could not be read because of that.
    work.interrupt.check().map_err(|_| Failure::Interrupted)?;
    report.map_err(|error| Unreadable::new(&error, shelf).into())
}

pub(crate) fn trust_json(trust: &Trust) -> Value {
    match trust {
        Trust::Digest => json!("digest"),
        Trust::Agreement { shards } => json!({ "agreeing_shards": shards }),
    }
}

fn text(args: &Verify, report: &Report, found: &Findings) -> String {
    let mut facts = Facts::default();
    facts.add("name", &args.object.name.to_string());
    facts.add("object", &report.object.id.to_string());
    facts.add("digest", &report.digest.to_string());
    facts.add("input", &bytes_text(report.plain_len));
    let state = match (found.bad.is_empty(), report.is_readable()) {
        (true, _) => "whole: every shard is there and good".to_owned(),
        (false, true) => "readable, but not whole".to_owned(),
        (false, false) => format!(
            "{} of {} segments are lost, the first is {}",
            report.lost,
            report.segments,
            report.first_lost.unwrap_or_default()
        ),
    };
    facts.add("found", &state);
    let mut text = facts.render();
    for line in &found.bad {
        text.push_str(&format!("  {}\n", crate::table::visible(line)));
    }
    for line in &found.superfluous {
        let line = crate::table::visible(line);
        text.push_str(&format!("  superfluous: {line}\n"));
    }
    text
}

/// What the one who reads the result should know about it.
fn told(report: &Report, found: &Findings, work: &mut Work<'_, '_>) {
    vouch(&report.trust, work);
    if report.keys.len() > 1 {
        work.ui.note(
            "note: the shards have several wrapped keys, as an interrupted rotation leaves them: \
             rotate again",
        );
    }
    if !found.bad.is_empty() && report.is_readable() {
        work.ui
            .note("hint: rebuild what is missing or damaged with: data repair");
    }
    if !found.superfluous.is_empty() {
        work.ui.note(MOVE_AWAY);
    }
}

/// Says what the result rests on, where that is less than the object's digest.
pub(crate) fn vouch(trust: &Trust, work: &mut Work<'_, '_>) {
    if let Trust::Agreement { shards } = trust {
        let agree = match shards {
            1 => "1 shard is whole; whether it is the one that was put".to_owned(),
            _ => format!("{shards} shards agree; whether they are the ones that were put"),
        };
        work.ui.note(&format!("note: {agree} says --digest"));
    }
}
