//! Whether what a task runs was signed, as the operator wants it now: whatever was wanted when the task
//! was given its module.

use propeller_model::Digest;

use super::{Refusal, Rules};
use crate::store::task::Task;

/// A task that may be started, and started again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Startable<'a>(&'a Task);

impl<'a> Startable<'a> {
    pub(super) fn task(self) -> &'a Task {
        self.0
    }
}

/// Why a task is not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotStartable {
    #[error(
        "the task has no module: upload one with `propeller-cli tasks upload`, or name an image with \
         `propeller-cli tasks update --image`"
    )]
    NoModule,
    #[error("{}", cannot_be_signed("the task's module"))]
    NoImage,
    #[error("nobody has looked who signed the task's image, and {}", again(.signers))]
    NotSeen { signers: Vec<Digest> },
    #[error("the task's image was signed with the key {key}, and {}", again(.signers))]
    OtherKey { key: Digest, signers: Vec<Digest> },
}

impl From<NotStartable> for Refusal {
    fn from(why: NotStartable) -> Self {
        Self::Conflict(why.to_string())
    }
}

impl Rules {
    /// A task that has something to run, signed by one of the keys that are required, if any are.
    pub(super) fn startable<'a>(&self, task: &'a Task) -> Result<Startable<'a>, NotStartable> {
        let signers = || self.signers.clone();
        match (&task.image, task.module) {
            (None, None) => Err(NotStartable::NoModule),
            _ if self.signers.is_empty() => Ok(Startable(task)),
            (None, Some(_)) => Err(NotStartable::NoImage),
            (Some(image), _) => match image.signed {
                Some(key) if self.signers.contains(&key) => Ok(Startable(task)),
                Some(key) => Err(NotStartable::OtherKey {
                    key,
                    signers: signers(),
                }),
                None => Err(NotStartable::NotSeen { signers: signers() }),
            },
        }
    }
}

/// Why something is not taken that is in no image; `what` it is.
pub(crate) fn cannot_be_signed(what: &str) -> String {
    format!(
        "{what} cannot be signed, and MANAGER_REQUIRE_SIGNATURE wants that: push it to a registry with \
         `propeller push FILE IMAGE --sign KEY`, and name that image in image_url (--image)"
    )
}

/// What to do about an image whose signature does not count.
fn again(signers: &[Digest]) -> String {
    let keys = match signers {
        [one] => format!("the key {one}"),
        several => format!("one of {} keys", several.len()),
    };
    format!(
        "MANAGER_REQUIRE_SIGNATURE wants a signature by {keys}: name the image once more in image_url \
         (`propeller-cli tasks update TASK --image IMAGE`), so that its signatures are looked at"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use propeller_model::retry::Policy;

    use super::*;
    use crate::store::image::Image;

    const OURS: Digest = Digest([1; 32]);
    const OTHER: Digest = Digest([2; 32]);

    fn rules(signers: &[Digest]) -> Rules {
        Rules {
            tenant: "default".to_owned(),
            lease: Duration::from_secs(30),
            retry: Policy {
                attempts_max: 1,
                backoff: Duration::ZERO,
                backoff_max: Duration::ZERO,
            },
            retention: Duration::ZERO,
            allow_plaintext: false,
            judge: Arc::default(),
            signers: signers.to_vec(),
        }
    }

    fn task(module: Option<Digest>, signed: Option<Option<Digest>>) -> Task {
        Task {
            module,
            image: signed.map(|signed| Image {
                reference: "example.com/a@sha256:0".to_owned(),
                encrypted: false,
                key: None,
                signed,
            }),
            ..Task::sample(1)
        }
    }

    fn check(signers: &[Digest], task: &Task, why: Option<&str>) {
        match (rules(signers).startable(task), why) {
            (Ok(startable), None) => assert_eq!(startable.task().id, task.id),
            (Err(error), Some(why)) => {
                let said = error.to_string();
                assert!(said.starts_with(why), "{said}");
            }
            (other, why) => panic!("{other:?} is not {why:?}"),
        }
    }

    #[test]
    fn what_is_required_now_decides_whatever_was_when_the_module_was_given() {
        let (uploaded, unseen) = (task(Some(OTHER), None), task(None, Some(None)));
        let signed = task(None, Some(Some(OURS)));
        for task in [&uploaded, &unseen, &signed] {
            check(&[], task, None);
        }
        check(&[OURS], &signed, None);
        check(&[OTHER, OURS], &signed, None);
        let why = "the task's module cannot be signed, and MANAGER_REQUIRE_SIGNATURE wants that";
        check(&[OURS], &uploaded, Some(why));
        let why = "nobody has looked who signed the task's image, and MANAGER_REQUIRE_SIGNATURE";
        check(&[OURS], &unseen, Some(why));
        let why = format!("the task's image was signed with the key {OURS}, and");
        check(&[OTHER], &signed, Some(&why));
        check(&[], &task(None, None), Some("the task has no module"));
    }
}
