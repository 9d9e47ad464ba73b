//! How a task's state stands in its row. One place writes and reads it.

use propeller_model::PropletId;
use propeller_model::task::{Outcome, Run, State};

use super::StoreError;

/// `tasks.state`: partial indexes in the schema name these numbers.
const CREATED: i64 = 0;
const QUEUED: i64 = 1;
const ASSIGNED: i64 = 2;
const RUNNING: i64 = 3;
const COMPLETED: i64 = 4;
const FAILED: i64 = 5;
const STOPPED: i64 = 6;

/// The columns of a state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) state: i64,
    pub(super) attempts: u32,
    pub(super) tries: u32,
    pub(super) proplet: Option<String>,
}

pub(super) fn columns(state: &State) -> Columns {
    let (number, tries, proplet) = match state {
        State::Created { .. } => (CREATED, 0, None),
        State::Queued { run } => (QUEUED, run.tries, None),
        State::Assigned { run, proplet } => (ASSIGNED, run.tries, Some(proplet)),
        State::Running { run, proplet } => (RUNNING, run.tries, Some(proplet)),
        State::Done { outcome, .. } => match outcome {
            Outcome::Completed => (COMPLETED, 0, None),
            Outcome::Failed => (FAILED, 0, None),
            Outcome::Stopped => (STOPPED, 0, None),
        },
    };
    Columns {
        state: number,
        attempts: state.attempts(),
        tries,
        proplet: proplet.map(ToString::to_string),
    }
}

pub(super) fn state(columns: Columns) -> Result<State, StoreError> {
    let Columns {
        state,
        attempts,
        tries,
        proplet,
    } = columns;
    let run = Run { attempts, tries };
    let done = |outcome| State::Done { attempts, outcome };
    let proplet = || -> Result<PropletId, StoreError> {
        let text = proplet.ok_or(StoreError::Row("a task under way without a proplet"))?;
        text.parse()
            .map_err(|_| StoreError::Row("a proplet id that is none"))
    };
    Ok(match state {
        CREATED => State::Created { attempts },
        QUEUED => State::Queued { run },
        ASSIGNED => State::Assigned {
            run,
            proplet: proplet()?,
        },
        RUNNING => State::Running {
            run,
            proplet: proplet()?,
        },
        COMPLETED => done(Outcome::Completed),
        FAILED => done(Outcome::Failed),
        STOPPED => done(Outcome::Stopped),
        _ => return Err(StoreError::Row("an unknown state of a task")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_its_row() {
        let proplet: PropletId = "p".parse().unwrap();
        let run = Run {
            attempts: 7,
            tries: 2,
        };
        let done = |outcome| State::Done {
            attempts: 7,
            outcome,
        };
        for before in [
            State::Created { attempts: 7 },
            State::Queued { run },
            State::Assigned {
                run,
                proplet: proplet.clone(),
            },
            State::Running { run, proplet },
            done(Outcome::Completed),
            done(Outcome::Failed),
            done(Outcome::Stopped),
        ] {
            assert_eq!(state(columns(&before)).unwrap(), before);
        }
    }
}
