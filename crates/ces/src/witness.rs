//! A shard whose records and footer are believed without a key.
//!
//! Whoever knows the object's digest believes the shard whose records and footer make that digest.
//! Whoever does not goes by what all shards agree on that do not contradict themselves. That is no
//! proof, and no vote either: whoever holds one place can put any number of shards into it, so
//! that two that contradict each other are for the digest to tell apart.

use crate::damage::{Damage, Why};
use crate::error::{TooManySegments, TrailerError};
use crate::layout::{Layout, Next, Placed};
use crate::object::{Digest, ObjectHeader, ObjectId};
use crate::record::{RECORD_LEN, Record, UnprovenRecord};
use crate::shards::{GatherError, Shard, Shards};
use crate::source::ReadAt;
use crate::trailer::BelievedFooter;

/// What it rests on that shards are taken for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The object's digest was given: this is the object that it names.
    Digest,
    /// No digest was given, and so many shards agree. They are not authenticated.
    Agreement {
        /// How many different shards agree.
        shards: usize,
    },
}

/// Why there is nothing to go by.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WitnessError {
    /// See [`GatherError`].
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// No shard is one of the object with the digest.
    #[error("no shard of object {object} has records that make digest {wanted}: {damage}")]
    Digest {
        /// The object's id.
        object: ObjectId,
        /// The digest that was given.
        wanted: Digest,
        /// What is wrong with each.
        damage: Damage,
    },
    /// Not as many shards agree as the object needs.
    #[error(
        "not enough shards of object {object} agree on what it is: {agreeing} do, and it takes \
         {needed}; give the object's digest: {damage}"
    )]
    Disagreement {
        /// The object's id.
        object: ObjectId,
        /// How many different shards agree at most; as many others may agree on something else.
        agreeing: usize,
        /// How many it takes.
        needed: u8,
        /// What is wrong with each.
        damage: Damage,
    },
    /// Shards that are whole by themselves, and not of one object.
    #[error(
        "some shards of object {object} make digest {one}, others {other}, and none of them \
         contradicts itself: give the object's digest, as whoever made the object was told it"
    )]
    Contested {
        /// The object's id.
        object: ObjectId,
        /// What some shards make.
        one: Digest,
        /// What others make.
        other: Digest,
    },
    /// Two shards with the same index, and nobody vouches for either.
    #[error(
        "inputs {one} and {other} are both shard {index} of object {object}, and they differ: give \
         the object's digest"
    )]
    Rivals {
        /// The object's id.
        object: ObjectId,
        /// The shards' index.
        index: u8,
        /// Place of the one among the shards that were handed over.
        one: usize,
        /// Place of the other.
        other: usize,
    },
    /// The shard to go by cannot be read once more.
    #[error(
        "input {input}, which the others are compared with, cannot be read once more: try again"
    )]
    Reread {
        /// Its place among the shards that were handed over.
        input: usize,
        /// What the source says.
        #[source]
        source: Why,
    },
    /// The shard is another one than it was in the first pass.
    #[error("the shards changed while they were read: try again, and do not use what was written")]
    Changed,
    /// See [`TooManySegments`].
    #[error(transparent)]
    TooManySegments(#[from] TooManySegments),
}

/// The shard to go by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Witness {
    /// Its place in the list.
    pub(crate) place: usize,
    pub(crate) footer: BelievedFooter,
    pub(crate) trust: Trust,
}

/// What a shard claims to be, and does not contradict.
struct Claim {
    place: usize,
    digest: Digest,
    footer: BelievedFooter,
}

impl Witness {
    /// The first pass: reads all records of one shard, or, where no digest is known, of each.
    pub(crate) fn find<S: ReadAt>(
        shards: &mut Shards<S>,
        known: Option<Digest>,
    ) -> Result<Self, WitnessError> {
        match known {
            Some(known) => Self::with_digest(shards, known),
            None => Self::by_agreement(shards),
        }
    }

    fn with_digest<S: ReadAt>(shards: &mut Shards<S>, known: Digest) -> Result<Self, WitnessError> {
        for place in shards.in_order().to_vec() {
            match claim(place, &shards.list[place], &shards.object, Some(known)) {
                Ok(Claim { footer, .. }) => {
                    let trust = Trust::Digest;
                    return Ok(Self {
                        place,
                        footer,
                        trust,
                    });
                }
                Err(why) => shards.blame(place, None, why),
            }
        }
        Err(WitnessError::Digest {
            object: shards.object.id,
            wanted: known,
            damage: shards.damage.clone(),
        })
    }

    fn by_agreement<S: ReadAt>(shards: &mut Shards<S>) -> Result<Self, WitnessError> {
        let mut claims: Vec<Claim> = Vec::new();
        for place in shards.in_order().to_vec() {
            match claim(place, &shards.list[place], &shards.object, None) {
                Ok(claim) => claims.push(claim),
                Err(why) => shards.blame(place, None, why),
            }
        }
        one_digest(shards, &claims)?;
        one_shard_an_index(shards, &claims)?;
        // One shard that was handed over many times is one.
        let mut seen = [false; 256];
        for claim in &claims {
            seen[usize::from(shards.list[claim.place].header.index())] = true;
        }
        let agreeing = seen.into_iter().filter(|seen| *seen).count();
        let needed = shards.object.geometry.data();
        match claims.first() {
            Some(first) if agreeing >= usize::from(needed) => Ok(Self {
                place: first.place,
                footer: first.footer,
                trust: Trust::Agreement { shards: agreeing },
            }),
            _ => Err(WitnessError::Disagreement {
                object: shards.object.id,
                agreeing,
                needed,
                damage: shards.damage.clone(),
            }),
        }
    }

    /// The second pass: reads the records once more, and hands each to `visit` with where it is.
    ///
    /// The shard may have changed since the first pass. So nothing that `visit` did holds before
    /// this succeeds: then the records are those that the footer vouches for.
    pub(crate) fn walk<S: ReadAt, E: From<WitnessError>>(
        &self,
        shard: &Shard<S>,
        mut visit: impl FnMut(Step<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let object = shard.header.object();
        let mut layout = Layout::new(*object);
        let mut plain_len = 0_u64;
        loop {
            if let Some(block) = layout.block(Next::Segment) {
                visit(Step::Block(block))?;
            }
            let offset = layout.offset();
            let read = read_record(shard, &layout).map_err(|why| match why {
                Why::Read { .. } => WitnessError::Reread {
                    input: shard.input,
                    source: why,
                },
                _ => WitnessError::Changed,
            });
            let (bytes, unproven) = read?;
            let position = unproven.position();
            let sealed_len = unproven.sealed_len();
            let record = unproven.believe_until_the_root();
            plain_len += u64::from(record.plain_len());
            visit(Step::Segment(&record, offset))?;
            layout
                .segment(&bytes, sealed_len)
                .map_err(WitnessError::from)?;
            if position.is_last {
                break;
            }
        }
        if let Some(block) = layout.block(Next::Trailer) {
            visit(Step::Block(block))?;
        }
        let is_unchanged = layout.segments() == self.footer.segments()
            && plain_len == self.footer.plain_len()
            && self.footer.vouch_for(&layout.root()).is_ok();
        if !is_unchanged {
            return Err(WitnessError::Changed.into());
        }
        let trailer = layout.trailer(self.footer.footer());
        visit(Step::Trailer(Placed {
            offset: layout.offset(),
            bytes: &trailer,
        }))
    }
}

/// What stands in every shard, in the order in which it stands there.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// A segment's record, and where it begins; a path and a piece follow.
    Segment(&'a Record, u64),
    /// An index block.
    Block(Placed<'a>),
    /// The trailer.
    Trailer(Placed<'a>),
}

/// Refuses shards that are whole by themselves and not of one object, however many speak for each.
fn one_digest<S>(shards: &Shards<S>, claims: &[Claim]) -> Result<(), WitnessError> {
    let mut digests = claims.iter().map(|claim| claim.digest);
    let first = digests.next();
    let other = first.and_then(|one| Some((one, digests.find(|other| *other != one)?)));
    match other {
        Some((one, other)) => Err(WitnessError::Contested {
            object: shards.object.id,
            one,
            other,
        }),
        None => Ok(()),
    }
}

/// Refuses two shards with the same index that differ in their header, or of which one contradicts
/// itself. Two that claim the same differ at most in pieces, which the records tell apart.
fn one_shard_an_index<S>(shards: &Shards<S>, claims: &[Claim]) -> Result<(), WitnessError> {
    let is_whole = |place: usize| claims.iter().any(|claim| claim.place == place);
    let mut holders = [None; 256];
    for (place, shard) in shards.list.iter().enumerate() {
        let index = shard.header.index();
        let Some(first) = holders[usize::from(index)] else {
            holders[usize::from(index)] = Some(place);
            continue;
        };
        let held: &Shard<S> = &shards.list[first];
        if held.header != shard.header || is_whole(first) != is_whole(place) {
            return Err(WitnessError::Rivals {
                object: shards.object.id,
                index,
                one: held.input,
                other: shard.input,
            });
        }
    }
    Ok(())
}

/// What a shard claims, if its records are those that its footer vouches for.
fn claim<S: ReadAt>(
    place: usize,
    shard: &Shard<S>,
    object: &ObjectHeader,
    known: Option<Digest>,
) -> Result<Claim, Why> {
    let footer = *shard.trailer()?.footer();
    let digest = footer.digest(object);
    // What is known goes before what the shard says of itself.
    let footer = footer.identify(object, &known.unwrap_or(digest))?;
    let mut layout = Layout::new(*object);
    let mut plain_len = 0_u64;
    loop {
        layout.block(Next::Segment);
        let (bytes, record) = read_record(shard, &layout)?;
        let segment = layout.segment(&bytes, record.sealed_len());
        segment.map_err(|_| TrailerError::Root)?;
        let position = record.position();
        plain_len += u64::from(record.believe_until_the_root().plain_len());
        if position.is_last || layout.segments() > footer.segments() {
            break;
        }
    }
    footer.vouch_for(&layout.root())?;
    // The root is over the records alone: a writer may have counted them wrong.
    if layout.segments() != footer.segments() || plain_len != footer.plain_len() {
        return Err(TrailerError::Root.into());
    }
    Ok(Claim {
        place,
        digest,
        footer,
    })
}

/// The record that stands where the layout says, which nobody vouches for yet.
fn read_record<S: ReadAt>(
    shard: &Shard<S>,
    layout: &Layout,
) -> Result<([u8; RECORD_LEN], UnprovenRecord), Why> {
    let mut bytes = [0; RECORD_LEN];
    let read = shard.source.read_at(&mut bytes, layout.offset());
    read.map_err(|error| Why::read(&error))?;
    let number = u32::try_from(layout.segments());
    let number = number.map_err(|_| TrailerError::Root)?;
    let record = UnprovenRecord::parse(&bytes, number, shard.header.object())?;
    Ok((bytes, record))
}
