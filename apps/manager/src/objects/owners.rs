//! Which objects are a task's own, as its row and its sealed input say.

use propeller_depot::{Name, Part};
use propeller_envelope::{Context, Keyring, open};
use propeller_model::TaskId;
use propeller_wire::message::Input;
use tokio::sync::watch;
use uuid::Uuid;

use crate::store::task::{Task, task_exists, task_find};
use crate::store::{Reader, StoreError};

/// Who can say it.
#[derive(Debug, Clone)]
pub struct Owners {
    reader: Reader,
    keys: watch::Receiver<Keyring>,
    tenant: String,
}

/// What is a task's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owned {
    /// The number of its last attempt: those before it are over, and nobody is told what they wrote.
    attempts: u32,
    stdin: Stdin,
}

/// What a task reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stdin {
    Nothing,
    Object(u64),
    /// The input does not open, with the keys of today.
    Unknown,
}

impl Owned {
    fn has(self, part: Part) -> bool {
        match part {
            Part::Stdout(attempt) => attempt >= self.attempts,
            Part::Stdin(name) => match self.stdin {
                Stdin::Nothing => false,
                Stdin::Object(own) => own == name,
                Stdin::Unknown => true,
            },
        }
    }
}

impl Owners {
    /// What says it.
    #[must_use]
    pub fn new(reader: Reader, keys: watch::Receiver<Keyring>, tenant: String) -> Self {
        Self {
            reader,
            keys,
            tenant,
        }
    }

    /// Those of the tasks that are gone. Blocks.
    pub(super) fn gone(&self, tasks: Vec<Uuid>) -> Result<Vec<Uuid>, StoreError> {
        self.reader.with(|db| {
            let mut gone = Vec::new();
            for task in tasks {
                if !task_exists(db, TaskId(task))? {
                    gone.push(task);
                }
            }
            Ok(gone)
        })
    }

    /// Those of the objects that are not their tasks' own, of tasks that are there. Blocks.
    pub(super) fn superseded(&self, objects: &[Name]) -> Result<Vec<Name>, StoreError> {
        let mut superseded = Vec::new();
        for of_task in objects.chunk_by(|one, other| one.task == other.task) {
            let Some(Name { task, .. }) = of_task.first() else {
                continue;
            };
            if let Some(task) = self.reader.with(|db| task_find(db, TaskId(*task)))? {
                let owned = self.owned(&task, of_task);
                superseded.extend(of_task.iter().filter(|name| !owned.has(name.part)));
            }
        }
        Ok(superseded)
    }

    fn owned(&self, task: &Task, objects: &[Name]) -> Owned {
        let mut parts = objects.iter().map(|name| name.part);
        // Nobody opens an input for nothing.
        let stdin = match parts.any(|part| matches!(part, Part::Stdin(_))) {
            true => self.stdin(task),
            false => Stdin::Unknown,
        };
        Owned {
            attempts: task.state.attempts(),
            stdin,
        }
    }

    fn stdin(&self, task: &Task) -> Stdin {
        let Some(blob) = task.input.clone() else {
            return Stdin::Nothing;
        };
        // It was changed meanwhile, or the disk fails: the next sweep knows more.
        let Ok(sealed) = self.reader.blobs().read(blob) else {
            return Stdin::Unknown;
        };
        let context = Context::Input {
            tenant: &self.tenant,
            task: *task.id.0.as_bytes(),
        };
        let keys = self.keys.borrow().clone();
        let plain = open(&keys, &context, &sealed).ok();
        let input = plain.and_then(|plain| Input::from_bytes(&plain).ok());
        match input.map(|input| input.objects) {
            None => Stdin::Unknown,
            Some(objects) => match objects.and_then(|objects| objects.stdin) {
                Some(object) => Stdin::Object(object.name),
                None => Stdin::Nothing,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_one_input_and_what_its_last_attempt_writes() {
        let owned = |stdin| Owned { attempts: 3, stdin };
        for (part, stdin, expected) in [
            (Part::Stdout(2), Stdin::Nothing, false),
            (Part::Stdout(3), Stdin::Nothing, true),
            // Of an attempt that is being begun.
            (Part::Stdout(4), Stdin::Nothing, true),
            (Part::Stdin(7), Stdin::Object(7), true),
            (Part::Stdin(8), Stdin::Object(7), false),
            (Part::Stdin(8), Stdin::Nothing, false),
            (Part::Stdin(8), Stdin::Unknown, true),
        ] {
            assert_eq!(owned(stdin).has(part), expected, "{part} {stdin:?}");
        }
    }
}
