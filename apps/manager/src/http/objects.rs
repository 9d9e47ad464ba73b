//! What tasks have in the object store, as far as requests decide about it.

use std::fmt;

use axum::http::StatusCode;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use propeller_api::{ObjectInfo, TaskRequest};
use propeller_depot::{Depot, Name, Part};
use propeller_model::TaskId;
use propeller_wire::message::{Input, InputObjects, ObjectKey, StoredObject};
use tokio::sync::watch;
use utoipa::ToSchema;

use super::view::find;
use super::{Api, ApiError};
use crate::dispatch::NewInput;
use crate::objects::{Discards, Standing};
use crate::store::Blob;
use crate::store::task::Task as TaskRow;

/// Longest output that a report in a message has room for, in bytes: what a task asks for beyond that
/// goes into the store.
const OUTPUT_LEN_INLINE: u64 = 1024 * 1024;

const NO_STORE: &str = "this manager has no object store: give it and its proplets one with \
                        MANAGER_OBJECT_STORE and PROPLET_OBJECT_STORE";

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "its schema is all that is wanted of it")]
pub(super) struct Octets(Vec<u8>);

/// Where large inputs and outputs lie, and what counts as large.
#[derive(Clone)]
pub struct Keep {
    /// The object store, and what takes what is to go from it.
    pub store: Option<(watch::Receiver<Standing>, Discards)>,
    /// Longest standard input in a request, in bytes.
    pub inline_max: u64,
    /// Largest object, in bytes.
    pub object_max: u64,
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").finish_non_exhaustive()
    }
}

impl Keep {
    /// The object store, if it can be used.
    pub(super) fn store(&self) -> Result<(Depot, Discards), ApiError> {
        let none = || ApiError::invalid(NO_STORE);
        let (standing, discards) = self.store.as_ref().ok_or_else(none)?;
        match &*standing.borrow() {
            Standing::Reached(depot) => Ok((depot.clone(), discards.clone())),
            Standing::Away(why) => Err(ApiError::store_away(why)),
        }
    }

    /// Whether the object store can be used, if there is one.
    pub(super) fn is_reached(&self) -> Option<bool> {
        let (standing, _) = self.store.as_ref()?;
        Some(matches!(&*standing.borrow(), Standing::Reached(_)))
    }

    /// Changes the key of a task's objects as a request says. A task that may print more than a
    /// message has room for gets one in any case; an input is uploaded under a key that was given.
    pub(super) fn change_key(
        &self,
        input: &mut Input,
        request: &TaskRequest,
    ) -> Result<(), ApiError> {
        let given = request.object_key.as_ref().map(|key| key.0.as_str());
        let given = given.filter(|key| !key.is_empty());
        let key = match given {
            Some(_) if self.store.is_none() => {
                return Err(ApiError::invalid(format!("object_key: {NO_STORE}")));
            }
            Some(text) => key(text)?,
            None if input.objects.is_some() || !self.may_print_much(input) => return Ok(()),
            None => random_key()?,
        };
        match &mut input.objects {
            Some(objects) if objects.key == key => {}
            Some(InputObjects { stdin: Some(_), .. }) => {
                return Err(ApiError::conflict(
                    "the task's standard input is sealed with its key: make another task for \
                     another object_key",
                ));
            }
            Some(objects) => objects.key = key,
            none => *none = Some(InputObjects { key, stdin: None }),
        }
        Ok(())
    }

    /// Gives a task the standard input that stands in a request, in place of any other.
    pub(super) fn change_stdin(&self, input: &mut Input, bytes: Vec<u8>) -> Result<(), ApiError> {
        let (len, max) = (bytes.len(), self.inline_max);
        if len as u64 > max {
            let other = match self.store {
                Some(_) => {
                    "upload it with `PUT /tasks/{id}/stdin`, as `propeller tasks create --stdin` does"
                }
                None => {
                    "give the manager an object store with MANAGER_OBJECT_STORE, where longer ones \
                     go"
                }
            };
            let detail = format!(
                "stdin is {len} bytes, and a request has at most {max}, the limit \
                 MANAGER_INLINE_MAX: {other}"
            );
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        if let (false, Some(objects)) = (bytes.is_empty(), &mut input.objects) {
            objects.stdin = None;
        }
        input.stdin = bytes.into();
        Ok(())
    }

    /// Whether whoever runs a task with this input has to reach the store.
    pub(super) fn needs_store(&self, input: &Input) -> bool {
        stdin_of(input).is_some() || self.may_print_much(input)
    }

    /// Whether a task may print more than a message has room for.
    fn may_print_much(&self, input: &Input) -> bool {
        let asked = input.limits.output_bytes.unwrap_or_default();
        self.store.is_some() && asked > OUTPUT_LEN_INLINE
    }
}

/// Refuses a daemon whose standard input is an object: it is begun again, and its input is not.
pub(super) fn check_daemon(input: &Input) -> Result<(), ApiError> {
    match stdin_of(input) {
        Some(_) => check_no_daemon(input),
        None => Ok(()),
    }
}

/// Refuses to give a daemon an input that is in the store.
pub(super) fn check_no_daemon(input: &Input) -> Result<(), ApiError> {
    match input.daemon {
        true => Err(ApiError::conflict(
            "a daemon is begun again whenever it ends, so it cannot read an input to its end: its \
             standard input cannot be in the object store",
        )),
        false => Ok(()),
    }
}

/// The object that is a task's standard input.
pub(super) fn stdin_of(input: &Input) -> Option<StoredObject> {
    input.objects.as_ref()?.stdin
}

/// What is told about an object to whoever asks.
pub(super) fn object_info(object: &StoredObject) -> ObjectInfo {
    ObjectInfo {
        digest: HEXLOWER.encode(&object.digest),
        length: object.plain_len,
    }
}

impl Api {
    /// A task, and what it is given.
    pub(super) async fn given(&self, id: TaskId) -> Result<(TaskRow, Input), ApiError> {
        let renderer = self.renderer();
        self.read(move |reader| {
            let row = find(reader, id)?;
            let input = match row.input.clone() {
                Some(blob) => renderer.input(reader, id, blob)?,
                None => Input::default(),
            };
            Ok((row, input))
        })
        .await
    }

    /// The input `after` for a task that had `before`, which rested as `sealed_before`.
    pub(super) fn new_input(
        &self,
        id: TaskId,
        sealed_before: Option<Blob>,
        before: &Input,
        after: &Input,
    ) -> Result<Box<NewInput>, ApiError> {
        let kept = stdin_of(after).map(|object| object.name);
        let dropped = stdin_of(before).filter(|object| Some(object.name) != kept);
        let key = |input: &Input| input.objects.as_ref().map(|objects| objects.key.clone());
        Ok(Box::new(NewInput {
            sealed: self.seal_input(id, after)?,
            before: sealed_before,
            stored: self.shared.objects.needs_store(after),
            restocked: stdin_of(after) != stdin_of(before),
            dropped: dropped.map(|object| Name {
                task: id.0,
                part: Part::Stdin(object.name),
            }),
            rekeyed: key(before).is_some_and(|before| key(after) != Some(before)),
        }))
    }
}

fn key(text: &str) -> Result<ObjectKey, ApiError> {
    let wrong = || {
        let detail = "object_key is 64 hexadecimal digits, not all of them 0: make one with \
                      `openssl rand -hex 32`";
        ApiError::invalid(detail)
    };
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    let bytes = bytes
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    match bytes {
        // Somebody's variable that was never filled in.
        Some([0, rest @ ..]) if rest == [0; 31] => Err(wrong()),
        Some(bytes) => Ok(ObjectKey(bytes)),
        None => Err(wrong()),
    }
}

fn random_key() -> Result<ObjectKey, ApiError> {
    let mut key = ObjectKey([0; 32]);
    aws_lc_rs::rand::fill(&mut key.0)
        .map_err(|_| ApiError::internal("the system gives no random bytes"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use propeller_api::KeyText;
    use propeller_wire::message::AskedLimits;

    use super::*;
    use crate::objects::Away;

    const STDIN: StoredObject = StoredObject {
        name: 1,
        digest: [2; 32],
        plain_len: 3,
    };

    async fn keep(folder: Option<&std::path::Path>) -> Keep {
        let store = match folder {
            None => None,
            Some(folder) => {
                let location = folder.to_str().unwrap().parse().unwrap();
                let variables: [(String, String); 0] = [];
                let depot = Depot::open(&location, variables).await.unwrap();
                let standing = watch::channel(Standing::Reached(depot)).1;
                Some((standing, Discards::new().0))
            }
        };
        Keep {
            store,
            inline_max: 4,
            object_max: 100,
        }
    }

    fn asking(key: &str) -> TaskRequest {
        TaskRequest {
            object_key: Some(KeyText(key.to_owned())),
            ..TaskRequest::default()
        }
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let mut keep = keep(Some(folder.path())).await;
        assert_eq!(keep.is_reached(), Some(true));
        keep.store().unwrap();
        for (away, says) in [
            (Away::Silent, "its object store yet: it does not answer"),
            (Away::Unusable("no rights".to_owned()), "yet: no rights"),
        ] {
            let standing = watch::channel(Standing::Away(away)).1;
            keep.store = Some((standing, Discards::new().0));
            assert_eq!(keep.is_reached(), Some(false));
            let refused = keep.store().unwrap_err();
            assert!(format!("{refused:?}").contains(says), "{refused:?}");
        }
        keep.store = None;
        assert_eq!(keep.is_reached(), None);
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        assert_eq!(key(&"0a".repeat(32)).unwrap().0, [10; 32]);
        assert_eq!(key(&"0A".repeat(32)).unwrap().0, [10; 32]);
        let digits = "1".repeat(63);
        for wrong in [
            "",
            "a",
            &digits,
            &format!("{digits}g"),
            &format!("{digits}11"),
        ] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
        assert!(key(&"0".repeat(64)).is_err());
        assert!(key(&format!("01{}", "0".repeat(62))).is_ok());
        assert!(key(&format!("{}1", "0".repeat(63))).is_ok());
    }

    #[tokio::test]
    async fn without_a_store_there_are_no_keys() {
        let keep = keep(None).await;
        let mut input = Input::default();
        keep.change_key(&mut input, &TaskRequest::default())
            .unwrap();
        assert_eq!(input.objects, None);
        let refused = keep.change_key(&mut input, &asking(&"0a".repeat(32)));
        assert!(format!("{refused:?}").contains("MANAGER_OBJECT_STORE"));
        let refused = keep.change_stdin(&mut input, vec![0; 5]);
        assert!(format!("{refused:?}").contains("MANAGER_OBJECT_STORE"));
        keep.change_stdin(&mut input, vec![0; 4]).unwrap();
    }

    #[tokio::test]
    async fn a_task_that_may_print_much_has_a_key_of_its_own_that_stays() {
        let folder = tempfile::tempdir().unwrap();
        let keep = keep(Some(folder.path())).await;
        let (mut one, mut other) = (Input::default(), Input::default());
        for input in [&mut one, &mut other] {
            input.limits.output_bytes = Some(OUTPUT_LEN_INLINE);
            keep.change_key(input, &TaskRequest::default()).unwrap();
            assert_eq!(input.objects, None, "it needs none");
            input.limits.output_bytes = Some(OUTPUT_LEN_INLINE + 1);
            keep.change_key(input, &TaskRequest::default()).unwrap();
            assert!(input.objects.is_some());
        }
        assert_ne!(one.objects, other.objects);
        let drawn = one.objects.clone();
        keep.change_key(&mut one, &TaskRequest::default()).unwrap();
        assert_eq!(one.objects, drawn);
        let key = "0a".repeat(32);
        keep.change_key(&mut one, &asking(&key)).unwrap();
        assert_eq!(one.objects.as_ref().unwrap().key.0, [10; 32]);
        one.objects.as_mut().unwrap().stdin = Some(STDIN);
        keep.change_key(&mut one, &asking(&key)).unwrap();
        let refused = keep.change_key(&mut one, &asking(&"0b".repeat(32)));
        assert!(refused.is_err());
    }

    #[tokio::test]
    async fn a_standard_input_in_a_request_takes_the_place_of_an_object() {
        let folder = tempfile::tempdir().unwrap();
        let keep = keep(Some(folder.path())).await;
        let key = ObjectKey([1; 32]);
        let mut input = Input {
            objects: Some(InputObjects {
                key,
                stdin: Some(STDIN),
            }),
            ..Input::default()
        };
        keep.change_stdin(&mut input, Vec::new()).unwrap();
        assert_eq!(stdin_of(&input), Some(STDIN));
        let refused = keep.change_stdin(&mut input, vec![0; 5]);
        assert!(format!("{refused:?}").contains("PUT /tasks/{id}/stdin"));
        assert!(keep.needs_store(&input));
        keep.change_stdin(&mut input, vec![0; 4]).unwrap();
        assert_eq!(stdin_of(&input), None);
        assert!(!keep.needs_store(&input));
    }

    #[tokio::test]
    async fn much_output_needs_a_store_only_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let (with, without) = (keep(Some(folder.path())).await, keep(None).await);
        for (output_bytes, needs) in [
            (None, false),
            (Some(1024 * 1024), false),
            (Some(1024 * 1024 + 1), true),
        ] {
            let limits = AskedLimits {
                output_bytes,
                ..AskedLimits::default()
            };
            let input = Input {
                limits,
                ..Input::default()
            };
            assert_eq!(with.needs_store(&input), needs);
            assert!(!without.needs_store(&input));
        }
    }
}
