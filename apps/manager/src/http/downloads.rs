//! Objects on their way out to clients, of whom some take nothing.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use propeller_depot::DepotError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::{ApiError, OBJECT_SLOT_WAIT};
use crate::metrics::Metrics;

/// Objects on their way out at the same time: each holds up to 12 MiB of blocks of a store.
const DOWNLOADS_MAX: usize = 16;
/// Longest time in which a client takes nothing: it gives its place to others.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a client is handed at once, in bytes: a store gives 4 MiB at once, which a slow client takes
/// longer for than it may take nothing.
const SLICE_LEN: usize = 64 * 1024;

const BUSY: &str = "16 objects are being fetched already, which is the most: try again in a moment";

/// Objects on their way out.
#[derive(Debug)]
pub(super) struct Downloads {
    slots: Arc<Semaphore>,
    pumps: Mutex<JoinSet<()>>,
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
            pumps: Mutex::default(),
        }
    }
}

impl Downloads {
    /// A place for one more, which is waited for for a moment.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let slot = Arc::clone(&self.slots).acquire_owned();
        match tokio::time::timeout(OBJECT_SLOT_WAIT, slot).await {
            Ok(slot) => slot.map_err(|_| ApiError::shutting_down()),
            Err(_) => Err(ApiError::busy(BUSY)),
        }
    }

    /// A body of these bytes, which has a place until the last of them is taken. It is cut off if
    /// they fail, or if nobody takes any for long: nothing but a task of its own would notice the
    /// latter.
    pub(super) fn begin(
        &self,
        slot: OwnedSemaphorePermit,
        bytes: BoxStream<'static, Result<Bytes, DepotError>>,
        metrics: &Arc<Metrics>,
    ) -> Body {
        let (pieces, taken) = mpsc::channel(1);
        let outlet: Outlet = Arc::new(Mutex::new(Some(taken)));
        let (held, metrics) = (Arc::clone(&outlet), Arc::clone(metrics));
        let pump = async move {
            let _slot = slot;
            if pump(bytes, &pieces, &metrics).await == Pumped::Stuck {
                // With the piece that waits there: a client that holds its connection holds no more.
                *lock(&held) = None;
            }
        };
        let mut pumps = lock(&self.pumps);
        while pumps.try_join_next().is_some() {}
        pumps.spawn(pump);
        let next = move |cx: &mut std::task::Context<'_>| match &mut *lock(&outlet) {
            Some(taken) => taken.poll_recv(cx),
            None => Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into()))),
        };
        Body::from_stream(stream::poll_fn(next))
    }
}

/// Where a body gets its pieces from; nothing, once it is cut off.
type Outlet = Arc<Mutex<Option<mpsc::Receiver<io::Result<Bytes>>>>>;

/// How it went to hand pieces on.
#[derive(Debug, PartialEq, Eq)]
enum Pumped {
    /// All were taken, or nobody wants more.
    Over,
    /// Nobody took any for long.
    Stuck,
}

/// Hands pieces on until the last one is taken.
async fn pump(
    mut bytes: BoxStream<'static, Result<Bytes, DepotError>>,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    metrics: &Metrics,
) -> Pumped {
    while let Some(piece) = bytes.next().await {
        if let Err(error) = &piece {
            tracing::warn!(error = %error, cause = ?error, "an object could not be read to its end");
        }
        let mut slices = match piece {
            Ok(bytes) => slices(bytes).map(Ok).collect(),
            Err(error) => vec![Err(io::Error::other(error))],
        };
        for slice in slices.drain(..) {
            let len = slice.as_ref().map_or(0, Bytes::len);
            match tokio::time::timeout(PAUSE_MAX, pieces.send(slice)).await {
                Ok(Ok(())) => metrics.object_bytes("out", len),
                Ok(Err(_)) => return Pumped::Over,
                Err(_) => return Pumped::Stuck,
            }
        }
    }
    // There is room for one piece: when there is room again, the last one has been taken.
    match tokio::time::timeout(PAUSE_MAX, pieces.reserve()).await {
        Ok(_) => Pumped::Over,
        Err(_) => Pumped::Stuck,
    }
}

fn slices(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let slice = bytes.split_to(bytes.len().min(SLICE_LEN));
        (!slice.is_empty()).then_some(slice)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use axum::response::IntoResponse as _;

    use super::*;

    fn pieces(count: usize) -> BoxStream<'static, Result<Bytes, DepotError>> {
        let piece = || Ok(Bytes::from_static(b"x"));
        stream::repeat_with(piece).take(count).boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_loses_the_place_also_before_the_last_piece() {
        let (downloads, metrics) = (Downloads::default(), Arc::default());
        for count in [1, 2, usize::MAX] {
            let mut bodies = Vec::new();
            for _ in 0..DOWNLOADS_MAX {
                let slot = downloads.slot().await.unwrap();
                bodies.push(downloads.begin(slot, pieces(count), &metrics));
            }
            let refused = downloads.slot().await.unwrap_err();
            assert_eq!(refused, ApiError::busy(BUSY));
            let retry = refused.into_response().headers()[header::RETRY_AFTER].clone();
            assert_eq!(retry, "10");
            tokio::time::sleep(PAUSE_MAX).await;
            assert_eq!(downloads.slots.available_permits(), DOWNLOADS_MAX);
            let cut = axum::body::to_bytes(bodies.remove(0), usize::MAX).await;
            assert!(cut.is_err(), "{count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_little_at_a_time_gets_all_of_it() {
        let (downloads, metrics) = (Downloads::default(), Arc::default());
        let block = || Ok(Bytes::from(vec![7; 4 * 1024 * 1024 + 1]));
        let blocks = stream::repeat_with(block).take(3).boxed();
        let slot = downloads.slot().await.unwrap();
        let mut body = downloads.begin(slot, blocks, &metrics).into_data_stream();
        let mut len = 0;
        while let Some(piece) = body.next().await {
            let piece = piece.unwrap();
            len += piece.len();
            // 64 KiB a second.
            tokio::time::sleep(Duration::from_secs(piece.len() as u64 / 65_536)).await;
        }
        assert_eq!(len, 3 * (4 * 1024 * 1024 + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_place_gets_one_that_becomes_free() {
        let (downloads, metrics) = (Downloads::default(), Arc::default());
        let mut bodies = Vec::new();
        for _ in 0..DOWNLOADS_MAX {
            let slot = downloads.slot().await.unwrap();
            bodies.push(downloads.begin(slot, pieces(3), &metrics));
        }
        let end = async {
            tokio::time::sleep(OBJECT_SLOT_WAIT / 2).await;
            axum::body::to_bytes(bodies.remove(0), usize::MAX).await
        };
        let (whole, slot) = tokio::join!(end, downloads.slot());
        assert_eq!(whole.unwrap().len(), 3);
        drop(slot.unwrap());
        // A body that nobody wants any more.
        drop(bodies.remove(0));
        drop(downloads.slot().await.unwrap());
    }
}
