//! Reaches the object store: when the manager starts, or whenever the store answers after that.
//!
//! A store that is named wrongly keeps a manager from starting, so that the operator sees it. One
//! that is away does not: most tasks need none, and a machine starts its services in any order.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use propeller_depot::{Depot, Location};
use tokio::sync::watch;
use tracing::warn;

use super::{ObjectsError, open};
use crate::store::object_store::Remembered;

/// How long a manager that starts waits for its store.
const START_WAIT: Duration = Duration::from_secs(10);
/// How long to wait before a store is tried again that was not reached.
const AGAIN: Duration = Duration::from_secs(10);

/// How it stands with the object store.
#[derive(Debug, Clone)]
pub enum Standing {
    /// It can be used.
    Reached(Depot),
    /// It cannot be used yet.
    Away(Away),
}

/// Why a store cannot be used yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Away {
    /// It may answer later.
    #[error("it does not answer; the manager's log says more")]
    Silent,
    /// It answers, and is not what it should be: somebody has to do something.
    #[error("{0}")]
    Unusable(String),
}

impl Away {
    /// What anybody may know of it: an error's causes can have addresses with credentials in them.
    fn of(error: &ObjectsError) -> Self {
        match error {
            error if error.may_pass() => Self::Silent,
            ObjectsError::Open(cause) => Self::Unusable(cause.to_string()),
            error => Self::Unusable(error.to_string()),
        }
    }
}

/// A store on its way to be used.
pub struct Reaching {
    location: Location,
    variables: Vec<(String, String)>,
    ours: Remembered,
    opening: BoxFuture<'static, Result<Depot, ObjectsError>>,
    /// What the log has said last.
    told: Option<String>,
}

impl std::fmt::Debug for Reaching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Reaching");
        debug
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl Reaching {
    /// Of the store at `location`, which has our mark or gets it.
    #[must_use]
    pub fn new(location: Location, variables: Vec<(String, String)>, ours: Remembered) -> Self {
        let opening = open(location.clone(), variables.clone(), ours).boxed();
        Self {
            location,
            variables,
            ours,
            opening,
            told: None,
        }
    }

    /// Waits for the store for a moment.
    ///
    /// # Errors
    /// What will not pass by itself: see [`ObjectsError`].
    pub async fn at_start(&mut self) -> Result<Standing, ObjectsError> {
        match tokio::time::timeout(START_WAIT, &mut self.opening).await {
            Ok(Ok(depot)) => return Ok(Standing::Reached(depot)),
            Ok(Err(error)) if error.may_pass() => {
                self.tell(&error);
                self.opening = self.again();
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                warn!(store = %self.location, "the object store has not answered yet: starting without it");
            }
        }
        Ok(Standing::Away(Away::Silent))
    }

    /// Tries until the store can be used, and tells `standing` meanwhile why it cannot.
    pub async fn reach(mut self, standing: &watch::Sender<Standing>) -> Depot {
        loop {
            match (&mut self.opening).await {
                Ok(depot) => return depot,
                Err(error) => {
                    standing.send_replace(Standing::Away(Away::of(&error)));
                    self.tell(&error);
                    self.opening = self.again();
                }
            }
        }
    }

    fn again(&self) -> BoxFuture<'static, Result<Depot, ObjectsError>> {
        let opening = open(self.location.clone(), self.variables.clone(), self.ours);
        async move {
            tokio::time::sleep(AGAIN).await;
            opening.await
        }
        .boxed()
    }

    /// Writes into the log why the store is not reached, unless that stands there already.
    fn tell(&mut self, error: &ObjectsError) {
        let away = Away::of(error).to_string();
        if self.told.as_ref() != Some(&away) {
            warn!(store = %self.location, error = %error, cause = ?error, "the object store cannot be used: what needs it waits, and it is tried again every 10 seconds");
            self.told = Some(away);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaching(location: &str) -> Reaching {
        let ours = Remembered {
            mark: [1; 16],
            pending: true,
        };
        Reaching::new(location.parse().unwrap(), Vec::new(), ours)
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_says_nothing_is_waited_for_a_moment_only() {
        let mut reaching = reaching("/nowhere");
        reaching.opening = futures_util::future::pending().boxed();
        let standing = reaching.at_start().await.unwrap();
        assert!(matches!(standing, Standing::Away(Away::Silent)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_went_wrong_after_the_start_is_told_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut reaching = reaching(folder.path().to_str().unwrap());
        let location = || "s3://b".parse().unwrap();
        let foreign = ObjectsError::Foreign {
            location: location(),
        };
        reaching.opening = futures_util::future::ready(Err(foreign)).boxed();
        let (standing, mut seen) = watch::channel(Standing::Away(Away::Silent));
        let told = async {
            seen.changed().await.unwrap();
            format!("{:?}", *seen.borrow())
        };
        let (depot, told) = tokio::join!(reaching.reach(&standing), told);
        assert!(told.contains("another manager's"), "{told}");
        assert_eq!(depot.location().folder(), Some(folder.path()));
    }
}
