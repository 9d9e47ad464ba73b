//! The old object, in today's format or in that of the older implementation.

use std::io::{self, Write};

use propeller_ces::format::ObjectHeader;
use propeller_ces::{Audit, Geometry, Key, KeyRing, Object, ReadAt as _, ReadError, Threads, v0};
use zeroize::Zeroizing;

use super::Migrate;
use crate::data::Work;
use crate::data::audit::AuditLog;
use crate::data::damage::Unreadable;
use crate::data::failure::Failure;
use crate::data::place::Place;
use crate::data::shelf::Shelf;
use crate::data::source::Source;

/// The old object's plaintext.
pub(super) enum Old {
    Object(Box<Object<Source>>),
    /// The older implementation could hold it in memory only, and so does whoever reads it.
    Whole(Zeroizing<Vec<u8>>),
}

/// What is known of the old object once it is open.
pub(super) struct Known {
    pub(super) header: ObjectHeader,
    /// How many of its shards are nowhere.
    pub(super) missing: usize,
}

impl Old {
    /// What is known of it; of shards of the older implementation, nothing.
    pub(super) fn known(&self) -> Option<Known> {
        match self {
            Self::Object(object) => Some(Known {
                header: *object.header(),
                missing: object.damage().missing().len(),
            }),
            Self::Whole(_) => None,
        }
    }

    /// Length of the plaintext, in bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Object(object) => object.plain_len(),
            Self::Whole(plain) => plain.len() as u64,
        }
    }

    /// Reads it to its end; the new one's threads have the processors.
    pub(super) fn read(self, out: &mut impl Write) -> Result<(), ReadError> {
        match self {
            Self::Object(mut object) => object.read_to(out, Threads::ONE, &mut |_| ()),
            Self::Whole(plain) => out.write_all(&plain).map_err(ReadError::Output),
        }
    }
}

impl Migrate {
    /// Finds the old object, and opens it.
    pub(super) fn old(
        &self,
        places: Vec<Place>,
        keys: Vec<Key>,
        log: &AuditLog,
        work: &mut Work<'_, '_>,
    ) -> Result<(Shelf, Old), Failure> {
        let hook = |event: &_| log.tell(event);
        let audit = Audit::to(&hook);
        let name = &self.object.name;
        let opened = match (self.data, self.parity) {
            (Some(data), Some(parity)) if self.from_v0 => {
                let geometry =
                    Geometry::new(data, parity).map_err(|e| Failure::Geometry(e.into()))?;
                let shelf = Shelf::find_old(places, name, geometry.pieces(), work)?;
                let whole = read_old(&shelf, geometry, &keys, audit)?;
                (shelf, Old::Whole(whole))
            }
            _ => {
                let shelf = Shelf::find(places, name, work)?;
                let ring = KeyRing::reading(keys)?;
                let object =
                    Object::open(shelf.sources(), &ring, self.object.wanted(&shelf), audit);
                let object = object.map_err(|error| Unreadable::new(&error, &shelf))?;
                (shelf, Old::Object(Box::new(object)))
            }
        };
        log.check()?;
        Ok(opened)
    }
}

/// The plaintext of shards that say nothing of themselves.
fn read_old(
    shelf: &Shelf,
    geometry: Geometry,
    keys: &[Key],
    audit: Audit<'_>,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let [key] = keys else {
        return Err(Failure::OldIsOpenedByOneKey);
    };
    let mut shards: Vec<Option<Vec<u8>>> = vec![None; geometry.pieces().into()];
    let mut from: Vec<Option<usize>> = vec![None; shards.len()];
    for (input, file) in shelf.files.iter().enumerate() {
        let index = usize::from(file.number.index);
        if let Some(other) = from[index].replace(input) {
            return Err(Failure::OldTwice {
                one: shelf.location(other),
                other: shelf.location(input),
                index: file.number.index,
            });
        }
        shards[index] = Some(read_whole(shelf, input)?);
    }
    let shards: Vec<Option<&[u8]>> = shards.iter().map(Option::as_deref).collect();
    let reader = v0::Reader {
        geometry,
        plain_len_max: v0::PLAIN_LEN_MAX,
        audit,
    };
    Ok(reader.reconstruct(&shards, key)?)
}

fn read_whole(shelf: &Shelf, input: usize) -> Result<Vec<u8>, Failure> {
    let failed = |source| Failure::Place {
        place: shelf.location(input),
        source,
    };
    let source = shelf.source(&shelf.files[input]);
    let size = source.size().map_err(failed)?;
    if size > v0::PLAIN_LEN_MAX as u64 {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    let size = usize::try_from(size).map_err(|error| failed(io::Error::other(error)))?;
    let mut bytes = vec![0; size];
    source.read_at(&mut bytes, 0).map_err(failed)?;
    Ok(bytes)
}
