//! Which tasks have nothing new.

use std::time::SystemTime;

use uuid::Uuid;

use crate::bounds::AGED_MAX;
use crate::error::DepotError;
use crate::name::{Name, Part};

/// The tasks of which nothing is new, out of as many as were looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tasks {
    /// Those whose newest object is older than was asked for, in their order.
    pub old: Vec<Uuid>,
    /// Objects that are older, whatever else their tasks have: those of a task stand together. What
    /// is too much for one look is not among them.
    pub aged: Vec<Name>,
    /// Tasks with something that was begun and is not whole, and that nobody has written to since,
    /// in a folder: see [`Depot::remove_unfinished`](crate::Depot::remove_unfinished).
    pub unfinished: Vec<Uuid>,
    /// Those that could not be looked at, in a folder.
    pub unread: Vec<Unread>,
    /// The last one that was looked at, if there are more behind it: where to go on.
    pub next: Option<Uuid>,
}

/// A task whose folder could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The task.
    pub task: Uuid,
    /// What the system says.
    pub why: String,
}

/// Goes through objects in the order of their names, and never holds more than one task's times.
#[derive(Debug)]
pub(crate) struct Tally {
    older_than: SystemTime,
    limit: usize,
    looked_at: usize,
    current: Option<(Uuid, SystemTime)>,
    old: Vec<Uuid>,
    aged: Vec<Name>,
}

/// Adds an object that is old, unless there are too many.
pub(crate) fn age(aged: &mut Vec<Name>, task: Uuid, part: Part) {
    if aged.len() < AGED_MAX {
        aged.push(Name { task, part });
    }
}

impl Tally {
    /// Looks at `limit` tasks, and at one in any case.
    pub(crate) fn new(older_than: SystemTime, limit: usize) -> Self {
        Self {
            older_than,
            limit: limit.max(1),
            looked_at: 0,
            current: None,
            old: Vec::new(),
            aged: Vec::new(),
        }
    }

    /// Takes one object into account. Says `false` when there is one task more than wanted.
    ///
    /// A store that goes back in the order would have a task counted twice, and once without its
    /// newest object.
    pub(crate) fn add(&mut self, name: Name, modified: SystemTime) -> Result<bool, DepotError> {
        let Name { task, part } = name;
        match &mut self.current {
            Some((current, newest)) if *current == task => *newest = modified.max(*newest),
            Some((current, _)) if *current > task => return Err(DepotError::Unordered),
            Some(_) if self.looked_at == self.limit => return Ok(false),
            _ => {
                self.judge();
                self.current = Some((task, modified));
                self.looked_at += 1;
            }
        }
        if modified < self.older_than {
            age(&mut self.aged, task, part);
        }
        Ok(true)
    }

    /// Judges the task whose objects have all been seen.
    fn judge(&mut self) {
        if let Some((task, newest)) = self.current
            && newest < self.older_than
        {
            self.old.push(task);
        }
    }

    /// All objects have been seen, or all of the tasks that were wanted.
    pub(crate) fn end(mut self, is_all: bool) -> Tasks {
        self.judge();
        Tasks {
            old: self.old,
            aged: self.aged,
            next: self.current.filter(|_| !is_all).map(|(task, _)| task),
            ..Tasks::default()
        }
    }

    /// The look ends in the middle of a task, which is looked at again: nothing, if it is the first.
    pub(crate) fn end_within(self) -> Option<Tasks> {
        let (current, _) = self.current?;
        // Any id below that one, and above those that were judged.
        let next = Uuid::from_u128(current.as_u128().checked_sub(1)?);
        (self.looked_at > 1).then_some(Tasks {
            old: self.old,
            aged: self.aged,
            next: Some(next),
            ..Tasks::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn name(task: u128, attempt: u32) -> Name {
        let (task, part) = (id(task), Part::Stdout(attempt));
        Name { task, part }
    }

    #[test]
    fn the_newest_object_of_a_task_counts() {
        let mut tally = Tally::new(at(10), 9);
        for (attempt, (task, modified)) in
            (0..).zip([(1, 3), (1, 4), (2, 12), (2, 3), (3, 3), (3, 10), (4, 9)])
        {
            assert!(tally.add(name(task, attempt), at(modified)).unwrap());
        }
        // What is old of a task that has something new is known as well.
        let aged = [(1, 0), (1, 1), (2, 3), (3, 4), (4, 6)];
        let expected = Tasks {
            old: vec![id(1), id(4)],
            aged: aged.map(|(task, attempt)| name(task, attempt)).to_vec(),
            ..Tasks::default()
        };
        assert_eq!(tally.end(true), expected);
    }

    #[test]
    fn no_more_tasks_are_looked_at_than_wanted() {
        for limit in [0, 1, 2] {
            let mut tally = Tally::new(at(10), limit);
            let limit = limit.max(1) as u128;
            for task in 1..=limit {
                assert!(tally.add(name(task, 1), at(1)).unwrap());
                assert!(tally.add(name(task, 2), at(2)).unwrap());
            }
            assert!(!tally.add(name(limit + 1, 1), at(1)).unwrap());
            let tasks = tally.end(false);
            assert!(tasks.aged.iter().all(|name| name.task <= id(limit)));
            assert_eq!(tasks.old, (1..=limit).map(id).collect::<Vec<_>>());
            assert_eq!(tasks.next, Some(id(limit)));
        }
    }

    #[test]
    fn a_store_that_goes_back_in_the_order_is_refused() {
        let mut tally = Tally::new(at(10), 9);
        tally.add(name(2, 1), at(1)).unwrap();
        let refused = tally.add(name(1, 1), at(1));
        assert!(matches!(refused, Err(DepotError::Unordered)));
    }

    #[test]
    fn a_look_that_ends_within_a_task_begins_with_it_again() {
        let mut tally = Tally::new(at(10), 9);
        tally.add(name(1, 1), at(1)).unwrap();
        assert_eq!(Tally::new(at(10), 9).end_within(), None);
        tally.add(name(7, 1), at(1)).unwrap();
        let tasks = tally.end_within().unwrap();
        assert_eq!(tasks.old, [id(1)]);
        assert_eq!(tasks.next, Some(id(6)));
    }
}
