//! `data repair`: shards that are missing or damaged, rebuilt where they belong, without the key.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use clap::Args;
use propeller_ces::format::HeaderError;
use propeller_ces::{RepairError, Report, Trust, Why, repair};
use serde_json::json;

use super::check::{look, trust_json, vouch};
use super::damage::{Findings, MOVE_AWAY, Unreadable, is_only_twice, reason};
use super::failure::Failure;
use super::fresh::warn_of_full;
use super::info::read_header;
use super::name::{Name, Numbered};
use super::shelf::Shelf;
use super::sink::{Sink, SinkError, Sinks, Takes};
use super::{ObjectArgs, Work};
use crate::error::{CliError, Exit};

/// An object to make whole again.
#[derive(Debug, Args)]
pub struct Repair {
    #[command(flatten)]
    object: ObjectArgs,
}

/// Where a shard is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    place: usize,
    file: String,
    takes: Takes,
}

pub(super) fn run(args: &Repair, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    let shelf = args.object.shelf(work)?;
    let report = look(&args.object, &shelf, work)?;
    let found = Findings::new(&report.damage, report.object.geometry, &shelf);
    let targets = targets(&args.object.name, &report, &shelf)?;
    let mut rebuilt = Vec::new();
    if !targets.is_empty() {
        let places = &shelf.places;
        let location = |target: &Target| places[target.place].location(&target.file);
        rebuilt = targets.values().map(location).collect();
        rebuild(args, &report, &shelf, &targets, work)?;
    }
    let json = json!({
        "name": args.object.name.to_string(),
        "object": report.object.id.to_string(),
        "digest": report.digest.to_string(),
        "trust": trust_json(&report.trust),
        "bad": found.bad,
        "superfluous": found.superfluous,
        "rebuilt": rebuilt,
    });
    let mut text = String::new();
    for (index, location) in targets.keys().zip(&rebuilt) {
        text.push_str(&format!("Rebuilt shard {index} as {location}\n"));
    }
    if targets.is_empty() {
        text = format!(
            "Nothing to rebuild: every shard of {} is there, and none of those is damaged\n",
            args.object.name
        );
    }
    work.show(&json, &text)?;
    vouch(&report.trust, work);
    left_alone(&report, &shelf, &targets, work);
    if !found.superfluous.is_empty() {
        work.ui.note(MOVE_AWAY);
    }
    if !targets.is_empty() {
        let held = shelf
            .places
            .iter()
            .zip(held_alone(&report, &shelf, &targets));
        warn_of_full(held, report.object.geometry, work);
    }
    if report.keys.len() > 1 {
        work.ui.note(match targets.is_empty() {
            true => {
                "note: the shards have several wrapped keys: rotate again, so that all have one"
            }
            false => {
                "note: the shards had several wrapped keys, and the rebuilt ones have the most \
                 common one: rotate again, so that all have the same"
            }
        });
    }
    Ok(Exit::Success)
}

/// Rebuilds all targets at once, and puts them in their places when all are whole.
fn rebuild(
    args: &Repair,
    report: &Report,
    shelf: &Shelf,
    targets: &BTreeMap<u8, Target>,
    work: &mut Work<'_, '_>,
) -> Result<(), Failure> {
    let len = report
        .plain_len
        .div_ceil(report.object.geometry.data().into());
    let mut sinks = Sinks::default();
    for Target { place, file, takes } in targets.values() {
        let place = &shelf.places[*place];
        let sink = Sink::open(place, file, *takes, Some(len), work.interrupt.clone());
        sinks.0.push(sink.map_err(|source| SinkError {
            location: place.location(file),
            source,
        })?);
    }
    let title = format!("Rebuilding {}", args.object.name);
    let bar = work.ui.progress(report.plain_len, title);
    let indexed = targets.keys().copied().zip(&mut sinks.0).collect();
    // What was verified, and nothing that has taken its place since.
    let mut wanted = args.object.wanted(shelf);
    wanted.object = Some(report.object.id);
    wanted.digest = Some(report.digest);
    let mut progress = |bytes| bar.set_position(bytes);
    let repaired = repair(shelf.sources(), indexed, wanted, &mut progress);
    bar.finish_and_clear();
    match repaired {
        Ok(_) => Ok(sinks.place_each()?),
        Err(RepairError::Sink { index, source }) => {
            let target = &targets[&index];
            let location = shelf.places[target.place].location(&target.file);
            Err(SinkError { location, source }.into())
        }
        Err(error) => Err(Unreadable::new(&error, shelf).into()),
    }
}

/// Where each shard that is missing or damaged is rebuilt: where it is; else under its name, if
/// that is free or taken by a ruin; else in the place with the fewest shards.
///
/// A good shard, and a shard of another object, are never in the way of that. Without a digest,
/// there is no report on shards that are whole and contradict each other: none is overwritten.
fn targets(name: &Name, report: &Report, shelf: &Shelf) -> Result<BTreeMap<u8, Target>, Failure> {
    let mut targets = BTreeMap::new();
    let target = |input: usize| Target {
        place: shelf.files[input].place,
        file: shelf.files[input].name.clone(),
        takes: Takes::PlaceOfAnother,
    };
    let mut held = vec![0_usize; shelf.places.len()];
    for (input, file) in shelf.files.iter().enumerate() {
        match report.damage.of(input) {
            None => held[file.place] += 1,
            Some(faults) => {
                if let Some(index) = faults.index.filter(|_| !is_only_twice(faults)) {
                    targets.entry(index).or_insert_with(|| target(input));
                }
            }
        }
    }
    let count = report.object.geometry.pieces();
    let is_sole = is_sole(report);
    for &index in report.damage.missing() {
        let number = Numbered {
            index: index.into(),
            count,
        };
        let ruin = (0..shelf.files.len()).find(|input| {
            shelf.files[*input].number == number && is_sole && is_ruin(report, *input)
        });
        if let Some(input) = ruin {
            targets.insert(index, target(input));
        }
    }
    for target in targets.values() {
        held[target.place] += 1;
    }
    for &index in report.damage.missing() {
        if targets.contains_key(&index) {
            continue;
        }
        let file = name.shard(index.into(), count);
        let is_free = |place: &usize| {
            let mut there = shelf.files.iter();
            !there.any(|other| other.place == *place && other.name == file)
        };
        let places = (0..shelf.places.len()).filter(|place| !shelf.dark.contains(place));
        let place = places.filter(is_free).min_by_key(|place| held[*place]);
        let place = place.ok_or(Failure::NowhereToRepair)?;
        held[place] += 1;
        let takes = Takes::FreeName;
        targets.insert(index, Target { place, file, takes });
    }
    Ok(targets)
}

/// Whether a ruin can be no other object's: that one's digest was given, or there is no other.
fn is_sole(report: &Report) -> bool {
    let mut faults = report.damage.shards().iter().flat_map(|shard| &shard.first);
    report.trust == Trust::Digest
        || !faults.any(|fault| matches!(fault.why, Why::Foreign { .. } | Why::Disguised))
}

/// Whether nobody can say any more whose shard it was: its header is damaged, or cut off.
///
/// What cannot be read now can perhaps be read later.
fn is_ruin(report: &Report, input: usize) -> bool {
    let faults = report.damage.of(input);
    faults.is_some_and(|faults| {
        faults.index.is_none()
            && faults.first.iter().all(|fault| match &fault.why {
                // Of a later version, which somebody else can read.
                Why::Header(HeaderError::Version(_) | HeaderError::Cipher(_)) => false,
                Why::Header(_) => true,
                Why::Read { kind, .. } => *kind == ErrorKind::UnexpectedEof,
                _ => false,
            })
    })
}

/// How many of the object's shards are in each place and in no other, once all targets are rebuilt.
///
/// What a shard is says its header: files may have been renamed.
fn held_alone(report: &Report, shelf: &Shelf, targets: &BTreeMap<u8, Target>) -> Vec<usize> {
    let mut held = vec![BTreeSet::new(); shelf.places.len()];
    for (index, target) in targets {
        held[target.place].insert(*index);
    }
    for (input, file) in shelf.files.iter().enumerate() {
        if report.damage.of(input).is_none_or(is_only_twice)
            && let Ok(header) = read_header(&shelf.source(file))
        {
            held[file.place].insert(header.index());
        }
    }
    let is_alone = |place: usize, index: u8| {
        let mut holders = held.iter().enumerate();
        !holders.any(|(other, held)| other != place && held.contains(&index))
    };
    let alone = |(place, indices): (usize, &BTreeSet<u8>)| {
        let indices = indices.iter();
        indices.filter(|index| is_alone(place, **index)).count()
    };
    held.iter().enumerate().map(alone).collect()
}

/// Tells of what is wrong and stays so: what is of another object, or there twice.
fn left_alone(
    report: &Report,
    shelf: &Shelf,
    targets: &BTreeMap<u8, Target>,
    work: &mut Work<'_, '_>,
) {
    for faults in report.damage.shards() {
        let file = &shelf.files[faults.input];
        let mut rebuilt = targets.values();
        let is_rebuilt = rebuilt.any(|t| t.place == file.place && t.file == file.name);
        if let Some(first) = faults.first.first().filter(|_| !is_rebuilt) {
            let location = shelf.location(faults.input);
            let why = reason(&first.why, shelf);
            work.ui
                .note(&format!("warning: {location} stays as it is: {why}"));
        }
    }
}
