//! The object store: whose it is, what lies in it, and what goes from it.
//!
//! Large inputs and outputs lie there as CES objects. The manager moves them and hands their key on,
//! and opens none.

mod shard;
mod tidy;

use propeller_depot::{Claim, Depot, Location, OpenError};
use propeller_settings::store_variables;
use propeller_wire::message::StoreMark;

use crate::store::object_store::{object_store_mark, object_store_take};
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
    Nobodys,
    Foreign,
    Another,
}

/// Opens the object store, and takes it for this manager's if it is nobody's yet.
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
    let mark = match (whose(remembered, found), found) {
        (Whose::Ours, Some(mark)) => mark,
        (Whose::Foreign, _) => return Err(ObjectsError::Foreign { location }),
        (Whose::Another, _) => return Err(ObjectsError::Another { location }),
        (Whose::Ours | Whose::Nobodys, _) => {
            // Another manager may have been quicker.
            let Claim::Made(mark) = depot.claim().await? else {
                return Err(ObjectsError::Foreign { location });
            };
            take(store, *mark.as_bytes())?;
            *mark.as_bytes()
        }
    };
    Ok((depot, StoreMark(mark)))
}

/// Whose store it is that has the mark `found`, for a manager that remembers one or none.
fn whose(remembered: Option<[u8; 16]>, found: Option<[u8; 16]>) -> Whose {
    match (remembered, found) {
        (None, None) => Whose::Nobodys,
        (None, Some(_)) => Whose::Foreign,
        (Some(ours), Some(found)) if ours == found => Whose::Ours,
        (Some(_), _) => Whose::Another,
    }
}

fn take(store: &mut Store, mark: [u8; 16]) -> Result<(), StoreError> {
    let transaction = store.begin()?;
    object_store_take(&transaction, mark)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_taken_only_if_it_is_nobodys() {
        let (one, other) = (Some([1; 16]), Some([2; 16]));
        assert_eq!(whose(None, None), Whose::Nobodys);
        assert_eq!(whose(one, one), Whose::Ours);
        assert_eq!(whose(None, one), Whose::Foreign);
        assert_eq!(whose(one, other), Whose::Another);
        assert_eq!(whose(one, None), Whose::Another);
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
