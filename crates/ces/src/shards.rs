//! The shards of one object, among whatever was handed over.

use std::io;

use crate::damage::{Damage, Why};
use crate::error::TrailerError;
use crate::header::{HEADER_LEN, Header};
use crate::key::Label;
use crate::object::{Digest, ObjectHeader, ObjectId};
use crate::source::ReadAt;
use crate::trailer::{FOOTER_LEN, Trailer};

/// Which object is wanted. What is not named may be any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The object's id.
    pub object: Option<ObjectId>,
    /// The object's digest, which names one object and everything in it for ever.
    pub digest: Option<Digest>,
    /// The object's label: another environment's object is refused before a key is tried.
    pub label: Option<Label>,
    /// Whether more of it may be where nobody could look: a place that is away. Then an object of which
    /// too little is here may be the wanted one as well as one that is here whole.
    pub is_partial: bool,
}

/// A shard whose header is one of the object.
#[derive(Debug)]
pub(crate) struct Shard<S> {
    pub(crate) source: S,
    pub(crate) input: usize,
    pub(crate) header: Header,
    /// How often it was found bad: it is asked last.
    faults: u64,
}

/// The shards of one object, and what is wrong with them as far as anybody looked.
#[derive(Debug)]
pub(crate) struct Shards<S> {
    pub(crate) object: ObjectHeader,
    pub(crate) list: Vec<Shard<S>>,
    pub(crate) damage: Damage,
    /// Places in `list`, the one to ask first before all others.
    order: Vec<usize>,
}

/// Why there is no object in what was handed over.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatherError {
    /// Nothing was handed over, or nothing that begins like a shard.
    #[error("there is no shard of an object: {damage}")]
    NoShard {
        /// What is wrong with each.
        damage: Damage,
    },
    /// Shards, but none of the wanted object.
    #[error("there is no shard of object {wanted}: {damage}")]
    OtherObject {
        /// The id of the wanted object.
        wanted: ObjectId,
        /// What was found in its place.
        damage: Damage,
    },
    /// Enough shards of one object and of another, or, where a place is away, shards of both, however
    /// many: what is missing of the wanted one may be there.
    #[error(
        "there are shards of object {one} and of object {other}, and nothing tells which one is \
         wanted: give its digest"
    )]
    Ambiguous {
        /// One of the objects.
        one: ObjectId,
        /// Another one.
        other: ObjectId,
    },
    /// An object of another environment.
    #[error(
        "object {object} is of {}, not of {}: look there for the wanted one",
        found.environment(),
        wanted.environment()
    )]
    Label {
        /// The object's id.
        object: ObjectId,
        /// The wanted label.
        wanted: Label,
        /// The object's label.
        found: Label,
    },
    /// Fewer shards than the object has data pieces.
    #[error("object {object} takes {needed} of its shards, and {got} are there: {damage}")]
    TooFew {
        /// The object's id.
        object: ObjectId,
        /// How many it takes.
        needed: u8,
        /// How many different ones are there.
        got: usize,
        /// What is wrong with the others.
        damage: Damage,
    },
}

impl<S: ReadAt> Shards<S> {
    /// Chooses the object that is wanted, or else the only one that may be.
    /// `opens` says whether a key at hand opens the object of a header, for whoever has keys.
    pub(crate) fn gather(
        sources: Vec<S>,
        wanted: Wanted,
        opens: Option<Opens<'_>>,
    ) -> Result<Self, GatherError> {
        let mut damage = Damage::default();
        let mut found = Vec::new();
        for (input, source) in sources.into_iter().enumerate() {
            match read_header(&source) {
                Ok(header) => found.push(Shard {
                    source,
                    input,
                    header,
                    faults: 0,
                }),
                Err(why) => damage.add(input, None, None, why),
            }
        }
        let object = match choose(&found, wanted, opens) {
            Choice::One(object) => object,
            Choice::Tie(one, other) => return Err(GatherError::Ambiguous { one, other }),
            Choice::None => return Err(nothing(&found, wanted, damage)),
        };
        if let Some(wanted) = wanted.label.filter(|wanted| *wanted != object.label) {
            let (object, found) = (object.id, object.label);
            return Err(GatherError::Label {
                object,
                wanted,
                found,
            });
        }
        let (ours, foreign): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|shard| *shard.header.object() == object);
        for shard in foreign {
            damage.add(shard.input, None, None, foreign_to(&object, &shard.header));
        }
        Self::new(object, ours, damage)
    }

    fn new(
        object: ObjectHeader,
        list: Vec<Shard<S>>,
        mut damage: Damage,
    ) -> Result<Self, GatherError> {
        let mut holders = vec![None; usize::from(object.geometry.pieces())];
        for Shard { input, header, .. } in &list {
            match &mut holders[usize::from(header.index())] {
                Some(other) => {
                    let why = Why::Twice { other: *other };
                    damage.add(*input, Some(header.index()), None, why);
                }
                none => *none = Some(*input),
            }
        }
        let missing = (0..=u8::MAX).zip(&holders);
        let missing = missing.filter(|(_, holder)| holder.is_none());
        damage.set_missing(missing.map(|(index, _)| index).collect());
        let got = holders.iter().flatten().count();
        let needed = object.geometry.data();
        if got < usize::from(needed) {
            return Err(GatherError::TooFew {
                object: object.id,
                needed,
                got,
                damage,
            });
        }
        let mut shards = Self {
            object,
            order: (0..list.len()).collect(),
            list,
            damage,
        };
        shards.sort();
        Ok(shards)
    }
}

impl<S> Shards<S> {
    /// Places in `list`: shards that were never bad before others, and data before parity.
    pub(crate) fn in_order(&self) -> &[usize] {
        &self.order
    }

    /// Takes note that a shard is bad, for a segment or as a whole.
    pub(crate) fn blame(&mut self, place: usize, segment: Option<u32>, why: Why) {
        let shard = &mut self.list[place];
        shard.faults += 1;
        let (input, index) = (shard.input, shard.header.index());
        self.damage.add(input, Some(index), segment, why);
        self.sort();
    }

    fn sort(&mut self) {
        let list = &self.list;
        self.order.sort_unstable_by_key(|&place| {
            let shard = &list[place];
            (shard.faults, shard.header.index(), place)
        });
    }
}

impl<S: ReadAt> Shard<S> {
    /// The trailer, if it is one of the object. Nobody vouches for it.
    pub(crate) fn trailer(&self) -> Result<Trailer, Why> {
        let read = |buf: &mut [u8], offset| {
            let read = self.source.read_at(buf, offset);
            read.map_err(|error| Why::read(&error))
        };
        let size = self.source.size().map_err(|error| Why::read(&error))?;
        let end = size.checked_sub(FOOTER_LEN as u64);
        let mut footer = [0; FOOTER_LEN];
        read(&mut footer, end.ok_or(TrailerError::End)?)?;
        let len = Trailer::len_before_end(&footer)?;
        let begins_at = size.checked_sub(len).ok_or(TrailerError::Length)?;
        // At most 32 MiB, and no more than the shard has.
        let len = usize::try_from(len).map_err(|_| TrailerError::Length)?;
        let mut bytes = vec![0; len];
        read(&mut bytes, begins_at)?;
        Ok(Trailer::parse(&bytes, begins_at, self.header.object())?)
    }
}

fn read_header(source: &impl ReadAt) -> Result<Header, Why> {
    let mut bytes = [0; HEADER_LEN];
    let read = (|| -> io::Result<usize> {
        let len = source.size()?.min(HEADER_LEN as u64);
        let len = usize::try_from(len).expect("a header has 120 bytes");
        source.read_at(&mut bytes[..len], 0)?;
        Ok(len)
    })();
    match read {
        Ok(len) => Ok(Header::parse(&bytes[..len])?),
        Err(error) => Err(Why::read(&error)),
    }
}

/// Whether a key at hand opens the object of a header.
pub(crate) type Opens<'a> = &'a mut dyn FnMut(&Header) -> bool;

enum Choice {
    One(ObjectHeader),
    Tie(ObjectId, ObjectId),
    None,
}

/// An object that shards say they are of.
struct Claim {
    object: ObjectHeader,
    /// How many different shards there are of it.
    indices: usize,
    /// Whether one of them has the digest that is wanted.
    has_digest: bool,
}

/// The digest decides. Without one, an object is chosen only if no other may be the wanted one. How
/// many shards there are says nothing, since whoever holds one place can put any number of an old
/// object's there; but of the wanted one there are enough, unless a place is away. A key tells
/// objects apart that nobody else can make for it.
fn choose<S: ReadAt>(found: &[Shard<S>], wanted: Wanted, opens: Option<Opens<'_>>) -> Choice {
    let mut claims: Vec<Claim> = Vec::new();
    for shard in found {
        let object = shard.header.object();
        let is_wanted = wanted.object.is_none_or(|id| id == object.id);
        if is_wanted && !claims.iter().any(|claim| claim.object == *object) {
            claims.push(claim(found, object, wanted.digest));
        }
    }
    if let Some(named) = claims.iter().find(|claim| claim.has_digest) {
        return Choice::One(named.object);
    }
    if !wanted.is_partial && claims.iter().any(Claim::is_enough) {
        claims.retain(Claim::is_enough);
    }
    if let Some(opens) = opens.filter(|_| claims.len() > 1) {
        claims = of_a_key(found, claims, opens);
    }
    match claims.as_slice() {
        [] => Choice::None,
        [one] => Choice::One(one.object),
        [one, other, ..] => Choice::Tie(one.object.id, other.object.id),
    }
}

/// Those that a key at hand opens. If none does, those that there is most of, to say of one of them
/// what it lacks or which key would open it.
fn of_a_key<S>(found: &[Shard<S>], claims: Vec<Claim>, opens: Opens<'_>) -> Vec<Claim> {
    let mut is_opened = |claim: &Claim| {
        let mut headers = found.iter().map(|shard| &shard.header);
        headers.any(|header| *header.object() == claim.object && opens(header))
    };
    let (opened, mut others): (Vec<_>, Vec<_>) =
        claims.into_iter().partition(|claim| is_opened(claim));
    if !opened.is_empty() {
        return opened;
    }
    let rank = |claim: &Claim| (claim.is_enough(), claim.indices);
    let most = others.iter().map(rank).max();
    others.retain(|claim| Some(rank(claim)) == most);
    others
}

fn claim<S: ReadAt>(found: &[Shard<S>], object: &ObjectHeader, digest: Option<Digest>) -> Claim {
    let mut seen = [false; 256];
    let mut has_digest = false;
    for shard in found.iter().filter(|shard| shard.header.object() == object) {
        seen[usize::from(shard.header.index())] = true;
        if let Some(digest) = digest.filter(|_| !has_digest) {
            let trailer = shard.trailer();
            has_digest = trailer.is_ok_and(|trailer| trailer.footer().digest(object) == digest);
        }
    }
    Claim {
        object: *object,
        indices: seen.into_iter().filter(|seen| *seen).count(),
        has_digest,
    }
}

impl Claim {
    fn is_enough(&self) -> bool {
        self.indices >= usize::from(self.object.geometry.data())
    }
}

fn nothing<S>(found: &[Shard<S>], wanted: Wanted, mut damage: Damage) -> GatherError {
    for Shard { input, header, .. } in found {
        let object = header.object().id;
        damage.add(*input, None, None, Why::Foreign { object });
    }
    match wanted.object {
        Some(wanted) if !found.is_empty() => GatherError::OtherObject { wanted, damage },
        _ => GatherError::NoShard { damage },
    }
}

fn foreign_to(object: &ObjectHeader, header: &Header) -> Why {
    match header.object().id {
        id if id == object.id => Why::Disguised,
        object => Why::Foreign { object },
    }
}
