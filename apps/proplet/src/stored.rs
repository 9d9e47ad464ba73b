//! Inputs and outputs that are too large for a message: CES objects in the operator's store.
//!
//! ```text
//!  store ──▶ a thread of its own: digest, key, decode ──▶ pipe ──▶ guest
//!                                                                     │ output, if it is large
//!  store ◀── encode, under the task's key ◀───────────────────────────┘
//! ```
//!
//! Plaintext is in memory only, a few segments of it. Whatever goes wrong with either, the attempt
//! was not made: a guest cannot tell the end of its input from an end by a failure.

use std::io::{self, ErrorKind, PipeWriter};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use propeller_ces::{
    Audit, Digest, Event, Geometry, Key, KeyRing, Object, Options, ReadError, Threads, Wanted,
    Watch, encode,
};
use propeller_depot::{Depot, Location, Mark, Name, OpenError, Part, Reader};
use propeller_model::AttemptId;
use propeller_sandbox::{Exit, Job, RunError, Runtime, Stdin};
use propeller_settings::store_variables;
use propeller_wire::message::{InputObjects, ObjectKey, Output, StoreMark, StoredObject};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use crate::work::{self, Bench, chain};

/// How long to wait before the store is tried again that was not reached.
const AGAIN: Duration = Duration::from_secs(10);

const NO_STORE: &str = "the input is in the object store, and this proplet was given none: set \
                        PROPLET_OBJECT_STORE";

/// The store, as far as it is reached.
#[derive(Debug)]
pub(crate) struct Store {
    location: Location,
    /// Longer output lies in the store.
    pub(crate) inline_max: usize,
    reached: OnceLock<(Depot, Mark)>,
}

impl Store {
    pub(crate) fn new(location: Location, inline_max: usize) -> Self {
        Self {
            location,
            inline_max,
            reached: OnceLock::new(),
        }
    }

    /// Which store it is, once it is reached.
    pub(crate) fn mark(&self) -> Option<StoreMark> {
        let (_, mark) = self.reached.get()?;
        Some(StoreMark(*mark.as_bytes()))
    }

    /// Tries until the store is reached: it may start later than the proplet, and so may the
    /// manager that makes its mark.
    pub(crate) async fn reach(&self) {
        loop {
            let reached = async {
                let depot = Depot::open(&self.location, store_variables()).await?;
                let mark = depot.mark().await?;
                Ok::<_, OpenError>((depot, mark))
            };
            match reached.await {
                Ok(reached) => {
                    info!(store = %self.location, "the object store is reached");
                    self.reached.set(reached).ok();
                    return;
                }
                Err(error) => {
                    warn!(store = %self.location, error = %chain(&error), "the object store is not reached; trying again");
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn depot(&self) -> Result<&Depot, String> {
        let (depot, _) = self
            .reached
            .get()
            .ok_or("the object store is not reached")?;
        Ok(depot)
    }

    /// Opens an input and begins to feed it to whoever reads its pipe.
    pub(crate) async fn feed(
        &self,
        attempt: AttemptId,
        key: &ObjectKey,
        stdin: StoredObject,
    ) -> Result<(Stdin, Feed), String> {
        let name = Name {
            task: attempt.task.0,
            part: Part::Stdin(stdin.name),
        };
        let reader = self.depot()?.reader(name).await;
        let reader = reader.map_err(|error| chain(&error))?;
        let reader = reader.ok_or("the input is not in the object store any more")?;
        let key = key.clone();
        let object = tokio::task::spawn_blocking(move || opened(reader, &key, stdin)).await;
        let object = object.map_err(|_| "opening the input failed")??;
        let (read, write) = io::pipe().map_err(|error| format!("no pipe: {error}"))?;
        Ok((Stdin::from(read), Feed::begin(object, write)?))
    }

    /// Puts an output into the store.
    pub(crate) async fn keep(
        &self,
        attempt: AttemptId,
        key: &ObjectKey,
        stdout: Vec<u8>,
    ) -> Result<StoredObject, String> {
        let name = Name {
            task: attempt.task.0,
            part: Part::Stdout(attempt.number),
        };
        let mut writer = self.depot()?.writer_blocking(name);
        let key = Key::from_bytes(key.0);
        let keep = move || {
            let options = Options {
                geometry: Geometry::new(1, 0).map_err(|error| error.to_string())?,
                ..Options::new()
            };
            let watch = Watch {
                audit: Audit::to(&told),
                progress: &mut |_| (),
            };
            let summary = encode(&stdout[..], vec![&mut writer], &key, &options, watch);
            let summary = summary.map_err(|error| chain(&error))?;
            writer.finish().map_err(|error| chain(&error))?;
            Ok(StoredObject {
                name: u64::from(attempt.number),
                digest: summary.digest.0,
                plain_len: summary.plain_len,
            })
        };
        let kept = tokio::task::spawn_blocking(keep).await;
        kept.map_err(|_| "sealing the output failed")?
    }
}

/// Gives a job its input out of the store, if that is where it is.
pub(crate) async fn feed(
    bench: &Bench,
    attempt: AttemptId,
    objects: Option<&InputObjects>,
    job: &mut Job,
) -> Result<Option<Feed>, String> {
    let Some(InputObjects {
        key,
        stdin: Some(stdin),
    }) = objects
    else {
        return Ok(None);
    };
    let store = bench.store.as_ref().ok_or(NO_STORE)?;
    let (stdin, feed) = store.feed(attempt, key, *stdin).await?;
    job.stdin = stdin;
    Ok(Some(feed))
}

/// Runs a job, and says how many bytes its guest was fed. What came of a guest whose input was cut
/// off is of no use to anybody, and it does not run on.
pub(crate) async fn run(
    runtime: &dyn Runtime,
    job: Job,
    feed: Option<Feed>,
) -> Result<(Result<Exit, RunError>, u64), String> {
    let Some(mut feed) = feed else {
        return Ok((work::run(runtime, job).await, 0));
    };
    let ran = tokio::select! {
        ran = work::run(runtime, job) => ran,
        why = feed.failed() => return Err(why),
    };
    // The job is gone, and its end of the pipe: the feed ends, if it has not.
    let fed = feed.ended().await?;
    Ok((ran, fed))
}

/// Brings a large output into the store, if there is one.
pub(crate) async fn put_away(
    bench: &Bench,
    attempt: AttemptId,
    objects: Option<&InputObjects>,
    output: &mut Output,
) -> Result<(), String> {
    let (Some(store), Some(objects)) = (&bench.store, objects) else {
        return Ok(());
    };
    if output.stdout.len() <= store.inline_max {
        return Ok(());
    }
    let stdout = std::mem::take(&mut output.stdout).into_vec();
    output.stdout_object = Some(store.keep(attempt, &objects.key, stdout).await?);
    Ok(())
}

/// An input on its way to a guest.
#[derive(Debug)]
pub(crate) struct Feed {
    ends: oneshot::Receiver<Result<u64, String>>,
    ended: Option<Result<u64, String>>,
}

impl Feed {
    /// A thread for each, because it waits for its guest most of the time; there are no more of them
    /// than attempts.
    fn begin(mut object: Object<Reader>, mut guest: PipeWriter) -> Result<Self, String> {
        let (end, ends) = oneshot::channel();
        let feed = move || {
            let mut fed = 0;
            let mut progress = |bytes| fed = bytes;
            let read = object.read_to(&mut guest, Threads::ONE, &mut progress);
            let ended = match read {
                Ok(()) => Ok(object.plain_len()),
                // Guests need not read all that they are given.
                Err(ReadError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(fed),
                Err(error) => Err(format!("the input is cut off: {}", chain(&error))),
            };
            // Before the pipe is closed, so that whoever has seen its end knows what kind it was.
            end.send(ended).ok();
            drop(guest);
        };
        let thread = thread::Builder::new().name("stdin".to_owned()).spawn(feed);
        thread.map_err(|error| format!("no thread for the input: {error}"))?;
        Ok(Self { ends, ended: None })
    }

    /// How it ended: how many bytes the guest was given, or why not all that it wanted.
    pub(crate) async fn ended(&mut self) -> Result<u64, String> {
        if self.ended.is_none() {
            let ended = (&mut self.ends).await;
            self.ended = Some(ended.unwrap_or_else(|_| Err("feeding the input failed".to_owned())));
        }
        self.ended.clone().expect("it was just set")
    }

    /// Waits until it fails, which may be never.
    pub(crate) async fn failed(&mut self) -> String {
        match self.ended().await {
            Err(why) => why,
            Ok(_) => std::future::pending().await,
        }
    }
}

/// The object, if it is the one that the task names.
fn opened(reader: Reader, key: &ObjectKey, stdin: StoredObject) -> Result<Object<Reader>, String> {
    let keys = KeyRing::reading([Key::from_bytes(key.0)]).map_err(|error| chain(&error))?;
    let wanted = Wanted {
        digest: Some(Digest(stdin.digest)),
        ..Wanted::default()
    };
    let object = Object::open(vec![reader], &keys, wanted, Audit::to(&told));
    let object = object.map_err(|error| chain(&error))?;
    match object.plain_len() == stdin.plain_len {
        true => Ok(object),
        false => Err("the input has another length than the task says".to_owned()),
    }
}

/// What is done with keys of objects is in the log, at the level of what happens to each attempt.
fn told(event: &Event) {
    debug!(target: "security", action = ?event.action, key = %event.key, object = ?event.object, "key of an object used");
}
