//! A new object: its shape, and where its shards go.

use clap::{Args, ValueEnum};
use propeller_ces::{
    Cipher, Compression, EncodeError, Geometry, Label, Level, Options, SegmentSize, Summary,
};
use serde_json::{Value, json};

use super::failure::Failure;
use super::files::remove_stale;
use super::name::Name;
use super::place::Place;
use super::sink::{Sink, SinkError, Sinks, Takes, part_name};
use super::{ThreadsArg, Work};
use crate::table::Facts;
use crate::units::{bytes_text, parse_bytes};

/// What a new object is like.
#[derive(Debug, Args)]
#[command(next_help_heading = "Shape of the object")]
pub struct ShapeArgs {
    /// Data and parity shards: as many as the second number may be lost
    #[arg(long, value_name = "K+M", default_value = "8+4")]
    geometry: Geometry,
    /// What segments are sealed with
    #[arg(
        long,
        value_enum,
        value_name = "CIPHER",
        default_value = "xchacha20-poly1305"
    )]
    cipher: CipherArg,
    /// How hard to compress, 1 to 22; off where secrets stand beside what others choose
    #[arg(long, value_name = "N|off", default_value = "3", value_parser = level)]
    level: Compression,
    /// What is compressed and sealed in one piece: a power of two from 64KiB to 8MiB
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = segment_size)]
    segment_size: SegmentSize,
    #[command(flatten)]
    threads: ThreadsArg,
}

/// A cipher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CipherArg {
    /// The same speed everywhere
    #[value(name = "xchacha20-poly1305")]
    XChaCha20Poly1305,
    /// Faster where the processor has instructions for it
    #[value(name = "aes-256-gcm")]
    Aes256Gcm,
}

fn level(text: &str) -> Result<Compression, String> {
    if text == "off" {
        return Ok(Compression::Off);
    }
    let level: i32 = text
        .parse()
        .map_err(|_| "write 1 to 22, or off".to_owned())?;
    let level = Level::new(level).map_err(|error| error.to_string())?;
    Ok(Compression::Zstd(level))
}

fn segment_size(text: &str) -> Result<SegmentSize, String> {
    let bytes = parse_bytes(text)?;
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    SegmentSize::new(bytes).map_err(|error| error.to_string())
}

impl ShapeArgs {
    pub(crate) fn options(&self, label: Option<Label>) -> Options {
        Options {
            geometry: self.geometry,
            cipher: match self.cipher {
                CipherArg::XChaCha20Poly1305 => Cipher::XChaCha20Poly1305,
                CipherArg::Aes256Gcm => Cipher::Aes256Gcm,
            },
            compression: self.level,
            segment_size: self.segment_size,
            label,
            threads: self.threads.count(),
        }
    }
}

/// A new object under way.
#[derive(Debug)]
pub(crate) struct Fresh {
    name: Name,
    places: Vec<Place>,
    options: Options,
    pub(crate) sinks: Sinks,
}

impl Fresh {
    /// Opens a sink for every shard: shard `i` is in place `i` modulo the number of places.
    ///
    /// Nothing may be there under that name. What an interrupted run left under other names is
    /// removed.
    pub(crate) fn open(
        name: &Name,
        places: Vec<Place>,
        options: Options,
        input_len: Option<u64>,
        work: &mut Work<'_, '_>,
    ) -> Result<Self, Failure> {
        for place in &places {
            clear(place, name)?;
        }
        let count = options.geometry.pieces();
        let held = |number| (number..usize::from(count)).step_by(places.len()).count();
        let held = places.iter().zip((0..places.len()).map(held));
        warn_of_full(held, options.geometry, work);
        let shard_len = input_len.map(|len| len.div_ceil(options.geometry.data().into()));
        let mut sinks = Sinks::default();
        for (index, place) in (0..count).zip(places.iter().cycle()) {
            let file = name.shard(index, count);
            let interrupt = work.interrupt.clone();
            let sink = Sink::open(place, &file, Takes::FreeName, shard_len, interrupt);
            sinks.0.push(sink.map_err(|source| SinkError {
                location: place.location(&file),
                source,
            })?);
        }
        Ok(Self {
            name: name.clone(),
            places,
            options,
            sinks,
        })
    }

    /// What went wrong, with the place of the shard if it was one.
    pub(crate) fn failure(&self, error: EncodeError) -> Failure {
        match error {
            EncodeError::Shard { index, source } => {
                let sink = self.sinks.0.get(usize::from(index));
                let location = sink.map_or_else(String::new, |sink| sink.location.clone());
                Failure::Sink(SinkError { location, source })
            }
            error => Failure::Encode(Box::new(error)),
        }
    }

    /// Puts all shards in their places, and says what there is now.
    pub(crate) fn place(self, summary: &Summary) -> Result<Told, Failure> {
        let locations = self.sinks.0.iter().map(|sink| sink.location.clone());
        let locations: Vec<String> = locations.collect();
        self.sinks.place_all()?;
        Ok(tell(
            &self.name,
            &self.options,
            summary,
            &locations,
            // Places beyond the last shard get none.
            self.places.len().min(locations.len()),
        ))
    }
}

/// What there is to know about a new object.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) json: Value,
    pub(crate) text: String,
}

fn tell(
    name: &Name,
    options: &Options,
    summary: &Summary,
    locations: &[String],
    places: usize,
) -> Told {
    let stored = summary.shard_len * locations.len() as u64;
    let ratio = (summary.plain_len > 0).then(|| stored as f64 / summary.plain_len as f64);
    let mut facts = Facts::default();
    facts.add("name", &name.to_string());
    facts.add("object", &summary.object.to_string());
    facts.add("digest", &summary.digest.to_string());
    facts.add("label", summary.label.as_str());
    facts.add("key", &summary.key.to_string());
    facts.add("cipher", &options.cipher.to_string());
    let geometry = options.geometry;
    facts.add(
        "geometry",
        &format!(
            "{geometry}, in {places} {}",
            plural(places, "place", "places")
        ),
    );
    facts.add("input", &bytes_text(summary.plain_len));
    let ratio_text =
        ratio.map_or_else(String::new, |ratio| format!(", {ratio:.2} times the input"));
    facts.add("stored", &format!("{}{ratio_text}", bytes_text(stored)));
    let json = json!({
        "name": name.to_string(),
        "object": summary.object.to_string(),
        "digest": summary.digest.to_string(),
        "label": summary.label.as_str(),
        "key": summary.key.to_string(),
        "cipher": options.cipher.to_string(),
        "geometry": geometry.to_string(),
        "segments": summary.segments,
        "plain_bytes": summary.plain_len,
        "shard_bytes": summary.shard_len,
        "stored_bytes": stored,
        "shards": locations,
    });
    Told {
        json,
        text: facts.render(),
    }
}

pub(crate) fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// Refuses a place where something of that name is, and removes what was left half written.
fn clear(place: &Place, name: &Name) -> Result<(), Failure> {
    let failed = |source| Failure::Place {
        place: place.to_string(),
        source,
    };
    let is_shard = |file: &str| name.index_of(file).is_some();
    let there = place.list(&name.stem(), &is_shard).map_err(failed)?;
    if let Some(entry) = there.first() {
        return Err(Failure::Exists(place.location(&entry.name)));
    }
    let Place::Folder(folder) = place else {
        return Ok(());
    };
    // Of any geometry.
    let is_part = |file: &str| {
        let shard = file.strip_prefix('.').unwrap_or_default();
        let shard = shard.strip_suffix(".part").unwrap_or_default();
        is_shard(shard) && file == part_name(shard)
    };
    let stem = format!(".{}", name.stem());
    for entry in place.list(&stem, &is_part).map_err(failed)? {
        let path = folder.join(&entry.name);
        remove_stale(&path).map_err(|source| Failure::Write { path, source })?;
    }
    Ok(())
}

/// Says which places hold more shards than may be lost, of what each holds.
pub(crate) fn warn_of_full<'p>(
    held: impl IntoIterator<Item = (&'p Place, usize)>,
    geometry: Geometry,
    work: &mut Work<'_, '_>,
) {
    for (place, held) in held {
        if held > usize::from(geometry.parity()) {
            let shards = plural(held, "shard", "shards");
            work.ui.note(&format!(
                "warning: {place} holds {held} {shards} of {geometry}: whoever loses it loses the object"
            ));
        }
    }
}
