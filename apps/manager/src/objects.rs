//! The object store: whose it is, what lies in it, and what goes from it.
//!
//! Large inputs and outputs lie there as CES objects. The manager moves them and hands their key on,
//! and opens none.

mod shard;
mod tidy;

use propeller_depot::{Depot, DepotError, Location, Mark, OpenError};
use propeller_settings::store_variables;
use propeller_wire::message::StoreMark;

use crate::store::object_store::{Remembered, object_store_mark, object_store_take};
use crate::store::{Store, StoreError};

pub use shard::{Shard, ShardError};
pub use tidy::{DISCARDS_MAX, Discard, Discards, remove_discarded, sweep_hourly};

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
    Ours([u8; 16]),
    /// Nobody's, to be given this mark if one was drawn already.
    Nobodys(Option<[u8; 16]>),
    /// Ours, which a crash has kept us from remembering.
    New([u8; 16]),
    Foreign,
    Another,
}

/// Opens the object store, and takes it for this manager's if it is nobody's yet.
///
/// The mark is remembered before it is written: whoever crashes in between, or never hears that it
/// was written, finds its own there.
///
/// # Errors
/// See [`ObjectsError`].
pub async fn open(
    location: &Location,
    store: &mut Store,
) -> Result<(Depot, StoreMark), ObjectsError> {
    let depot = Depot::open(location, store_variables()).await?;
    let found = match depot.mark().await {
        Ok(mark) => Some(*mark.as_bytes()),
        Err(OpenError::Unclaimed { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let remembered = store.reader().with(object_store_mark)?;
    let location = location.clone();
    let mark = match whose(remembered, found) {
        Whose::Ours(mark) => mark,
        Whose::New(mark) => take(store, mark, false)?,
        Whose::Foreign => return Err(ObjectsError::Foreign { location }),
        Whose::Another => return Err(ObjectsError::Another { location }),
        Whose::Nobodys(drawn) => {
            let mark = match drawn {
                Some(mark) => mark,
                None => take(store, *Mark::random()?.as_bytes(), true)?,
            };
            // Another manager may have been quicker.
            let there = depot.claim_with(Mark::new(mark)).await?.mark();
            if *there.as_bytes() != mark {
                return Err(ObjectsError::Foreign { location });
            }
            take(store, mark, false)?
        }
    };
    Ok((depot, StoreMark(mark)))
}

/// Whose store it is that has the mark `found`, for a manager that remembers one or none.
fn whose(remembered: Option<Remembered>, found: Option<[u8; 16]>) -> Whose {
    match (remembered, found) {
        (None, None) => Whose::Nobodys(None),
        (None, Some(_)) => Whose::Foreign,
        (Some(ours), Some(found)) if ours.mark == found => match ours.pending {
            true => Whose::New(found),
            false => Whose::Ours(found),
        },
        // Nothing of ours lies anywhere yet.
        (Some(ours), None) if ours.pending => Whose::Nobodys(Some(ours.mark)),
        (Some(ours), Some(_)) if ours.pending => Whose::Foreign,
        (Some(_), _) => Whose::Another,
    }
}

/// Remembers a mark, and gives it back.
fn take(store: &mut Store, mark: [u8; 16], pending: bool) -> Result<[u8; 16], StoreError> {
    let transaction = store.begin()?;
    object_store_take(&transaction, Remembered { mark, pending })?;
    transaction.commit()?;
    Ok(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_taken_only_if_it_is_nobodys() {
        let (one, other) = ([1; 16], [2; 16]);
        let remembered = |pending| Some(Remembered { mark: one, pending });
        for (remembered, found, expected) in [
            (None, None, Whose::Nobodys(None)),
            (None, Some(one), Whose::Foreign),
            (remembered(false), Some(one), Whose::Ours(one)),
            (remembered(false), Some(other), Whose::Another),
            (remembered(false), None, Whose::Another),
            (remembered(true), None, Whose::Nobodys(Some(one))),
            (remembered(true), Some(one), Whose::New(one)),
            (remembered(true), Some(other), Whose::Foreign),
        ] {
            assert_eq!(whose(remembered, found), expected);
        }
    }

    #[tokio::test]
    async fn a_crash_while_a_store_is_taken_leaves_it_to_whoever_took_it() {
        for is_written in [false, true] {
            let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let location: Location = folder.path().to_str().unwrap().parse().unwrap();
            let mut store = Store::open(data.path()).unwrap();
            let mark = take(&mut store, [7; 16], true).unwrap();
            if is_written {
                let depot = Depot::open(&location, store_variables()).await.unwrap();
                depot.claim_with(Mark::new(mark)).await.unwrap();
            }
            for _ in 0..2 {
                let (_, opened) = open(&location, &mut store).await.unwrap();
                assert_eq!(opened, StoreMark(mark));
                let remembered = store.reader().with(object_store_mark).unwrap();
                assert_eq!(remembered.map(|it| it.pending), Some(false));
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
        let (_, mark) = open(&first, &mut ours).await.unwrap();
        let (_, again) = open(&first, &mut ours).await.unwrap();
        assert_eq!(mark, again);
        let another = open(&second, &mut ours).await;
        assert!(matches!(another, Err(ObjectsError::Another { .. })));
        let mut theirs = Store::open(&place("theirs")).unwrap();
        let foreign = open(&first, &mut theirs).await;
        assert!(matches!(foreign, Err(ObjectsError::Foreign { .. })));
        open(&second, &mut theirs).await.unwrap();
    }
}
