//! Decides which proplet gets which task.
//!
//! [`plan`] looks at a [`Snapshot`] and returns [`Placement`]s, each with its reason. It changes
//! nothing, asks nobody and has no memory: the same snapshot gives the same plan.

use std::collections::HashMap;
use std::fmt;

use propeller_model::{PropletId, TaskId};

/// Everything the decision depends on.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Tasks that wait for a proplet, in the order in which they queued.
    pub tasks: Vec<Waiting>,
    /// Proplets that could take one.
    pub proplets: Vec<Candidate>,
    /// Which links a task may be given over that names no proplet.
    pub unpinned: Unpinned,
}

/// Which links, besides a session, a task may be given over that names no proplet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpinned {
    /// Plain compatibility mode: only where no proplet with sessions is known, so that a broker
    /// cannot bring it about by silence.
    pub plain: bool,
    /// Proplets with another key: only where no better one is expected soon, so that a forged
    /// announcement cannot fail a whole queue.
    pub last_resort: bool,
}

/// A task that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The task.
    pub task: TaskId,
    /// 0 to 100; higher goes first.
    pub priority: u8,
    /// The only proplet that may have it.
    pub pinned: Option<PropletId>,
    /// Proplets that have rejected this run for a reason of their own.
    pub excluded: Vec<PropletId>,
    /// What it needs of whoever gets it.
    pub needs: Needs,
}

/// What a task needs that not every proplet has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Only a proplet in a TEE may have it.
    pub tee: bool,
    /// Only a proplet that reaches the object store can do it.
    pub store: bool,
}

impl Needs {
    /// All that there are.
    pub const ALL: [Self; 4] = [
        Self::these(false, false),
        Self::these(false, true),
        Self::these(true, false),
        Self::these(true, true),
    ];

    const fn these(tee: bool, store: bool) -> Self {
        Self { tee, store }
    }
}

/// A proplet that is alive.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The proplet.
    pub proplet: PropletId,
    /// How the manager can reach it.
    pub link: Link,
    /// How many more attempts it takes.
    pub free: u32,
    /// How many attempts it has.
    pub busy: u32,
    /// Whether it is in a TEE.
    pub tee: bool,
    /// Whether it reaches the object store.
    pub store: bool,
}

impl Candidate {
    /// Whether it can do what the task needs at all. What is to be attested, and what the key of an
    /// object goes with, is never said in plain, nor to somebody with another key.
    #[must_use]
    pub fn suits(&self, needs: Needs) -> bool {
        let has_all = (self.tee || !needs.tee) && (self.store || !needs.store);
        has_all && (needs == Needs::default() || self.link == Link::Sealed)
    }
}

/// How the manager can reach a proplet, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// An authenticated session.
    Sealed,
    /// Plain compatibility mode, allowed by the operator.
    Plain,
    /// It announced another key: it cannot open what it is sent, and will say so.
    KeyMismatch,
}

/// One task to one proplet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The task.
    pub task: TaskId,
    /// Its proplet.
    pub proplet: PropletId,
    /// Why this one.
    pub reason: Reason,
}

/// Why a proplet was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The task names it.
    Pinned,
    /// It has the best link and the least to do.
    LeastBusy,
    /// Nobody else is there.
    LastResort,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pinned => "pinned",
            Self::LeastBusy => "least busy",
            Self::LastResort => "last resort",
        })
    }
}

/// Places as many waiting tasks as there is room for: higher priority first, then first come.
#[must_use]
pub fn plan(snapshot: &Snapshot) -> Vec<Placement> {
    let mut room = Room::new(snapshot);
    let mut waiting: Vec<&Waiting> = snapshot.tasks.iter().collect();
    waiting.sort_by_key(|task| std::cmp::Reverse(task.priority));
    waiting
        .into_iter()
        .filter_map(|task| room.place(task))
        .collect()
}

/// The candidates, with what this plan has already given them.
struct Room<'a> {
    candidates: Vec<Candidate>,
    by_id: HashMap<&'a PropletId, usize>,
    unpinned: Unpinned,
}

impl<'a> Room<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            unpinned: snapshot.unpinned,
            candidates: snapshot.proplets.clone(),
            by_id: snapshot
                .proplets
                .iter()
                .enumerate()
                .map(|(index, candidate)| (&candidate.proplet, index))
                .collect(),
        }
    }

    fn place(&mut self, waiting: &Waiting) -> Option<Placement> {
        let index = match &waiting.pinned {
            Some(proplet) => self.by_id.get(proplet).copied()?,
            None => self.best(waiting)?,
        };
        if !self.candidates[index].suits(waiting.needs) {
            return None;
        }
        let candidate = &mut self.candidates[index];
        candidate.free = candidate.free.checked_sub(1)?;
        candidate.busy += 1;
        Some(Placement {
            task: waiting.task,
            proplet: candidate.proplet.clone(),
            reason: match (&waiting.pinned, candidate.link) {
                (Some(_), _) => Reason::Pinned,
                (None, Link::KeyMismatch) => Reason::LastResort,
                (None, Link::Sealed | Link::Plain) => Reason::LeastBusy,
            },
        })
    }

    /// The best link that anybody willing has, and among those with room the least busy.
    ///
    /// A full proplet with a better link is worth waiting for, so a worse link is taken only when
    /// no willing candidate has a better one.
    /// That somebody has refused this run before counts only while there is somebody else.
    fn best(&self, waiting: &Waiting) -> Option<usize> {
        let linked = |candidate: &Candidate| match candidate.link {
            Link::Sealed => true,
            Link::Plain => self.unpinned.plain,
            Link::KeyMismatch => self.unpinned.last_resort,
        };
        let allowed = |candidate: &Candidate| linked(candidate) && candidate.suits(waiting.needs);
        let fresh = |c: &Candidate| allowed(c) && !waiting.excluded.contains(&c.proplet);
        let any_fresh = self.candidates.iter().any(fresh);
        let willing = |c: &&Candidate| if any_fresh { fresh(c) } else { allowed(c) };
        let link = self
            .candidates
            .iter()
            .filter(willing)
            .map(|c| c.link)
            .min()?;
        self.candidates
            .iter()
            .enumerate()
            .filter(|(_, c)| c.link == link && c.free > 0 && willing(c))
            .min_by_key(|(_, c)| c.busy)
            .map(|(index, _)| index)
    }
}
