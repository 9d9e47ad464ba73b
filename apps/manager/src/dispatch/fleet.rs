//! Who is there, as far as the manager knows.

mod besides;
mod standing;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use propeller_model::{AttemptId, Digest, PropletId};
use propeller_scheduler::{Candidate, Link, Unpinned};
use propeller_wire::frame::SessionId;
use propeller_wire::message::{About, StoreMark, Vitals};
use rusqlite::Connection;

use super::Moment;
use super::leases::Leases;
use crate::store::StoreError;
use crate::store::proplet::{Known, proplet_list, proplet_upsert};

pub use standing::TeeStanding;

/// Signs of life that are kept, as upstream does.
const HISTORY_MAX: usize = 10;
/// Measurements that are kept: a quarter of an hour at the default interval.
const VITALS_MAX: usize = 100;
/// Frames to a stranger whose rejection we would recognise.
const LETTERS_MAX: usize = 64;
/// Attempts that a proplet without a session, or in plain mode, gets at a time.
const SLOTS_WITHOUT_SESSION: u32 = 8;
/// Proplets that are remembered. Forged announcements can fill this and nothing else.
const MEMBERS_MAX: usize = 4096;

/// All proplets.
#[derive(Debug, Default)]
pub struct Fleet {
    members: BTreeMap<PropletId, Member>,
}

/// One proplet.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub id: PropletId,
    /// What it told about itself.
    pub about: About,
    /// Attempts it takes at a time.
    pub slots: u32,
    /// Attempts it has.
    pub busy: u32,
    /// How it is reached, if it was heard from since the manager started.
    pub link: Option<Link>,
    /// Whether it was heard from within a lease.
    pub alive: bool,
    /// When it was last heard from, for people.
    pub heard_ms: i64,
    /// Signs of life, newest first, for people.
    pub history: VecDeque<i64>,
    /// Measurements, newest first.
    pub vitals: VecDeque<(i64, Vitals)>,
    /// The TEE that it is in, if it is in one.
    pub tee: Option<TeeStanding>,
    /// Whether it reaches the manager's object store.
    pub store: bool,
    /// Whether it ever had a session: then it is never served in plain again.
    pub(super) ever_sealed: bool,
    /// Modules that it has got in this session.
    pub(super) delivered: HashSet<Digest>,
    /// Frames it may not be able to open, oldest first.
    pub(super) letters: VecDeque<(SessionId, u64, AttemptId)>,
    /// Until when it has no room, whatever its slots say.
    pub(super) full_until: Option<Instant>,
    /// Until when it gets nothing that needs the object store, which has not answered it.
    pub(super) storeless_until: Option<Instant>,
    /// It said goodbye, or has not come back for long.
    left: bool,
    heard: Option<Instant>,
    /// The same of one in a TEE, also after it has left.
    tee_heard: Option<Instant>,
    /// When its session began.
    begun: Option<Instant>,
    /// The object store that it reaches, ours or another one.
    reaches: Option<StoreMark>,
    /// When it last said that it reaches ours, also after it has left.
    store_heard: Option<Instant>,
    unsaved: bool,
}

impl Fleet {
    /// Takes over what the store remembers.
    pub(super) fn remember(&mut self, db: &Connection) -> Result<(), StoreError> {
        for known in proplet_list(db)? {
            let mut member = Member::new(known.id.clone());
            member.about = read_about(&known.about);
            member.slots = known.slots;
            member.ever_sealed = known.sealed;
            member.heard_ms = known.heard_ms;
            member.left = known.slots == 0;
            member.unsaved = false;
            self.members.insert(known.id, member);
        }
        Ok(())
    }

    /// The proplet, made if it is new. `None` if there are too many to remember another one.
    ///
    /// Somebody who never had a session makes room for a newcomer: forged announcements push out
    /// forged announcements.
    pub(super) fn member(&mut self, id: &PropletId) -> Option<&mut Member> {
        if !self.members.contains_key(id) && self.members.len() >= MEMBERS_MAX {
            let quietest = self
                .members
                .values()
                .filter(|member| !member.ever_sealed)
                .min_by_key(|member| member.heard_ms)
                .map(|member| member.id.clone())?;
            self.members.remove(&quietest);
        }
        let member = self
            .members
            .entry(id.clone())
            .or_insert_with(|| Member::new(id.clone()));
        if member.slots == 0 {
            member.slots = SLOTS_WITHOUT_SESSION;
        }
        Some(member)
    }

    pub(super) fn find(&self, id: &PropletId) -> Option<&Member> {
        self.members.get(id)
    }

    /// Which links a task may be given over that names no proplet.
    ///
    /// `begun` is when the manager started: until a lease has passed since, whoever it remembers
    /// may come back any moment.
    pub(super) fn unpinned(&self, now: Instant, window: Duration, begun: Instant) -> Unpinned {
        let known = || self.members.values().filter(|m| m.ever_sealed && !m.left);
        let starting = now.saturating_duration_since(begun) < window;
        Unpinned {
            plain: known().next().is_none(),
            last_resort: !known()
                .filter(|member| member.link != Some(Link::KeyMismatch))
                .any(|member| member.is_alive(now, window) || starting),
        }
    }

    /// How many proplets have been heard of lately.
    pub(super) fn alive(&self, now: Instant, window: Duration) -> usize {
        let alive = |member: &&Member| member.is_alive(now, window);
        self.members.values().filter(alive).count()
    }

    /// Whether somebody with a session is there.
    pub(super) fn has_sealed(&self, now: Instant, window: Duration) -> bool {
        self.members
            .values()
            .any(|member| member.link == Some(Link::Sealed) && member.is_alive(now, window))
    }

    /// Whether somebody who had a session has neither left nor been heard from.
    pub(super) fn is_missing_some(&self, now: Instant, window: Duration) -> bool {
        self.members
            .values()
            .any(|member| member.ever_sealed && !member.left && !member.is_alive(now, window))
    }

    /// Forgets a proplet for everybody but for itself: an id that had a session once stays known as
    /// such, or a broker could offer it in plain.
    pub(super) fn retire(&mut self, id: &PropletId) -> Option<&mut Member> {
        let member = self.members.get_mut(id)?;
        *member = Member {
            ever_sealed: member.ever_sealed,
            slots: 0,
            left: true,
            ..Member::new(id.clone())
        };
        Some(member)
    }

    pub(super) fn find_mut(&mut self, id: &PropletId) -> Option<&mut Member> {
        self.members.get_mut(id)
    }

    /// Everybody who is alive and has room. With `only_checked`, a TEE counts once its evidence was
    /// held against the policy.
    pub(super) fn candidates(
        &self,
        now: Instant,
        window: Duration,
        leases: &Leases,
        only_checked: bool,
    ) -> Vec<Candidate> {
        self.members
            .values()
            .filter(|member| member.is_alive(now, window))
            .filter(|member| member.full_until.is_none_or(|until| now >= until))
            .filter_map(|member| {
                let busy = leases.busy(&member.id);
                Some(Candidate {
                    proplet: member.id.clone(),
                    link: member.link?,
                    free: member.slots.saturating_sub(busy),
                    busy,
                    tee: member
                        .tee
                        .as_ref()
                        .is_some_and(|tee| tee.counts(only_checked)),
                    store: member.has_store(now),
                })
            })
            .collect()
    }

    /// Everybody, as of now.
    pub(super) fn list(&self, now: Instant, window: Duration, leases: &Leases) -> Vec<Member> {
        self.members
            .values()
            .filter(|member| member.is_known())
            .map(|member| Member {
                busy: leases.busy(&member.id),
                alive: member.is_alive(now, window),
                ..member.clone()
            })
            .collect()
    }

    /// Writes what has changed. Signs of life alone are worth one commit in a while, not each.
    pub(super) fn save(&mut self, db: &Connection) -> Result<(), StoreError> {
        // Who never had a session is not worth a row: it would only be somebody's forgery.
        let worth = |member: &&mut Member| member.unsaved && member.ever_sealed;
        for member in self.members.values_mut().filter(worth) {
            member.save(db)?;
        }
        Ok(())
    }
}

/// Modules that a proplet is thought to have; a session that had more of them begins again, which
/// costs some modules a second delivery.
const DELIVERED_MAX: usize = 4096;

impl Member {
    /// Notes that it gets a module and need not get it again.
    pub(super) fn remember_delivered(&mut self, digest: Digest) {
        if self.delivered.len() >= DELIVERED_MAX {
            self.delivered.clear();
        }
        self.delivered.insert(digest);
    }

    fn new(id: PropletId) -> Self {
        Self {
            id,
            about: About::default(),
            slots: SLOTS_WITHOUT_SESSION,
            busy: 0,
            link: None,
            alive: false,
            heard_ms: 0,
            history: VecDeque::new(),
            vitals: VecDeque::new(),
            tee: None,
            store: false,
            ever_sealed: false,
            delivered: HashSet::new(),
            letters: VecDeque::new(),
            full_until: None,
            storeless_until: None,
            left: false,
            heard: None,
            tee_heard: None,
            begun: None,
            reaches: None,
            store_heard: None,
            unsaved: true,
        }
    }

    /// A sign of life.
    pub(super) fn hear(&mut self, moment: Moment) {
        self.heard = Some(moment.now);
        self.tee_heard = self.tee.is_some().then_some(moment.now);
        self.heard_ms = moment.ms;
        self.left = false;
        self.unsaved = true;
    }

    /// Whether it is shown: a retired one has no slots.
    pub(super) fn is_known(&self) -> bool {
        self.slots > 0
    }

    /// A sign of life that belongs into the history: a heartbeat, not every message.
    pub(super) fn beat(&mut self, moment: Moment) {
        self.hear(moment);
        self.history.push_front(moment.ms);
        self.history.truncate(HISTORY_MAX);
    }

    pub(super) fn measure(&mut self, moment: Moment, vitals: Vitals) {
        self.vitals.push_front((moment.ms, vitals));
        self.vitals.truncate(VITALS_MAX);
    }

    /// It has left, or its last will says so.
    pub(super) fn leave(&mut self) {
        self.heard = None;
        self.link = None;
        self.store = false;
        self.left = true;
    }

    pub(super) fn save(&mut self, db: &Connection) -> Result<(), StoreError> {
        proplet_upsert(
            db,
            &Known {
                id: self.id.clone(),
                about: write_about(&self.about),
                sealed: self.ever_sealed,
                slots: self.slots,
                heard_ms: self.heard_ms,
            },
        )?;
        self.unsaved = false;
        Ok(())
    }

    /// Remembers which frame carried an attempt to a proplet that may not be able to open it.
    pub(super) fn remember_letter(&mut self, session: SessionId, counter: u64, attempt: AttemptId) {
        if self.letters.len() == LETTERS_MAX {
            self.letters.pop_front();
        }
        self.letters.push_back((session, counter, attempt));
    }

    /// The attempt that a frame carried.
    pub(super) fn take_letter(&mut self, session: SessionId, counter: u64) -> Option<AttemptId> {
        let position = self
            .letters
            .iter()
            .position(|(s, c, _)| *s == session && *c == counter)?;
        self.letters.remove(position).map(|(_, _, attempt)| attempt)
    }

    pub(super) fn is_alive(&self, now: Instant, window: Duration) -> bool {
        self.heard
            .is_some_and(|heard| now.saturating_duration_since(heard) < window)
    }
}

/// `About` has no JSON form of its own: the API's metadata has the same fields.
fn write_about(about: &About) -> String {
    serde_json::to_string(about).expect("it has nothing that JSON lacks")
}

/// A record of an older version tells less; what it does not tell is empty.
fn read_about(json: &str) -> About {
    serde_json::from_str(json).unwrap_or_default()
}
