//! `data info`: what shards say of themselves. No key is needed, and nothing of it is proven.

use std::collections::BTreeMap;

use clap::Args;
use propeller_ces::ReadAt;
use propeller_ces::format::{
    BelievedFooter, FOOTER_LEN, HEADER_LEN, Header, Trailer, TrailerError,
};
use serde_json::json;

use super::failure::Failure;
use super::fresh::plural;
use super::shelf::{ShardFile, Shelf};
use super::{ObjectArgs, Work};
use crate::error::{CliError, Exit};
use crate::table::{Facts, Side, Table};
use crate::units::bytes_text;

/// An object to look at.
#[derive(Debug, Args)]
pub struct Info {
    #[command(flatten)]
    object: ObjectArgs,
}

/// What a shard says of itself.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) header: Header,
    pub(crate) footer: Result<BelievedFooter, String>,
}

impl Claim {
    /// Reads both ends of a shard.
    pub(crate) fn read(shelf: &Shelf, file: &ShardFile) -> Result<Self, String> {
        let source = shelf.source(file);
        let header = read_header(&source)?;
        let footer = read_footer(&source, &header);
        Ok(Self { header, footer })
    }
}

/// The header of a shard.
pub(crate) fn read_header(source: &impl ReadAt) -> Result<Header, String> {
    let text = |error: std::io::Error| error.to_string();
    let size = source.size().map_err(text)?;
    let mut bytes = [0; HEADER_LEN];
    let len = usize::try_from(size).map_or(HEADER_LEN, |size| size.min(HEADER_LEN));
    source.read_at(&mut bytes[..len], 0).map_err(text)?;
    Header::parse(&bytes[..len]).map_err(|error| error.to_string())
}

/// The footer, believed on its own word: nobody who is shown it has reason to believe more.
fn read_footer(source: &impl ReadAt, header: &Header) -> Result<BelievedFooter, String> {
    let said = |error: TrailerError| error.to_string();
    let text = |error: std::io::Error| error.to_string();
    let size = source.size().map_err(text)?;
    let mut footer = [0; FOOTER_LEN];
    let end = size.checked_sub(FOOTER_LEN as u64);
    let end = end.ok_or_else(|| said(TrailerError::End))?;
    source.read_at(&mut footer, end).map_err(text)?;
    let len = Trailer::len_before_end(&footer).map_err(said)?;
    let begins_at = size
        .checked_sub(len)
        .ok_or_else(|| said(TrailerError::Length))?;
    // At most 32 MiB, and no more than the shard has.
    let len = usize::try_from(len).map_err(|error| error.to_string())?;
    let mut bytes = vec![0; len];
    source.read_at(&mut bytes, begins_at).map_err(text)?;
    let object = header.object();
    let trailer = Trailer::parse(&bytes, begins_at, object).map_err(said)?;
    let footer = *trailer.footer();
    footer
        .identify(object, &footer.digest(object))
        .map_err(said)
}

/// Length of the plaintext as the first shard that says something says it: for progress alone.
pub(crate) fn claimed_len(shelf: &Shelf) -> Option<u64> {
    shelf.files.iter().find_map(|file| {
        let claim = Claim::read(shelf, file).ok()?;
        Some(claim.footer.ok()?.plain_len())
    })
}

pub(super) fn run(args: &Info, work: &mut Work<'_, '_>) -> Result<Exit, CliError> {
    let shelf = args.object.shelf(work)?;
    let claims: Vec<_> = shelf
        .files
        .iter()
        .map(|file| Claim::read(&shelf, file))
        .collect();
    work.interrupt.check().map_err(|_| Failure::Interrupted)?;
    let objects = objects(args, &claims);
    if objects.is_empty() {
        // The core says best what is wrong with them.
        let verified =
            propeller_ces::verify(shelf.sources(), args.object.wanted(&shelf), &mut |_| ());
        let Err(error) = verified else {
            return Ok(Exit::Success);
        };
        return Err(Failure::from(super::damage::Unreadable::new(&error, &shelf)).into());
    }
    let mut text = String::new();
    for object in objects.values() {
        text.push_str(&object.facts(args).render());
        text.push('\n');
    }
    text.push_str(&table(&shelf, &claims).render());
    let shards = shelf.files.iter().zip(&claims).map(|(file, claim)| {
        let location = shelf.places[file.place].location(&file.name);
        match claim {
            Ok(claim) => json!({
                "location": location,
                "index": claim.header.index(),
                "object": claim.header.object().id.to_string(),
                "key": claim.header.key_id().to_string(),
                "bytes": file.size,
                "wrong": claim.footer.as_ref().err(),
            }),
            Err(wrong) => json!({ "location": location, "bytes": file.size, "wrong": wrong }),
        }
    });
    let json = json!({
        "name": args.object.name.to_string(),
        "objects": objects.values().map(Described::json).collect::<Vec<_>>(),
        "shards": shards.collect::<Vec<_>>(),
    });
    work.show(&json, &text)?;
    Ok(Exit::Success)
}

/// What several shards say of the same object.
struct Described {
    header: Header,
    keys: Vec<String>,
    digest: Option<String>,
    lens: Option<(u64, u64)>,
    /// The indices that are there.
    indices: Vec<u8>,
}

/// The objects that are there, by their ids: one, unless something is in the wrong place.
fn objects(args: &Info, claims: &[Result<Claim, String>]) -> BTreeMap<String, Described> {
    let mut objects: BTreeMap<String, Described> = BTreeMap::new();
    for claim in claims.iter().flatten() {
        let object = claim.header.object();
        if args.object.label.is_some_and(|label| label != object.label) {
            continue;
        }
        let described = objects.entry(object.id.to_string());
        let described = described.or_insert_with(|| Described {
            header: claim.header,
            keys: Vec::new(),
            digest: None,
            lens: None,
            indices: Vec::new(),
        });
        let key = claim.header.key_id().to_string();
        if !described.keys.contains(&key) {
            described.keys.push(key);
        }
        if !described.indices.contains(&claim.header.index()) {
            described.indices.push(claim.header.index());
        }
        if let Ok(footer) = &claim.footer {
            let digest = footer.digest(object).to_string();
            described.digest.get_or_insert(digest);
            described
                .lens
                .get_or_insert_with(|| (footer.plain_len(), footer.segments()));
        }
    }
    if let Some(digest) = args.object.digest {
        let digest = digest.to_string();
        objects.retain(|_, object| object.digest.as_ref() == Some(&digest));
    }
    objects
}

impl Described {
    fn facts(&self, args: &Info) -> Facts {
        let object = self.header.object();
        let geometry = object.geometry;
        let mut facts = Facts::default();
        facts.add("name", &args.object.name.to_string());
        facts.add("object", &object.id.to_string());
        facts.add("digest", self.digest.as_deref().unwrap_or_default());
        facts.add("label", object.label.as_str());
        facts.add(
            plural(self.keys.len(), "key", "keys"),
            &self.keys.join(", "),
        );
        facts.add("cipher", &object.cipher.to_string());
        let (got, all) = (self.indices.len(), geometry.pieces());
        facts.add(
            "geometry",
            &format!(
                "{geometry}, {got} of {all} {} {} there",
                plural(all.into(), "shard", "shards"),
                plural(got, "is", "are")
            ),
        );
        if let Some((plain, segments)) = self.lens {
            let size = bytes_text(object.segment_size.bytes().into());
            let word = plural(
                usize::try_from(segments).unwrap_or(2),
                "segment",
                "segments",
            );
            facts.add(
                "input",
                &format!(
                    "{} ({plain} bytes), in {segments} {word} of {size}",
                    bytes_text(plain)
                ),
            );
        }
        facts
    }

    fn json(&self) -> serde_json::Value {
        let object = self.header.object();
        json!({
            "object": object.id.to_string(),
            "digest": self.digest,
            "label": object.label.as_str(),
            "keys": self.keys,
            "cipher": object.cipher.to_string(),
            "geometry": object.geometry.to_string(),
            "segment_bytes": object.segment_size.bytes(),
            "plain_bytes": self.lens.map(|(plain, _)| plain),
            "segments": self.lens.map(|(_, segments)| segments),
            "shards_there": self.indices.len(),
        })
    }
}

fn table(shelf: &Shelf, claims: &[Result<Claim, String>]) -> Table<4> {
    let mut table = Table::new([
        ("SHARD", Side::Right),
        ("SIZE", Side::Right),
        ("KEY", Side::Left),
        ("WHERE", Side::Left),
    ]);
    for (file, claim) in shelf.files.iter().zip(claims) {
        let location = shelf.places[file.place].location(&file.name);
        let size = bytes_text(file.size);
        let (index, key, wrong) = match claim {
            Ok(claim) => (
                claim.header.index().to_string(),
                claim.header.key_id().to_string(),
                claim.footer.as_ref().err(),
            ),
            Err(wrong) => (String::new(), String::new(), Some(wrong)),
        };
        let location = match wrong {
            Some(wrong) => format!("{location}: {wrong}"),
            None => location,
        };
        table.add([index, size, key, location]);
    }
    table
}
