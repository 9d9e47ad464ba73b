//! The object store: whose it is, what lies in it, and what goes from it.
//!
//! Large inputs and outputs lie there as CES objects. The manager moves them and hands their key on,
//! and opens none.

mod discard;
mod owners;
mod reach;
mod shard;
mod tidy;

use propeller_depot::{Depot, DepotError, Location, Mark, OpenError};

use crate::store::object_store::{Remembered, object_store_mark, object_store_take};
use crate::store::{Store, StoreError};

pub use discard::{DISCARDS_MAX, Discard, Discards, remove_discarded};
pub use owners::Owners;
pub use reach::{Away, Reaching, Standing};
pub use shard::{Shard, ShardError};
pub use tidy::sweep_hourly;

/// Why the object store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectsError {
    /// It cannot be reached, or not be written.
    #[error("cannot use the object store of MANAGER_OBJECT_STORE")]
    Open(#[from] OpenError),
    /// No mark could be drawn for it.
    #[error("cannot take the object store of MANAGER_OBJECT_STORE")]
    Mark(#[from] DepotError),
    /// The manager's database.
    #[error("cannot read which object store is this manager's")]
    Store(#[from] StoreError),
    /// Another manager's, or what another database of this one has left.
    #[error(
        "the object store at {location} is another manager's, and each removes what it does not \
         know: give each manager a folder or a prefix of its own with MANAGER_OBJECT_STORE; if no \
         other manager uses this one, remove the object propeller-depot from it"
    )]
    Foreign {
        /// Where it is.
        location: Location,
    },
    /// Tasks have their objects elsewhere.
    #[error(
        "the object store at {location} is another one than this manager had so far, where the \
         objects of its tasks lie: set MANAGER_OBJECT_STORE to the former one, or copy all of that \
         to {location}, the object propeller-depot with it"
    )]
    Another {
        /// Where it is.
        location: Location,
    },
}

/// What the marks say about whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Ours,
    /// Nobody's, to be given our mark.
    Nobodys,
    Foreign,
    Another,
}

impl ObjectsError {
    /// Whether the store may do later what it does not do now.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Open(error) if error.may_pass())
    }
}

/// The mark of this manager's store, drawn now if there is none yet.
///
/// It is remembered before it is written: whoever crashes in between, or never hears that it was
/// written, finds its own there. It is known before the store answers, so that tasks with objects
/// go to the proplets that reach it.
///
/// # Errors
/// See [`ObjectsError`].
pub fn remember(store: &mut Store) -> Result<Remembered, ObjectsError> {
    if let Some(ours) = store.reader().with(object_store_mark)? {
        return Ok(ours);
    }
    let drawn = Remembered {
        mark: *Mark::random()?.as_bytes(),
        pending: true,
    };
    take(store, drawn)?;
    Ok(drawn)
}

/// Opens the object store, and marks it as this manager's if it is nobody's yet. Whoever has it then
/// remembers that with [`settle`].
///
/// # Errors
/// See [`ObjectsError`].
pub async fn open(
    location: Location,
    variables: Vec<(String, String)>,
    ours: Remembered,
) -> Result<Depot, ObjectsError> {
    let depot = Depot::open(&location, variables).await?;
    let found = match depot.mark().await {
        Ok(mark) => Some(*mark.as_bytes()),
        Err(OpenError::Unclaimed { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    match whose(ours, found) {
        Whose::Ours => Ok(depot),
        Whose::Foreign => Err(ObjectsError::Foreign { location }),
        Whose::Another => Err(ObjectsError::Another { location }),
        Whose::Nobodys => {
            // Another manager may have been quicker.
            let there = depot.claim_with(Mark::new(ours.mark)).await?.mark();
            match *there.as_bytes() == ours.mark {
                true => Ok(depot),
                false => Err(ObjectsError::Foreign { location }),
            }
        }
    }
}

/// Whose store it is that has the mark `found`.
fn whose(ours: Remembered, found: Option<[u8; 16]>) -> Whose {
    match found {
        Some(found) if found == ours.mark => Whose::Ours,
        // Nothing of ours lies anywhere yet.
        Some(_) if ours.pending => Whose::Foreign,
        None if ours.pending => Whose::Nobodys,
        _ => Whose::Another,
    }
}

/// Remembers that the store with our mark is this manager's.
///
/// # Errors
/// See [`StoreError`].
pub fn settle(store: &mut Store, ours: Remembered) -> Result<(), StoreError> {
    match ours.pending {
        true => take(store, ours.settled()),
        false => Ok(()),
    }
}

fn take(store: &mut Store, remembered: Remembered) -> Result<(), StoreError> {
    let transaction = store.begin()?;
    object_store_take(&transaction, remembered)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open_at(location: &Location, store: &mut Store) -> Result<[u8; 16], ObjectsError> {
        let ours = remember(store)?;
        open(location.clone(), Vec::new(), ours).await?;
        settle(store, ours)?;
        Ok(ours.mark)
    }

    #[test]
    fn a_store_is_taken_only_if_it_is_nobodys() {
        let (one, other) = ([1; 16], [2; 16]);
        for (pending, found, expected) in [
            (false, Some(one), Whose::Ours),
            (false, Some(other), Whose::Another),
            (false, None, Whose::Another),
            (true, None, Whose::Nobodys),
            (true, Some(one), Whose::Ours),
            (true, Some(other), Whose::Foreign),
        ] {
            assert_eq!(whose(Remembered { mark: one, pending }, found), expected);
        }
    }

    #[tokio::test]
    async fn a_crash_while_a_store_is_taken_leaves_it_to_whoever_took_it() {
        for is_written in [false, true] {
            let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let location: Location = folder.path().to_str().unwrap().parse().unwrap();
            let mut store = Store::open(data.path()).unwrap();
            let ours = remember(&mut store).unwrap();
            assert!(ours.pending);
            if is_written {
                open(location.clone(), Vec::new(), ours).await.unwrap();
            }
            for _ in 0..2 {
                assert_eq!(open_at(&location, &mut store).await.unwrap(), ours.mark);
                let remembered = store.reader().with(object_store_mark).unwrap();
                assert_eq!(remembered, Some(ours.settled()));
            }
        }
    }

    #[tokio::test]
    async fn two_managers_do_not_share_a_store_and_one_does_not_change_it_unawares() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let at = |path: &std::path::Path| path.to_str().unwrap().parse::<Location>().unwrap();
        let (first, second) = (at(&place("first")), at(&place("second")));
        let mut ours = Store::open(&place("ours")).unwrap();
        let mark = open_at(&first, &mut ours).await.unwrap();
        assert_eq!(open_at(&first, &mut ours).await.unwrap(), mark);
        let another = open_at(&second, &mut ours).await.unwrap_err();
        assert!(matches!(another, ObjectsError::Another { .. }));
        assert!(!another.may_pass());
        let mut theirs = Store::open(&place("theirs")).unwrap();
        let foreign = open_at(&first, &mut theirs).await.unwrap_err();
        assert!(matches!(foreign, ObjectsError::Foreign { .. }));
        assert!(!foreign.may_pass());
        open_at(&second, &mut theirs).await.unwrap();
    }
}
