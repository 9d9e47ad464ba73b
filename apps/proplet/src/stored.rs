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

mod feed;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use propeller_ces::{Audit, Event, Geometry, Key, Options, Summary, Watch, encode};
use propeller_depot::{BlockingWriter, Depot, Location, Mark, Name, OpenError, Part};
use propeller_model::AttemptId;
use propeller_sandbox::exit::Inconclusive;
use propeller_sandbox::{Exit, Job, Limit, RunError, Runtime, Status, Stdin};
use propeller_settings::store_variables;
use propeller_wire::message::{Input, ObjectKey, Output, Refusal, StoreMark, StoredObject};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

pub(crate) use feed::Feed;
use feed::Shard;

use crate::work::{self, Bench, chain};

/// How long to wait before the store is tried again that was not reached.
const AGAIN: Duration = Duration::from_secs(10);
/// Pauses before an output is given to a store again that did not take it: what a guest has
/// computed for an hour is worth minutes.
const KEEP_AGAIN: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];
/// How long all that may take.
const KEEP_MAX: Duration = Duration::from_secs(5 * 60);
/// Outputs that are sealed at a time: each has parts of its own in memory.
const KEEPS_MAX: usize = 4;
/// Threads that feed guests. One outlives its attempt by as long as the store does not answer.
const FEEDS_MAX: usize = 512;
/// Longest output that a report has room for: a task that asks for more has it in the store.
const OUTPUT_LEN_INLINE: u64 = 1024 * 1024;

const NO_STORE: &str = "the task has objects in an object store, and this proplet was given none: set \
                        PROPLET_OBJECT_STORE";

/// Why an attempt was not made.
pub(crate) type Declined = (Refusal, String);

/// What a task has in the store.
#[derive(Debug)]
pub(crate) struct Objects {
    key: ObjectKey,
    stdin: Option<StoredObject>,
}

impl Objects {
    /// Of a task that has something there, or may: only those go to whom reaches the same store.
    pub(crate) fn of(input: &Input) -> Option<Self> {
        let objects = input.objects.as_ref()?;
        let output = input.limits.output_bytes;
        let may_be_large = output.is_some_and(|most| most > OUTPUT_LEN_INLINE);
        (objects.stdin.is_some() || may_be_large).then(|| Self {
            key: objects.key.clone(),
            stdin: objects.stdin,
        })
    }
}

/// The store, as far as it is reached.
#[derive(Debug)]
pub(crate) struct Store {
    location: Location,
    /// Longer output lies in the store.
    inline_max: usize,
    reached: OnceLock<Reached>,
    feeds: Arc<Semaphore>,
    keeps: Arc<Semaphore>,
}

#[derive(Debug)]
struct Reached {
    depot: Depot,
    mark: Mark,
    /// Where threads may wait for the store: those of guests have other things to do.
    runtime: Handle,
}

impl Store {
    /// A store at `location`, which nobody has asked yet.
    ///
    /// # Errors
    /// If variables cannot be what it is reached with: no waiting mends that.
    pub(crate) fn new(
        location: Location,
        inline_max: usize,
        variables: Vec<(String, String)>,
    ) -> Result<Self, OpenError> {
        Depot::judge(&location, variables)?;
        Ok(Self {
            location,
            inline_max,
            reached: OnceLock::new(),
            feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
            keeps: Arc::new(Semaphore::new(KEEPS_MAX)),
        })
    }

    /// Which store it is, once it is reached.
    pub(crate) fn mark(&self) -> Option<StoreMark> {
        let reached = self.reached.get()?;
        Some(StoreMark(*reached.mark.as_bytes()))
    }

    /// Tries until the store is reached: it may start later than the proplet, and so may the
    /// manager that makes its mark.
    pub(crate) async fn reach(&self) {
        loop {
            let reached = async {
                let depot = Depot::open(&self.location, store_variables()).await?;
                let mark = depot.mark().await?;
                let runtime = Handle::current();
                Ok::<_, OpenError>(Reached {
                    depot,
                    mark,
                    runtime,
                })
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

    /// The same, after a pause: for whoever finds that the first one crashed.
    pub(crate) async fn reach_again(&self) {
        tokio::time::sleep(AGAIN).await;
        self.reach().await;
    }

    fn reached(&self) -> Result<&Reached, Declined> {
        let unreached = || {
            let why = "the object store is not reached";
            (Refusal::Store, why.to_owned())
        };
        self.reached.get().ok_or_else(unreached)
    }

    /// Opens an input and begins to feed it to whoever reads its pipe.
    async fn feed(
        &self,
        attempt: AttemptId,
        key: &ObjectKey,
        stdin: StoredObject,
    ) -> Result<(Stdin, Feed), Declined> {
        let Reached { depot, runtime, .. } = self.reached()?;
        let place = Arc::clone(&self.feeds).try_acquire_owned();
        let place = place.map_err(|_| {
            let why = "too many inputs are being read from the object store";
            (Refusal::Busy, why.to_owned())
        })?;
        let name = Name {
            task: attempt.task.0,
            part: Part::Stdin(stdin.name),
        };
        let crashed = |_| (Refusal::LeaseLost, "opening the input crashed".to_owned());
        let depot = depot.clone();
        let reader = runtime.spawn(async move { depot.reader(name).await }).await;
        let reader = reader.map_err(crashed)?;
        let reader = reader.map_err(|error| (Refusal::Store, chain(&error)))?;
        let reader = reader.ok_or_else(|| {
            let why = "the input is not in the object store any more";
            (Refusal::NoInput, why.to_owned())
        })?;
        let key = key.clone();
        // The place goes with the thread, which nobody stops.
        let open = move || (feed::open(Shard::new(reader), &key, stdin), place);
        let (object, place) = runtime.spawn_blocking(open).await.map_err(crashed)?;
        Feed::begin(object?, place)
    }

    /// Asks the store something, before a guest computes what may have to go there.
    async fn ask(&self) -> Result<(), Declined> {
        let Reached { depot, runtime, .. } = self.reached()?;
        let depot = depot.clone();
        let asked = runtime.spawn(async move { depot.mark().await }).await;
        let crashed = |_| (Refusal::LeaseLost, "asking the store crashed".to_owned());
        let asked = asked.map_err(crashed)?;
        asked
            .map(|_| ())
            .map_err(|error| (Refusal::Store, chain(&error)))
    }

    /// Puts an output into the store, and tries again where that does not answer.
    async fn keep(
        &self,
        attempt: AttemptId,
        key: &ObjectKey,
        stdout: Bytes,
    ) -> Result<StoredObject, Declined> {
        let Reached { depot, runtime, .. } = self.reached()?;
        let name = Name {
            task: attempt.task.0,
            part: Part::Stdout(attempt.number),
        };
        let crashed = || (Refusal::LeaseLost, "sealing the output crashed".to_owned());
        let mut pauses = KEEP_AGAIN.iter();
        loop {
            let place = Arc::clone(&self.keeps).acquire_owned().await;
            let place = place.map_err(|_| crashed())?;
            let writer = depot.writer_blocking(name);
            let (key, stdout) = (Key::from_bytes(key.0), stdout.clone());
            // The place goes with the thread, which nobody stops.
            let kept = runtime.spawn_blocking(move || {
                let sealed = seal(&stdout, &key, writer);
                drop(place);
                sealed
            });
            let why = match kept.await.map_err(|_| crashed())? {
                Ok(summary) => {
                    return Ok(StoredObject {
                        name: u64::from(attempt.number),
                        digest: summary.digest.0,
                        plain_len: summary.plain_len,
                    });
                }
                Err(why) => why,
            };
            let Some(pause) = pauses.next() else {
                return Err((Refusal::NoOutput, why));
            };
            warn!(id = %attempt.task, attempt = attempt.number, error = %why, "the object store does not take an output; trying again");
            tokio::time::sleep(*pause).await;
        }
    }
}

/// Seals an output into the store. What fails is the store: memory does not.
fn seal(stdout: &[u8], key: &Key, mut writer: BlockingWriter) -> Result<Summary, String> {
    let options = Options {
        geometry: Geometry::WHOLE,
        ..Options::new()
    };
    let watch = Watch {
        audit: Audit::to(&told),
        progress: &mut |_| (),
    };
    let summary = encode(stdout, vec![&mut writer], key, &options, watch);
    let summary = summary.map_err(|error| chain(&error))?;
    writer.finish().map_err(|error| chain(&error))?;
    Ok(summary)
}

/// Gives a job its input out of the store, if that is where it is.
pub(crate) async fn feed(
    bench: &Bench,
    attempt: AttemptId,
    objects: Option<&Objects>,
    job: &mut Job,
) -> Result<Option<Feed>, Declined> {
    let Some(Objects { key, stdin }) = objects else {
        return Ok(None);
    };
    let none = || (Refusal::Store, NO_STORE.to_owned());
    let store = bench.store.as_ref().ok_or_else(none)?;
    let Some(stdin) = stdin else {
        return store.ask().await.map(|()| None);
    };
    let (stdin, feed) = store.feed(attempt, key, *stdin).await?;
    job.stdin = stdin;
    Ok(Some(feed))
}

/// Runs a job, and says how many bytes its guest was fed. What came of a guest whose input was cut
/// off is of no use to anybody, and it does not run on. Nor does a guest answer for its time if it
/// ran out while the store was waited for.
pub(crate) async fn run(
    runtime: &dyn Runtime,
    job: Job,
    feed: Option<Feed>,
) -> Result<(Result<Exit, RunError>, u64), Declined> {
    let Some(mut feed) = feed else {
        return Ok((work::run(runtime, job).await, 0));
    };
    let ran = tokio::select! {
        ran = work::run(runtime, job) => ran,
        why = feed.failed() => return Err(why),
    };
    let is_late = match &ran {
        Ok(exit) => feed.is_held_up() && is_out_of_time(&exit.status),
        Err(error) => matches!(error, RunError::StdinTime(_)),
    };
    // A guest that has seen the end of its input ended after the feed did. For all others it does
    // not matter how that ends, and they do not wait for it.
    let fed = feed.so_far()?;
    match is_late {
        true => {
            let why = "the store did not give the input within the time of the task: give it more \
                       with --timeout (limits.wall_ms)";
            Err((Refusal::NoInput, why.to_owned()))
        }
        false => Ok((ran, fed)),
    }
}

fn is_out_of_time(status: &Status) -> bool {
    match status {
        Status::LimitHit(hit) | Status::Inconclusive(Inconclusive::LimitHit(hit)) => {
            hit.limit == Limit::WallClock
        }
        _ => false,
    }
}

/// Brings a large output into the store.
pub(crate) async fn put_away(
    bench: &Bench,
    attempt: AttemptId,
    objects: Option<&Objects>,
    output: &mut Output,
) -> Result<(), Declined> {
    let (Some(store), Some(objects)) = (&bench.store, objects) else {
        return Ok(());
    };
    if output.stdout.len() <= store.inline_max {
        return Ok(());
    }
    let stdout = Bytes::from(std::mem::take(&mut output.stdout).into_vec());
    let kept = tokio::time::timeout(KEEP_MAX, store.keep(attempt, &objects.key, stdout)).await;
    let late = |_| {
        let why = "the object store does not take the output";
        (Refusal::NoOutput, why.to_owned())
    };
    output.stdout_object = Some(kept.map_err(late)??);
    Ok(())
}

/// What is done with keys of objects is in the log, at the level of what happens to each attempt.
fn told(event: &Event) {
    debug!(target: "security", action = ?event.action, key = %event.key, object = ?event.object, "key of an object used");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_no_waiting_makes_reachable_keeps_a_proplet_from_starting() {
        for (name, value) in [
            ("AWS_ENDPOINT", "localhost:9000"),
            ("AWS_ENDPOINT", "http://store.example"),
            ("AWS_SECRET_ACCESS_KEY", "secret\n"),
        ] {
            let variables = vec![(name.to_owned(), value.to_owned())];
            let refused = Store::new("s3://b".parse().unwrap(), 0, variables).unwrap_err();
            assert!(!refused.may_pass(), "{refused}");
            assert!(!refused.to_string().contains("secret"), "{refused}");
        }
        // A folder may be made later.
        Store::new("/nowhere".parse().unwrap(), 0, Vec::new()).unwrap();
    }
}
