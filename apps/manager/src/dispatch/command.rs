//! What people and programs ask of the dispatcher through the REST API.

use propeller_depot::Name;
use propeller_model::{Digest, PropletId, TaskId, Trace};
use tokio::sync::oneshot;

use super::{Follower, Member, Place};
use crate::store::Blob;
use crate::store::image::Image;
use crate::store::module::Module;
use crate::store::object_store::Remembered;
use crate::store::task::Task;

/// A request.
#[derive(Debug)]
pub enum Command {
    /// Remember a task, and perhaps start it at once.
    Create {
        /// The task, in its first state.
        task: Box<Task>,
        /// Its module, if it is new.
        module: Option<Module>,
        /// Whether to start it in the same commit.
        start: bool,
    },
    /// Change what its owner may change.
    Update {
        /// Which task.
        task: TaskId,
        /// What to change.
        change: Change,
    },
    /// Start or restart it.
    Start {
        /// Which task.
        task: TaskId,
        /// Where this run belongs, if it is named.
        trace: Option<Trace>,
    },
    /// Stop it.
    Stop(TaskId),
    /// Forget it, stopping it first.
    Delete(TaskId),
    /// Tell when it is settled.
    Watch {
        /// Which task.
        task: TaskId,
        /// Fires once, at once if it is settled already.
        settled: std::sync::Mutex<Option<oneshot::Sender<()>>>,
    },
    /// Tell what it prints.
    Follow {
        /// Which task.
        task: TaskId,
        /// Where to begin, if that is still the attempt.
        place: Option<Place>,
        /// Gets what is printed; closed when the task is settled.
        events: Follower,
    },
    /// Who is there?
    Fleet,
    /// Forget a proplet that has nothing to do.
    ForgetProplet(PropletId),
    /// Remember that the object store with this mark is this manager's.
    SettleStore(Remembered),
}

/// What to change about a task; what is left out stays.
#[derive(Debug, Default)]
pub struct Change {
    /// What its owner calls it.
    pub name: Option<String>,
    /// What its module is called.
    pub app_name: Option<String>,
    /// 0 to 100.
    pub priority: Option<u8>,
    /// The only proplet that may have it, or anyone.
    pub pinned: Option<Option<PropletId>>,
    /// Labels, as JSON.
    pub metadata: Option<String>,
    /// Whether it runs until it is stopped.
    pub daemon: Option<bool>,
    /// Its input.
    pub input: Option<Box<NewInput>>,
    /// Its module, new or known.
    pub module: Option<NewModule>,
}

/// An input that a task gets.
#[derive(Debug)]
pub struct NewInput {
    /// As it rests.
    pub sealed: Blob,
    /// What it was made from: if the task has another one meanwhile, it is refused.
    pub before: Option<Blob>,
    /// Whether the task needs the object store with it.
    pub stored: bool,
    /// Whether its standard input is another object than before, or one where none was, or none.
    pub restocked: bool,
    /// The object that was its standard input, and is not any more.
    pub dropped: Option<Name>,
    /// Whether its objects have another key.
    pub rekeyed: bool,
}

/// A module that a task gets.
#[derive(Debug)]
pub enum NewModule {
    /// Its envelope is here.
    Sealed(Module),
    /// The store should have it.
    Known(Digest),
    /// It is in a registry.
    Image(Image),
}

/// What comes of a request.
#[derive(Debug)]
pub enum Answer {
    /// It was done.
    Done,
    /// Who is there.
    Fleet(Vec<Member>),
    /// Events come; whether an attempt is under way already.
    Following(bool),
    /// The store has all there is.
    Settled,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such task.
    #[error("task {0} not found")]
    NoTask(TaskId),
    /// There is no such proplet.
    #[error("proplet {0} not found")]
    NoProplet(PropletId),
    /// There is no such module.
    #[error("module {0} not found: upload it first")]
    NoModule(Digest),
    /// It cannot be done in this state.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Too much is going on.
    #[error("{0}")]
    Busy(&'static str),
    /// The disk is full.
    #[error("the manager's disk is full: nothing was accepted; free some space and try again")]
    DiskFull,
    /// The store failed; the log says how.
    #[error("the manager's store failed: nothing was accepted; its log says why")]
    Store,
}
