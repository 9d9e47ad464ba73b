//! An object back into a stream, or a part of one.

mod error;
mod keys;
mod line;
mod locate;
mod pieces;

pub use error::{ObjectError, ReadError};

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use crate::audit::Audit;
use crate::damage::{Damage, Why};
use crate::error::TrailerError;
use crate::flow;
use crate::header::Header;
use crate::key::KeyId;
use crate::object::{Digest, ObjectHeader};
use crate::options::Threads;
use crate::ring::KeyRing;
use crate::segment::{ObjectCoder, SegmentReader};
use crate::shards::{Shards, Wanted};
use crate::source::ReadAt;
use crate::trailer::BelievedFooter;
use line::{Reading, Slot};
use locate::{Locator, Records, Tally};

/// An object whose key is at hand. Nothing of it is handed out before it is authenticated.
#[derive(Debug)]
pub struct Object<S> {
    locator: Locator<S>,
    key: KeyId,
    /// Whether the object was asked for by its digest.
    is_named: bool,
}

impl<S: ReadAt> Object<S> {
    /// Finds the object's shards among `shards`, and the key that opens them among `keys`.
    ///
    /// Their order does not matter, and anything may be among them: what is not of the object is
    /// told by [`damage`](Self::damage), and so is what is missing.
    ///
    /// # Errors
    /// See [`ObjectError`].
    pub fn open(
        shards: Vec<S>,
        keys: &KeyRing,
        wanted: Wanted,
        audit: Audit<'_>,
    ) -> Result<Self, ObjectError> {
        let mut opens = |header: &Header| keys::opens(header, keys, audit);
        let mut shards = Shards::gather(shards, wanted, Some(&mut opens))?;
        let (key, data_key) = keys::unwrap(&mut shards, keys, audit)?;
        let coder = Arc::new(ObjectCoder::new(shards.object, &data_key));
        let mut records = Records::new(shards, coder);
        let footer = find_footer(&mut records, wanted.digest)?;
        Ok(Self {
            locator: Locator::new(records, footer),
            key,
            is_named: wanted.digest.is_some(),
        })
    }

    /// What all shards of the object have in common.
    #[must_use]
    pub fn header(&self) -> &ObjectHeader {
        &self.locator.records.shards.object
    }

    /// The object's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.locator.footer.digest(self.header())
    }

    /// The key that opened the object.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Length of the plaintext, in bytes.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.locator.footer.plain_len()
    }

    /// How many segments there are.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.locator.footer.segments()
    }

    /// What is wrong with the shards, as far as anything had to be read.
    ///
    /// Reading looks at no more than it needs: [`verify`](crate::verify()) looks at everything.
    #[must_use]
    pub fn damage(&self) -> &Damage {
        &self.locator.records.shards.damage
    }

    /// Writes the whole plaintext to `out`, and tells `progress` how much of it is written.
    ///
    /// Each segment is authenticated before it is written. That the object is whole is known at the
    /// end only: whoever gets an error throws away what was written.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_to(
        &mut self,
        out: &mut impl Write,
        threads: Threads,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ReadError> {
        let records = self.read(0..self.plain_len(), out, threads, progress)?;
        let footer = &mut self.locator.footer;
        let contradiction = match footer.vouch_for(&records.root.root()) {
            Ok(()) if records.is_whole(footer) => return Ok(()),
            Ok(()) => TrailerError::Records,
            Err(contradiction) => contradiction,
        };
        // All that was read is the key's, and so is the footer: only who has the key writes a false
        // one. It makes the digest, so that it is the wrong object if that was given. Otherwise the
        // records count, if they say that this was all.
        if self.is_named || !records.is_whole(footer) {
            return Err(contradiction.into());
        }
        *footer = records.footer(self.locator.records.coder.keys().mac());
        Ok(())
    }

    /// Writes the bytes `range` of the plaintext to `out`, and reads only the segments they are in.
    ///
    /// They are authenticated with the object's key. That a wanted digest is theirs as well holds
    /// as long as nobody writes objects on purpose to mislead who shares the key; to be sure, read
    /// the whole object.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_range(
        &mut self,
        range: Range<u64>,
        out: &mut impl Write,
        threads: Threads,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), ReadError> {
        let len = self.plain_len();
        if range.start > range.end || range.end > len {
            return Err(ReadError::Range { range, len });
        }
        if range.is_empty() {
            return Ok(());
        }
        self.read(range, out, threads, progress).map(|_| ())
    }

    /// Gives what the records that were read say.
    fn read(
        &mut self,
        range: Range<u64>,
        out: &mut impl Write,
        threads: Threads,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Tally, ReadError> {
        let coder = Arc::clone(&self.locator.records.coder);
        let worker = || {
            let mut reader = SegmentReader::new(Arc::clone(&coder));
            move |slot: &mut Slot| slot.open(&mut reader)
        };
        let mut line = Reading::new(&mut self.locator, range, out, progress);
        flow::run(&mut line, threads.count(), worker)?;
        Ok(line.records)
    }
}

/// The footer that the key vouches for. Where all are damaged, the records give another.
fn find_footer<S: ReadAt>(
    records: &mut Records<S>,
    wanted: Option<Digest>,
) -> Result<BelievedFooter, ObjectError> {
    let object = records.shards.object;
    let mut other = None;
    for place in records.shards.in_order().to_vec() {
        let mac = records.coder.keys().mac();
        let trailer = records.shards.list[place].trailer();
        let footer = trailer.and_then(|trailer| Ok(trailer.footer().authenticate(mac)?));
        match footer {
            Ok(footer) if wanted.is_none_or(|wanted| wanted == footer.digest(&object)) => {
                return Ok(footer);
            }
            Ok(footer) => {
                other = Some(footer);
                let why = Why::Trailer(TrailerError::Digest);
                records.shards.blame(place, None, why);
            }
            Err(why) => records.shards.blame(place, None, why),
        }
    }
    let footer = match other {
        Some(footer) => footer,
        None => records.footer_of_records()?,
    };
    match wanted {
        Some(wanted) if wanted != footer.digest(&object) => Err(ObjectError::Digest {
            object: object.id,
            wanted,
            found: footer.digest(&object),
        }),
        _ => Ok(footer),
    }
}
