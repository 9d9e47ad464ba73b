//! What happens to a task.
//!
//! ```text
//!              start            assign             started
//!   Created ──────────▶ Queued ────────▶ Assigned ─────────▶ Running
//!      ▲                  ▲ │               │                   │
//!      │            retry │ │ stop          │ stop, rejected,   │ stop, finished,
//!      │                  │ ▼               ▼ lost, finished    ▼ lost
//!      └── (deleted)      └──── Done(Completed | Failed | Stopped) ◀─┘
//!                                │
//!                                └── start: a new run, attempt numbers go on
//! ```
//!
//! An attempt that came to nothing puts the task back in the queue until `attempts_max` of one run
//! are used up. Settlement happens once: an event about any attempt but the current one is
//! [`Rejected`], whatever it says.

use std::fmt;

use crate::PropletId;
use crate::retry::Policy;

/// Where a task stands. What belongs to a state lives only in that state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Accepted and waiting for its owner to start it.
    Created {
        /// Attempts made in earlier runs.
        attempts: u32,
    },
    /// Waiting for a proplet.
    Queued {
        /// The run it belongs to.
        run: Run,
    },
    /// A proplet was chosen and told.
    Assigned {
        /// The run it belongs to; `run.attempts` is the current attempt's number.
        run: Run,
        /// The chosen proplet.
        proplet: PropletId,
    },
    /// The proplet said that the guest runs.
    Running {
        /// The run it belongs to; `run.attempts` is the current attempt's number.
        run: Run,
        /// The proplet that runs it.
        proplet: PropletId,
    },
    /// Settled.
    Done {
        /// Attempts made so far, over all runs.
        attempts: u32,
        /// How it ended.
        outcome: Outcome,
    },
}

/// One run of a task, from a start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Attempts made so far over all runs; while one is under way, its number.
    pub attempts: u32,
    /// Attempts made so far in this run.
    pub tries: u32,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The guest ended well.
    Completed,
    /// The guest failed, or no attempt could be made to work.
    Failed,
    /// Its owner stopped it.
    Stopped,
}

/// What can happen to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its owner wants it run.
    Start,
    /// The scheduler chose a proplet.
    Assign(PropletId),
    /// The proplet says that attempt `number` runs.
    Started {
        /// The attempt.
        number: u32,
    },
    /// The proplet reports the end of attempt `number`.
    Finished {
        /// The attempt.
        number: u32,
        /// Whether the guest ended well.
        success: bool,
    },
    /// Attempt `number` came to nothing: rejected, lost, or its lease ran out.
    Undone {
        /// The attempt.
        number: u32,
        /// Whether another attempt may help.
        retry: Retry,
    },
    /// It cannot be given to anybody: what it needs is gone.
    Abandon,
    /// Its owner wants it stopped.
    Stop,
}

/// Whether another attempt may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Another proplet, or the same one later, may do it.
    MayHelp,
    /// Another attempt may help, and this one does not count: nobody has tried anything.
    IsFree,
    /// Every further attempt would end the same way.
    IsPointless,
}

/// What the caller has to do once the new state is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Plan again: the task waits for a proplet.
    Queue,
    /// Tell the proplet to start attempt `number`.
    SendStart {
        /// The attempt.
        number: u32,
        /// Whom to tell.
        proplet: PropletId,
    },
    /// Tell the proplet to stop attempt `number`.
    SendStop {
        /// The attempt.
        number: u32,
        /// Whom to tell.
        proplet: PropletId,
    },
    /// Somebody may be waiting for the end.
    Settled,
}

/// Why an event changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The event is about an attempt that no longer counts.
    #[error("report from attempt {reported}, but attempt {current} is current")]
    Stale {
        /// The attempt in the event.
        reported: u32,
        /// The attempt that counts.
        current: u32,
    },
    /// The task is not in a state where this can happen.
    #[error("cannot {event} a task that is {state}")]
    Impossible {
        /// What should have happened.
        event: &'static str,
        /// Where the task stands.
        state: &'static str,
    },
}

impl State {
    /// The state of a new task.
    pub const NEW: Self = Self::Created { attempts: 0 };

    /// The next state and what to do about it.
    ///
    /// # Errors
    /// [`Rejected`] if the event is stale or impossible; the state is then unchanged, which is why
    /// it is borrowed.
    pub fn on(&self, event: Event, policy: &Policy) -> Result<(Self, Effect), Rejected> {
        match event {
            Event::Start => self.start(),
            Event::Assign(proplet) => self.assign(proplet),
            Event::Started { number } => self.started(number),
            Event::Finished { number, success } => self.finished(number, success),
            Event::Undone { number, retry } => self.undone(number, retry, policy),
            Event::Abandon => self.abandon(),
            Event::Stop => self.stop(),
        }
    }

    /// The number of the latest attempt, 0 if there was none.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Created { attempts } | Self::Done { attempts, .. } => *attempts,
            Self::Queued { run } | Self::Assigned { run, .. } | Self::Running { run, .. } => {
                run.attempts
            }
        }
    }

    /// The proplet that has the task now.
    #[must_use]
    pub fn proplet(&self) -> Option<&PropletId> {
        match self {
            Self::Assigned { proplet, .. } | Self::Running { proplet, .. } => Some(proplet),
            Self::Created { .. } | Self::Queued { .. } | Self::Done { .. } => None,
        }
    }

    /// The state in one word, the same in API, log and messages.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created { .. } => "pending",
            Self::Queued { .. } => "queued",
            Self::Assigned { .. } => "assigned",
            Self::Running { .. } => "running",
            Self::Done { outcome, .. } => outcome.word(),
        }
    }

    fn start(&self) -> Result<(Self, Effect), Rejected> {
        match self {
            Self::Created { attempts } | Self::Done { attempts, .. } => {
                let run = Run {
                    attempts: *attempts,
                    tries: 0,
                };
                Ok((Self::Queued { run }, Effect::Queue))
            }
            Self::Queued { .. } | Self::Assigned { .. } | Self::Running { .. } => {
                Err(self.impossible("start"))
            }
        }
    }

    fn assign(&self, proplet: PropletId) -> Result<(Self, Effect), Rejected> {
        let Self::Queued { run } = self else {
            return Err(self.impossible("assign"));
        };
        let run = Run {
            attempts: run.attempts + 1,
            tries: run.tries + 1,
        };
        let effect = Effect::SendStart {
            number: run.attempts,
            proplet: proplet.clone(),
        };
        Ok((Self::Assigned { run, proplet }, effect))
    }

    fn started(&self, number: u32) -> Result<(Self, Effect), Rejected> {
        let (run, proplet) = self.current(number, "mark as running")?;
        Ok((Self::Running { run, proplet }, Effect::None))
    }

    fn finished(&self, number: u32, success: bool) -> Result<(Self, Effect), Rejected> {
        let (run, _) = self.current(number, "finish")?;
        let outcome = if success {
            Outcome::Completed
        } else {
            Outcome::Failed
        };
        Ok((Self::done(run, outcome), Effect::Settled))
    }

    fn undone(
        &self,
        number: u32,
        retry: Retry,
        policy: &Policy,
    ) -> Result<(Self, Effect), Rejected> {
        let (run, _) = self.current(number, "retry")?;
        let again = |run| Ok((Self::Queued { run }, Effect::Queue));
        match retry {
            Retry::IsFree => again(Run {
                tries: run.tries.saturating_sub(1),
                ..run
            }),
            Retry::MayHelp if run.tries < policy.attempts_max => again(run),
            Retry::MayHelp | Retry::IsPointless => {
                Ok((Self::done(run, Outcome::Failed), Effect::Settled))
            }
        }
    }

    fn abandon(&self) -> Result<(Self, Effect), Rejected> {
        match self {
            Self::Queued { run } => Ok((Self::done(*run, Outcome::Failed), Effect::Settled)),
            _ => Err(self.impossible("abandon")),
        }
    }

    fn stop(&self) -> Result<(Self, Effect), Rejected> {
        match self {
            Self::Queued { run } => Ok((Self::done(*run, Outcome::Stopped), Effect::Settled)),
            Self::Assigned { run, proplet } | Self::Running { run, proplet } => {
                let effect = Effect::SendStop {
                    number: run.attempts,
                    proplet: proplet.clone(),
                };
                Ok((Self::done(*run, Outcome::Stopped), effect))
            }
            Self::Created { .. } | Self::Done { .. } => Err(self.impossible("stop")),
        }
    }

    /// The run and proplet of attempt `number`, if that is the one under way.
    fn current(&self, number: u32, event: &'static str) -> Result<(Run, PropletId), Rejected> {
        match self {
            Self::Assigned { run, proplet } | Self::Running { run, proplet }
                if run.attempts == number =>
            {
                Ok((*run, proplet.clone()))
            }
            _ if number != self.attempts() => Err(Rejected::Stale {
                reported: number,
                current: self.attempts(),
            }),
            _ => Err(self.impossible(event)),
        }
    }

    fn done(run: Run, outcome: Outcome) -> Self {
        Self::Done {
            attempts: run.attempts,
            outcome,
        }
    }

    fn impossible(&self, event: &'static str) -> Rejected {
        Rejected::Impossible {
            event,
            state: self.word(),
        }
    }
}

impl Outcome {
    /// The outcome in one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
