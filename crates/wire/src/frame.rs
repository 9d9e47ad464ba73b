//! The bytes on the broker. Parsing a frame believes nothing in it.

use propeller_envelope::KeyId;
use propeller_model::PropletId;

const MAGIC: &[u8; 4] = b"PRPL";
const VERSION: u8 = 1;
const KIND_ANNOUNCE: u8 = 1;
const KIND_ANSWER: u8 = 2;
const KIND_SEALED: u8 = 3;
const KIND_SOLICIT: u8 = 4;
const KIND_REJECT: u8 = 5;

/// Largest frame anybody sends or reads, in bytes: a message and its surroundings.
pub const FRAME_LEN_MAX: usize = 4 * 1024 * 1024 + 1024;
/// Bytes that authenticate a sealed frame.
pub const TAG_LEN: usize = 16;

/// 32 bytes of a session's randomness, from one side.
pub type Nonce = [u8; 32];

/// Names a session in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 8]);

/// A frame as read from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// "I am here, with this key; here is my half of a session."
    Announce(Announce),
    /// "Here is the other half."
    Answer(Answer),
    /// A message.
    Sealed(Sealed<'a>),
    /// "Whoever is here, announce yourself."
    Solicit {
        /// The asking manager.
        manager: PropletId,
    },
    /// "I cannot open what you sent me."
    Reject(Reject),
}

/// See [`Frame::Announce`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// Who announces itself.
    pub proplet: PropletId,
    /// The key it would like to use.
    pub key_id: KeyId,
    /// Its half of the session.
    pub nonce: Nonce,
}

/// See [`Frame::Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who answers. Instances of a manager are named by the same rules as proplets.
    pub manager: PropletId,
    /// Who is answered.
    pub proplet: PropletId,
    /// The key of the session.
    pub key_id: KeyId,
    /// The announced half.
    pub proplet_nonce: Nonce,
    /// The other half.
    pub manager_nonce: Nonce,
    /// Over everything before it.
    pub mac: [u8; 32],
}

/// See [`Frame::Sealed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// The key of the session.
    pub key_id: KeyId,
    /// The session.
    pub session: SessionId,
    /// Who sealed it.
    pub sender: PropletId,
    /// Its number in the session and direction.
    pub counter: u64,
    /// Every byte before the ciphertext: associated data.
    pub head: &'a [u8],
    /// Ciphertext and tag.
    pub body: &'a [u8],
}

/// See [`Frame::Reject`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Who could not open it.
    pub proplet: PropletId,
    /// The session of the frame in question.
    pub session: SessionId,
    /// The counter of the frame in question.
    pub counter: u64,
}

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// Not the layout of any frame.
    #[error("malformed frame: {0}")]
    Malformed(&'static str),
    /// A version this build does not speak.
    #[error("frame version {0} is not supported by this version")]
    Version(u8),
}

/// Whether `bytes` are one of our frames, of whatever version, and not upstream's JSON.
#[must_use]
pub fn looks_like_frame(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl<'a> Frame<'a> {
    /// Reads one frame and nothing but that frame.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, FrameError> {
        if bytes.len() > FRAME_LEN_MAX {
            return Err(FrameError::Malformed("longer than a frame may be"));
        }
        let mut reader = Reader { all: bytes, at: 0 };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(FrameError::Malformed("wrong magic"));
        }
        match reader.array::<1>()? {
            [VERSION] => {}
            [other] => return Err(FrameError::Version(other)),
        }
        let frame = match reader.array::<1>()? {
            [KIND_ANNOUNCE] => Self::Announce(Announce {
                proplet: reader.id()?,
                key_id: KeyId(reader.array()?),
                nonce: reader.array()?,
            }),
            [KIND_ANSWER] => Self::Answer(Answer {
                manager: reader.id()?,
                proplet: reader.id()?,
                key_id: KeyId(reader.array()?),
                proplet_nonce: reader.array()?,
                manager_nonce: reader.array()?,
                mac: reader.array()?,
            }),
            [KIND_SEALED] => Self::Sealed(reader.sealed()?),
            [KIND_SOLICIT] => Self::Solicit {
                manager: reader.id()?,
            },
            [KIND_REJECT] => Self::Reject(Reject {
                proplet: reader.id()?,
                session: SessionId(reader.array()?),
                counter: u64::from_be_bytes(reader.array()?),
            }),
            _ => return Err(FrameError::Malformed("unknown kind")),
        };
        reader.end()?;
        Ok(frame)
    }
}

impl Announce {
    /// The frame's bytes.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = head(KIND_ANNOUNCE);
        put_id(&mut out, &self.proplet);
        out.extend_from_slice(&self.key_id.0);
        out.extend_from_slice(&self.nonce);
        out
    }
}

impl Answer {
    /// The bytes that the MAC covers.
    #[must_use]
    pub fn write_unauthenticated(&self) -> Vec<u8> {
        let mut out = head(KIND_ANSWER);
        put_id(&mut out, &self.manager);
        put_id(&mut out, &self.proplet);
        out.extend_from_slice(&self.key_id.0);
        out.extend_from_slice(&self.proplet_nonce);
        out.extend_from_slice(&self.manager_nonce);
        out
    }

    /// The frame's bytes.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = self.write_unauthenticated();
        out.extend_from_slice(&self.mac);
        out
    }
}

impl Reject {
    /// The frame's bytes.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = head(KIND_REJECT);
        put_id(&mut out, &self.proplet);
        out.extend_from_slice(&self.session.0);
        out.extend_from_slice(&self.counter.to_be_bytes());
        out
    }
}

/// The bytes of a solicit frame.
#[must_use]
pub fn solicit(manager: &PropletId) -> Vec<u8> {
    let mut out = head(KIND_SOLICIT);
    put_id(&mut out, manager);
    out
}

/// The bytes of a sealed frame before its ciphertext.
pub(crate) fn sealed_head(
    key_id: KeyId,
    session: SessionId,
    sender: &PropletId,
    counter: u64,
) -> Vec<u8> {
    let mut out = head(KIND_SEALED);
    out.extend_from_slice(&key_id.0);
    out.extend_from_slice(&session.0);
    put_id(&mut out, sender);
    out.extend_from_slice(&counter.to_be_bytes());
    out
}

/// `id(x)` of the format: a length and a name.
pub(crate) fn put_id(out: &mut Vec<u8>, id: &PropletId) {
    let len = u8::try_from(id.as_str().len()).expect("an id is at most 64 bytes");
    out.push(len);
    out.extend_from_slice(id.as_str().as_bytes());
}

fn head(kind: u8) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[VERSION, kind]);
    out
}

struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], FrameError> {
        let taken = self
            .all
            .get(self.at..self.at + len)
            .ok_or(FrameError::Malformed("ends too early"))?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let bytes = self.take(N)?;
        Ok(bytes
            .try_into()
            .expect("take returns what it was asked for"))
    }

    fn id(&mut self) -> Result<PropletId, FrameError> {
        let [len] = self.array()?;
        let bytes = self.take(usize::from(len))?;
        std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(FrameError::Malformed("not a name"))
    }

    fn sealed(&mut self) -> Result<Sealed<'a>, FrameError> {
        let key_id = KeyId(self.array()?);
        let session = SessionId(self.array()?);
        let sender = self.id()?;
        let counter = u64::from_be_bytes(self.array()?);
        let head = &self.all[..self.at];
        let body = self.take(self.all.len() - self.at)?;
        if body.len() < TAG_LEN {
            return Err(FrameError::Malformed("shorter than its tag"));
        }
        Ok(Sealed {
            key_id,
            session,
            sender,
            counter,
            head,
            body,
        })
    }

    fn end(&self) -> Result<(), FrameError> {
        if self.at == self.all.len() {
            Ok(())
        } else {
            Err(FrameError::Malformed("bytes after its end"))
        }
    }
}
