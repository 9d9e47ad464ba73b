//! Objects on their way in from clients, of whom some send little.
//!
//! An input may come as slowly as what makes it, while there is room for others. When there is none,
//! whoever has sent next to nothing for half a minute gives its place to who waits.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{ApiError, OBJECT_SLOT_WAIT};

/// Objects on their way in at the same time: each holds up to 96 MiB of parts for a store.
const UPLOADS_MAX: usize = 4;
/// Less than that is next to nothing, in bytes.
const STEP_LEN: u64 = 64 * 1024;
/// How long next to nothing may come when others wait.
const SLOW_MAX: Duration = Duration::from_secs(30);
/// How long next to nothing may come when nobody waits: a client that is gone without a word is let
/// go of as well.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// How often whoever waits looks for a place that could be given up.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const BUSY: &str = "4 objects are being uploaded already, which is the most: try again in a moment";

/// Objects on their way in.
#[derive(Debug)]
pub(super) struct Uploads {
    places: Arc<Semaphore>,
    held: Arc<Mutex<Vec<Arc<Held>>>>,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(UPLOADS_MAX)),
            held: Arc::default(),
        }
    }
}

/// What others see of an upload.
#[derive(Debug)]
struct Held {
    /// Since when it has been waited for [`STEP_LEN`] bytes more: nothing while something else than
    /// its client is waited for, such as the store.
    since: Mutex<Option<Instant>>,
    /// Another one waits for the place.
    wanted: Notify,
}

/// A place for an object on its way in.
#[derive(Debug)]
pub(super) struct Upload {
    held: Arc<Held>,
    all: Arc<Mutex<Vec<Arc<Held>>>>,
    /// Bytes since the last step.
    len: u64,
    /// How long they were waited for.
    waited: Duration,
    _place: OwnedSemaphorePermit,
}

impl Uploads {
    /// A place for one more, which is waited for for a moment.
    pub(super) async fn begin(&self) -> Result<Upload, ApiError> {
        let deadline = Instant::now() + OBJECT_SLOT_WAIT;
        // One for all looks: whoever waits keeps its turn.
        let mut place = pin!(Arc::clone(&self.places).acquire_owned());
        loop {
            match tokio::time::timeout(LOOK_EVERY, place.as_mut()).await {
                Ok(Ok(place)) => return Ok(self.enter(place)),
                Ok(Err(_)) => return Err(ApiError::shutting_down()),
                Err(_) if Instant::now() >= deadline => return Err(ApiError::busy(BUSY)),
                Err(_) => self.ask_for_a_place(),
            }
        }
    }

    fn enter(&self, place: OwnedSemaphorePermit) -> Upload {
        let held = Arc::new(Held {
            since: Mutex::default(),
            wanted: Notify::new(),
        });
        lock(&self.held).push(Arc::clone(&held));
        Upload {
            held,
            all: Arc::clone(&self.held),
            len: 0,
            waited: Duration::ZERO,
            _place: place,
        }
    }

    /// Asks the slowest for its place, unless it is not slow, or somebody has been asked already.
    fn ask_for_a_place(&self) {
        let mut held = lock(&self.held);
        if held.len() < UPLOADS_MAX {
            return;
        }
        let since = held.iter().map(|held| *lock(&held.since)).enumerate();
        let slowest = since
            .filter_map(|(index, since)| Some((since?, index)))
            .min();
        if let Some((since, index)) = slowest
            && since.elapsed() >= SLOW_MAX
        {
            held.remove(index).wanted.notify_one();
        }
    }
}

impl Upload {
    /// The next piece of a body.
    ///
    /// # Errors
    /// 408 if it comes too slowly, and 400 if it breaks off.
    pub(super) async fn next(
        &mut self,
        body: &mut BodyDataStream,
    ) -> Result<Option<Bytes>, ApiError> {
        let now = Instant::now();
        let since = now.checked_sub(self.waited).unwrap_or(now);
        *lock(&self.held.since) = Some(since);
        let piece = tokio::select! {
            piece = body.next() => piece,
            () = self.held.wanted.notified() => return Err(too_slow("others wait for its place")),
            () = tokio::time::sleep_until(since + PAUSE_MAX) => {
                return Err(too_slow("less than 64 KiB came within an hour"));
            }
        };
        *lock(&self.held.since) = None;
        let piece = piece.transpose().map_err(|error| {
            ApiError::invalid(format!("the object was not sent to its end: {error}"))
        })?;
        self.len += piece.as_ref().map_or(0, Bytes::len) as u64;
        self.waited = since.elapsed();
        if self.len >= STEP_LEN {
            (self.len, self.waited) = (0, Duration::ZERO);
        }
        Ok(piece)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        lock(&self.all).retain(|held| !Arc::ptr_eq(held, &self.held));
    }
}

fn too_slow(why: &str) -> ApiError {
    let detail = format!(
        "the input came too slowly, and {why}: write it to a file first, and send that when it is \
         complete"
    );
    ApiError::new(StatusCode::REQUEST_TIMEOUT, detail)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::stream;
    use tokio::task::JoinSet;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A body that sends so much, so often.
    fn body(len: usize, every: Duration) -> BodyDataStream {
        let pieces = stream::repeat_with(move || Bytes::from(vec![0; len]));
        let pieces = pieces.then(move |piece| async move {
            tokio::time::sleep(every).await;
            Ok::<_, std::io::Error>(piece)
        });
        Body::from_stream(pieces).into_data_stream()
    }

    /// Takes a body until it is refused.
    async fn take(mut upload: Upload, mut body: BodyDataStream) -> ApiError {
        loop {
            if let Err(error) = upload.next(&mut body).await {
                return error;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_may_take_its_time_while_nobody_waits() {
        let uploads = Uploads::default();
        let upload = uploads.begin().await.unwrap();
        let slow = body(1024 * 1024, PAUSE_MAX - SECOND);
        let taking = tokio::time::timeout(10 * PAUSE_MAX, take(upload, slow));
        assert!(taking.await.is_err(), "it goes on");
        let upload = uploads.begin().await.unwrap();
        let begun = Instant::now();
        let refused = take(upload, body(1, 60 * SECOND)).await;
        assert!(format!("{refused:?}").contains("within an hour"));
        assert_eq!(begun.elapsed(), PAUSE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_gives_its_place_to_who_waits() {
        let uploads = Uploads::default();
        let mut taking = JoinSet::new();
        for len in [1024 * 1024, 1024 * 1024, 1, 1024 * 1024] {
            let upload = uploads.begin().await.unwrap();
            taking.spawn(take(upload, body(len, SECOND)));
        }
        let refused = uploads.begin().await.unwrap_err();
        assert_eq!(refused, ApiError::busy(BUSY), "nobody is slow yet");
        tokio::time::sleep(SLOW_MAX).await;
        let fifth = uploads.begin().await.unwrap();
        let gone = taking.join_next().await.unwrap().unwrap();
        assert!(format!("{gone:?}").contains("write it to a file first"));
        let refused = uploads.begin().await.unwrap_err();
        assert_eq!(refused, ApiError::busy(BUSY), "the others are fast");
        assert!(taking.try_join_next().is_none());
        drop(fifth);
        drop(uploads.begin().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_store_is_no_fault_of_who_sends() {
        let uploads = Uploads::default();
        let mut held = Vec::new();
        for _ in 0..UPLOADS_MAX {
            let mut upload = uploads.begin().await.unwrap();
            let mut body = body(1024 * 1024, SECOND);
            upload.next(&mut body).await.unwrap();
            held.push((upload, body));
        }
        // They write for a minute.
        tokio::time::sleep(2 * SLOW_MAX).await;
        assert_eq!(uploads.begin().await.unwrap_err(), ApiError::busy(BUSY));
        for (upload, body) in &mut held {
            upload.next(body).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_sends_away_no_more_than_it_needs() {
        let uploads = Uploads::default();
        let mut taking = JoinSet::new();
        for _ in 0..UPLOADS_MAX {
            let upload = uploads.begin().await.unwrap();
            taking.spawn(take(upload, body(1, SECOND)));
        }
        tokio::time::sleep(SLOW_MAX).await;
        let fifth = uploads.begin().await.unwrap();
        tokio::time::sleep(SLOW_MAX / 2).await;
        assert!(taking.try_join_next().is_some());
        assert!(taking.try_join_next().is_none());
        drop(fifth);
    }
}
