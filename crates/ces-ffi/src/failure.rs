//! Why a call failed, and where its caller learns it.

use std::any::Any;
use std::cell::RefCell;
use std::error::Error;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use propeller_ces::{
    EncodeError, GatherError, KeyError, ObjectError, RandomError, ReadError, RepairError,
    RingError, RotateError, WitnessError,
};

/// What came of a call. The text to it is in `ces_last_error()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub enum Status {
    /// It is done.
    Ok = 0,
    /// A pointer that must not be NULL is NULL.
    Null = 1,
    /// An argument is outside what it may be.
    Argument = 2,
    /// There is no key where one is looked for, or what is there is none.
    Key = 3,
    /// The object's key is not among those at hand.
    KeyNotAtHand = 4,
    /// The object is there, and is not what it was to be: another environment's, another version,
    /// or written wrong by somebody who has its key. Nothing of it is to be used.
    Refused = 5,
    /// Too many shards are bad or missing. The text lists them.
    Lost = 6,
    /// The object ends before the range that was asked for does.
    Range = 7,
    /// A callback said that it failed.
    Callback = 8,
    /// The system gave no memory, no randomness or no thread.
    System = 9,
    /// The handle failed before or is finished: free it; or it is in use, by another thread or by the
    /// call whose callback came back to it.
    Spent = 10,
    /// A bug in this library. The handle is not to be used again: free it.
    Panic = 11,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) status: Status,
    message: String,
}

impl Failure {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }

    pub(crate) fn argument(message: impl Into<String>) -> Self {
        Self::new(Status::Argument, message)
    }

    fn of(status: Status, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message = format!("{message}: {error}");
            source = error.source();
        }
        Self { status, message }
    }

    /// The failure of a call with an argument that `error` describes.
    pub(crate) fn of_argument(error: &dyn Error) -> Self {
        Self::of(Status::Argument, error)
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::of(Status::Key, &error)
    }
}

impl From<RandomError> for Failure {
    fn from(error: RandomError) -> Self {
        Self::of(Status::System, &error)
    }
}

impl From<RingError> for Failure {
    fn from(error: RingError) -> Self {
        let status = match error {
            RingError::Missing { .. } => Status::KeyNotAtHand,
            _ => Status::Argument,
        };
        Self::of(status, &error)
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        let status = match error {
            EncodeError::Input(_) | EncodeError::Shard { .. } => Status::Callback,
            EncodeError::Label { .. } => Status::Refused,
            EncodeError::Seal(_) | EncodeError::Random(_) => Status::System,
            _ => Status::Argument,
        };
        Self::of(status, &error)
    }
}

fn of_gather(error: &GatherError) -> Status {
    match error {
        GatherError::Ambiguous { .. } => Status::Argument,
        GatherError::Label { .. } => Status::Refused,
        _ => Status::Lost,
    }
}

fn of_read(error: &ReadError) -> Status {
    match error {
        ReadError::Lost { .. } | ReadError::LostRecord { .. } => Status::Lost,
        ReadError::Range { .. } => Status::Range,
        ReadError::Output(_) => Status::Callback,
        _ => Status::Refused,
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::of(of_read(&error), &error)
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Self {
        let status = match &error {
            ObjectError::Gather(error) => of_gather(error),
            ObjectError::Missing { .. } => Status::KeyNotAtHand,
            ObjectError::Read(error) => of_read(error),
            _ => Status::Refused,
        };
        Self::of(status, &error)
    }
}

fn of_witness(error: &WitnessError) -> Status {
    match error {
        WitnessError::Gather(error) => of_gather(error),
        WitnessError::Disagreement { .. } => Status::Lost,
        _ => Status::Refused,
    }
}

impl From<WitnessError> for Failure {
    fn from(error: WitnessError) -> Self {
        Self::of(of_witness(&error), &error)
    }
}

impl From<RepairError> for Failure {
    fn from(error: RepairError) -> Self {
        let status = match &error {
            RepairError::Witness(error) => of_witness(error),
            RepairError::NoSuchShard(_) | RepairError::Twice { .. } => Status::Argument,
            RepairError::Lost { .. } => Status::Lost,
            RepairError::Sink { .. } => Status::Callback,
            _ => Status::Refused,
        };
        Self::of(status, &error)
    }
}

impl From<RotateError> for Failure {
    fn from(error: RotateError) -> Self {
        let status = match &error {
            RotateError::Header(_) => Status::Lost,
            RotateError::Missing { .. } => Status::KeyNotAtHand,
            _ => Status::Refused,
        };
        Self::of(status, &error)
    }
}

impl From<propeller_ces::v0::ReconstructError> for Failure {
    fn from(error: propeller_ces::v0::ReconstructError) -> Self {
        use propeller_ces::v0::ReconstructError as E;
        let status = match &error {
            E::TooMany { .. } | E::TooLong { .. } => Status::Argument,
            E::Frame(_) | E::Label { .. } => Status::Refused,
            _ => Status::Lost,
        };
        Self::of(status, &error)
    }
}

thread_local! {
    static LAST: RefCell<Option<(Status, CString)>> = const { RefCell::new(None) };
}

/// Forgets what failed before, and remembers this.
fn remember(failure: Option<&Failure>) {
    let text = failure.map(|failure| {
        let bytes = failure.message.replace('\0', "\u{fffd}");
        let text = CString::new(bytes).expect("it has no NUL any more");
        (failure.status, text)
    });
    // A call from a thread that is ending loses its text, and nothing else.
    let _ = LAST.try_with(|last| *last.borrow_mut() = text);
}

/// The text of this thread's last call, or NULL if it did not fail.
pub(crate) fn last() -> *const c_char {
    let text = LAST.try_with(|last| last.borrow().as_ref().map(|(_, text)| text.as_ptr()));
    text.ok().flatten().unwrap_or_else(ptr::null)
}

/// The status of this thread's last call.
pub(crate) fn last_status() -> Status {
    let status = LAST.try_with(|last| last.borrow().as_ref().map(|(status, _)| *status));
    status.ok().flatten().unwrap_or(Status::Ok)
}

/// Runs what stands behind a function of the ABI; gives `otherwise` if it fails or panics.
pub(crate) fn value<T>(otherwise: T, run: impl FnOnce() -> Result<T, Failure>) -> T {
    match caught(run) {
        Ok(value) => {
            remember(None);
            value
        }
        Err(failure) => {
            remember(Some(&failure));
            otherwise
        }
    }
}

/// Runs what stands behind a function of the ABI that gives a status.
pub(crate) fn status(run: impl FnOnce() -> Result<(), Failure>) -> Status {
    let ended = caught(run);
    remember(ended.as_ref().err());
    match ended {
        Ok(()) => Status::Ok,
        Err(failure) => failure.status,
    }
}

/// Runs what cannot fail, such as freeing; the text of the last failure stays.
pub(crate) fn quietly(run: impl FnOnce()) {
    let ended = caught(|| {
        run();
        Ok(())
    });
    if let Err(failure) = ended {
        remember(Some(&failure));
    }
}

/// What panicked is told, and not used again: see [`Status::Panic`].
pub(crate) fn caught<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = format!("a bug in the library, please report it: {}", text(&*panic));
        // Dropping what was thrown may throw again.
        std::mem::forget(panic);
        Err(Failure::new(Status::Panic, message))
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "it has no text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_with_its_text() {
        assert_eq!(status(|| panic!("number {}", 7)), Status::Panic);
        assert_eq!(value(3, || panic!("again")), 3);
        let failure = caught::<()>(|| panic!("number {}", 7)).unwrap_err();
        assert!(failure.to_string().ends_with("number 7"), "{failure}");
    }

    #[test]
    fn a_text_is_remembered_until_the_next_call() {
        assert!(last().is_null());
        let failed = status(|| Err(Failure::argument("no\0good")));
        assert_eq!(failed, Status::Argument);
        assert!(!last().is_null());
        quietly(|| ());
        assert!(!last().is_null());
        assert_eq!(status(|| Ok(())), Status::Ok);
        assert!(last().is_null());
    }

    #[test]
    fn a_failure_tells_its_causes() {
        let error = EncodeError::Input(std::io::Error::other("the disk is on fire"));
        let failure = Failure::from(error);
        assert_eq!(failure.status, Status::Callback);
        let text = failure.to_string();
        assert_eq!(text, "cannot read the input: the disk is on fire");
    }
}
