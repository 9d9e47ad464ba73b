//! A stream into the shards of a new object.

#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::audit::{Action, Audit, Event};
use crate::cipher::NONCE_LEN;
use crate::error::{SealError, TooManySegments};
use crate::flow::{self, Line};
use crate::header::Header;
use crate::key::{Key, KeyId, Label, RandomError};
use crate::layout::{Layout, Next};
use crate::object::{DataKey, Digest, ObjectHeader, ObjectId};
use crate::options::{Options, Watch};
use crate::record::Position;
use crate::segment::{ObjectCoder, SealedSegment, SegmentWriter};
use crate::trailer::Footer;
use crate::wiped::Wiped;

/// What came of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The new object's id.
    pub object: ObjectId,
    /// Its digest: whoever knows it can verify and repair the object without a key.
    pub digest: Digest,
    /// The label it was given.
    pub label: Label,
    /// The key that it was written under.
    pub key: KeyId,
    /// Length of the plaintext, in bytes.
    pub plain_len: u64,
    /// Length of every shard, in bytes.
    pub shard_len: u64,
    /// How many segments there are.
    pub segments: u64,
}

/// Why there is no object. What was written to the shards is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The input cannot be read.
    #[error("cannot read the input")]
    Input(#[source] io::Error),
    /// A shard cannot be written.
    #[error("cannot write shard {index}")]
    Shard {
        /// The shard's index.
        index: u8,
        /// What the sink says.
        #[source]
        source: io::Error,
    },
    /// More or fewer sinks than the geometry has shards.
    #[error("an object of this geometry has {expected} shards, and there are sinks for {got}")]
    Sinks {
        /// How many the geometry has.
        expected: u16,
        /// How many sinks there are.
        got: usize,
    },
    /// The key is for another environment.
    #[error("key {key} is for `{key_label}`, not for `{label}`: take that environment's key")]
    Label {
        /// The key's id.
        key: KeyId,
        /// The key's label.
        key_label: Label,
        /// The label that the object was to have.
        label: Label,
    },
    /// See [`SealError`].
    #[error(transparent)]
    Seal(#[from] SealError),
    /// See [`TooManySegments`].
    #[error(transparent)]
    TooManySegments(#[from] TooManySegments),
    /// See [`RandomError`].
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// Writes what `input` gives as a new object: shard `i` into sink `i`.
///
/// Sinks get few and large writes, and are flushed at the end. All reading and writing happens on
/// the caller's thread. Memory does not depend on the input's length: see
/// [`Threads`](crate::Threads).
///
/// ```
/// use propeller_ces::{Audit, Key, KeyRing, Object, Options, Threads, Wanted, Watch, encode};
///
/// let key = Key::random()?;
/// let mut shards = vec![Vec::new(); 12];
/// let sinks = shards.iter_mut().collect();
/// let watch = Watch { audit: Audit::none(), progress: &mut |_bytes| () };
/// let summary = encode(&b"a stream"[..], sinks, &key, &Options::new(), watch)?;
///
/// // Any eight of the twelve give it back.
/// shards.drain(..4);
/// let wanted = Wanted { digest: Some(summary.digest), ..Wanted::default() };
/// let mut object = Object::open(shards, &KeyRing::new(key), wanted, Audit::none())?;
/// let mut plain = Vec::new();
/// object.read_to(&mut plain, Threads::ONE, &mut |_bytes| ())?;
/// assert_eq!(plain, b"a stream");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// See [`EncodeError`]. Whatever was written then has to be thrown away.
pub fn encode<W: Write>(
    input: impl Read,
    shards: Vec<W>,
    key: &Key,
    options: &Options,
    watch: Watch<'_>,
) -> Result<Summary, EncodeError> {
    let expected = options.geometry.pieces();
    if shards.len() != usize::from(expected) {
        let got = shards.len();
        return Err(EncodeError::Sinks { expected, got });
    }
    let (header, coder) = new_object(key, options, watch.audit)?;
    let coder = Arc::new(coder);
    let mut line = Encoding {
        input: Lookahead::new(input),
        out: ShardWriter::new(shards, header)?,
        next: Some(0),
        progress: watch.progress,
    };
    flow::run(&mut line, options.threads.count(), || {
        let mut writer = SegmentWriter::new(Arc::clone(&coder), options.compression);
        move |slot: &mut Slot| slot.sealed = slot.seal(&mut writer)
    })?;
    line.out.finish(&coder, key.id())
}

/// The header of shard 0 of a new object, and what its segments are written with.
fn new_object(
    key: &Key,
    options: &Options,
    audit: Audit<'_>,
) -> Result<(Header, ObjectCoder), EncodeError> {
    let label = options.label.unwrap_or_else(|| key.label());
    let mut id = [0; 16];
    random(&mut id)?;
    let id = ObjectId(id);
    let tell = |action| {
        audit.tell(&Event {
            action,
            key: key.id(),
            label,
            object: Some(id),
        });
    };
    if !key.is_for(label) {
        tell(Action::Refused);
        return Err(EncodeError::Label {
            key: key.id(),
            key_label: key.label(),
            label,
        });
    }
    let object = ObjectHeader {
        cipher: options.cipher,
        geometry: options.geometry,
        segment_size: options.segment_size,
        id,
        label,
    };
    let mut data_key = Zeroizing::new([0; 32]);
    random(&mut *data_key)?;
    let data_key = DataKey::from_random(*data_key);
    let header = Header::new(object, &data_key, key);
    tell(Action::Wrapped);
    Ok((header, ObjectCoder::new(object, &data_key)))
}

fn random(bytes: &mut [u8]) -> Result<(), RandomError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| RandomError)
}

/// The line from an input to shards.
struct Encoding<'a, R, W> {
    input: Lookahead<R>,
    out: ShardWriter<W>,
    /// Number of the segment that is read next, until the last one was.
    next: Option<u64>,
    progress: &'a mut dyn FnMut(u64),
}

/// A segment under way.
struct Slot {
    plain: Wiped,
    position: Position,
    nonce: [u8; NONCE_LEN],
    segment: SealedSegment,
    sealed: Result<(), SealError>,
}

impl Slot {
    fn seal(&mut self, writer: &mut SegmentWriter) -> Result<(), SealError> {
        writer.seal(&self.plain, self.position, self.nonce, &mut self.segment)
    }
}

impl<R: Read, W: Write> Line for Encoding<'_, R, W> {
    type Slot = Slot;
    type Error = EncodeError;

    fn slot(&self) -> Slot {
        let size = self.out.object.segment_size.bytes();
        Slot {
            plain: Wiped::with_capacity(size as usize),
            position: Position {
                number: 0,
                is_last: false,
            },
            nonce: [0; NONCE_LEN],
            segment: SealedSegment::new(),
            sealed: Ok(()),
        }
    }

    fn fill(&mut self, slot: &mut Slot) -> Result<bool, EncodeError> {
        let Some(number) = self.next else {
            return Ok(false);
        };
        let size = self.out.object.segment_size.bytes() as usize;
        slot.plain.resize(size, 0);
        let len = self
            .input
            .fill(&mut slot.plain)
            .map_err(EncodeError::Input)?;
        slot.plain.truncate(len);
        slot.position = Position {
            number: u32::try_from(number).map_err(|_| TooManySegments)?,
            is_last: self.input.is_over(),
        };
        random(&mut slot.nonce)?;
        self.next = match slot.position.is_last {
            true => None,
            false => Some(number + 1),
        };
        Ok(true)
    }

    fn is_over(&self) -> bool {
        self.next.is_none()
    }

    fn drain(&mut self, slot: &mut Slot) -> Result<(), EncodeError> {
        std::mem::replace(&mut slot.sealed, Ok(()))?;
        self.out.segment(&slot.segment, slot.plain.len())?;
        (self.progress)(self.out.plain_len);
        Ok(())
    }
}

/// An input of which it is known whether it is over: the last segment says that it is the last.
struct Lookahead<R> {
    input: R,
    /// Read already.
    next: Option<u8>,
    is_over: bool,
}

impl<R: Read> Lookahead<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            next: None,
            is_over: false,
        }
    }

    /// Whether there is nothing behind what the last [`fill`](Self::fill) gave.
    fn is_over(&self) -> bool {
        self.is_over
    }

    /// Fills `buf`, and says how much of it where the input has less.
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut len = 0;
        if let Some(next) = self.next.take() {
            buf[0] = next;
            len = 1;
        }
        len += read_all(&mut self.input, &mut buf[len..])?;
        let mut next = [0];
        match len == buf.len() && read_all(&mut self.input, &mut next)? == 1 {
            true => self.next = Some(next[0]),
            false => self.is_over = true,
        }
        Ok(len)
    }
}

/// Reads until `buf` is full or there is no more.
fn read_all(input: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match input.read(&mut buf[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Writes all shards of an object at once.
struct ShardWriter<W> {
    shards: Vec<W>,
    object: ObjectHeader,
    layout: Layout,
    plain_len: u64,
}

impl<W: Write> ShardWriter<W> {
    fn new(mut shards: Vec<W>, header: Header) -> Result<Self, EncodeError> {
        each(&mut shards, |shard, index| {
            let header = header
                .of_shard(index)
                .expect("there is a sink for each shard");
            shard.write_all(&header.to_bytes())
        })?;
        let object = *header.object();
        Ok(Self {
            shards,
            object,
            layout: Layout::new(object),
            plain_len: 0,
        })
    }

    fn segment(&mut self, segment: &SealedSegment, plain_len: usize) -> Result<(), EncodeError> {
        self.block(Next::Segment)?;
        each(&mut self.shards, |shard, index| {
            shard.write_all(segment.head_of(index))?;
            shard.write_all(segment.piece_of(index))
        })?;
        self.layout
            .segment(segment.record(), segment.sealed_len())?;
        self.plain_len += plain_len as u64;
        Ok(())
    }

    fn block(&mut self, next: Next) -> Result<(), EncodeError> {
        match self.layout.block(next) {
            Some(block) => each(&mut self.shards, |shard, _| shard.write_all(block.bytes)),
            None => Ok(()),
        }
    }

    fn finish(mut self, coder: &ObjectCoder, key: KeyId) -> Result<Summary, EncodeError> {
        self.block(Next::Trailer)?;
        let Self { layout, object, .. } = &self;
        let (segments, root) = (layout.segments(), layout.root());
        let footer = Footer::new(segments, self.plain_len, root, coder.keys().mac());
        let trailer = layout.trailer(footer.footer());
        let summary = Summary {
            object: object.id,
            digest: footer.digest(object),
            label: object.label,
            key,
            plain_len: self.plain_len,
            shard_len: layout.offset() + trailer.len() as u64,
            segments,
        };
        each(&mut self.shards, |shard, _| {
            shard.write_all(&trailer)?;
            shard.flush()
        })?;
        Ok(summary)
    }
}

fn each<W>(
    shards: &mut [W],
    mut write: impl FnMut(&mut W, u8) -> io::Result<()>,
) -> Result<(), EncodeError> {
    for (index, shard) in (0..=u8::MAX).zip(shards) {
        write(shard, index).map_err(|source| EncodeError::Shard { index, source })?;
    }
    Ok(())
}
