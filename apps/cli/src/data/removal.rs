//! The old object's shards, once a new object has taken its place.

use propeller_ces::ReadAt as _;
use propeller_ces::format::{HEADER_LEN, Header, ObjectHeader};

use super::Work;
use super::failure::Failure;
use super::fresh::plural;
use super::shelf::Shelf;
use crate::error::{CliError, Exit};

/// What became of the old shards.
#[derive(Default)]
pub(super) struct Removal {
    pub(super) removed: usize,
    /// Where something of that name is that is not the object's.
    pub(super) left_alone: Vec<String>,
    /// What could not be removed, and why.
    pub(super) remaining: Vec<String>,
}

/// Removes the shards that are the object's by their headers: a name alone says nothing.
pub(super) fn remove(shelf: &Shelf, object: &ObjectHeader) -> Removal {
    let mut removal = Removal::default();
    for (input, file) in shelf.files.iter().enumerate() {
        let mut bytes = [0; HEADER_LEN];
        let read = shelf.source(file).read_at(&mut bytes, 0);
        let header = read.ok().and_then(|()| Header::parse(&bytes).ok());
        if header.is_none_or(|header| header.object() != object) {
            removal.left_alone.push(shelf.location(input));
            continue;
        }
        match shelf.places[file.place].remove(&file.name) {
            Ok(()) => removal.removed += 1,
            Err(error) => {
                let location = shelf.location(input);
                removal.remaining.push(format!("{location}: {error}"));
            }
        }
    }
    removal
}

/// Says what is left of the old object, as far as anybody knows.
pub(super) fn close(
    shelf: &Shelf,
    missing: usize,
    removal: Removal,
    work: &mut Work<'_, '_>,
) -> Result<Exit, CliError> {
    for location in &removal.left_alone {
        work.ui.note(&format!(
            "warning: {location} stays as it is: it is no shard of the old object"
        ));
    }
    if !removal.remaining.is_empty() {
        return Err(Failure::OldRemain(removal.remaining).into());
    }
    if shelf.dark.is_empty() && missing == 0 {
        return Ok(Exit::Success);
    }
    for place in shelf.dark_places() {
        work.ui.note(&format!(
            "warning: nothing is removed from {place}, which cannot be looked into"
        ));
    }
    if missing > 0 {
        let were = plural(missing, "shard was", "shards were");
        work.ui.note(&format!(
            "warning: {missing} old {were} nowhere to be found, and removed nowhere"
        ));
    }
    work.ui.note(
        "hint: whoever has the old key can read what is left, if there are enough shards of it",
    );
    Ok(Exit::Failure)
}
