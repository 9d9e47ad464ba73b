//! A shard on its way to the manager, and for how long the manager may keep it waiting.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::upload::time_max;

/// When the manager has to have taken what there is for it, and how long it had; `None` while there
/// is nothing.
pub(crate) type Due = Option<(Instant, Duration)>;

/// A shard on its way, and how the manager keeps up with it.
pub(crate) struct Watched<S> {
    shard: Pin<Box<S>>,
    due: watch::Sender<Due>,
    timeout: Duration,
    /// How long the answer may take when all of it has been sent.
    answer_max: Duration,
    /// Length of the last piece that was handed out, in bytes: it may still be on its way.
    last: u64,
}

impl<S: Stream<Item = io::Result<Bytes>>> Watched<S> {
    /// A stream to send, and what [`overdue`] looks at.
    pub(crate) fn new(
        shard: S,
        timeout: Duration,
        answer_max: Duration,
    ) -> (Self, watch::Receiver<Due>) {
        let (due, watched) = watch::channel(Some((Instant::now() + timeout, timeout)));
        let this = Self {
            shard: Box::pin(shard),
            due,
            timeout,
            answer_max: answer_max.max(timeout),
            last: 0,
        };
        (this, watched)
    }
}

impl<S: Stream<Item = io::Result<Bytes>>> Stream for Watched<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.shard.as_mut().poll_next(cx);
        let due = match &next {
            Poll::Pending => None,
            Poll::Ready(item) => {
                if let Some(Ok(bytes)) = item {
                    self.last = bytes.len() as u64;
                }
                let usual = match item {
                    Some(_) => self.timeout,
                    None => self.answer_max,
                };
                let term = usual + time_max(self.last);
                Some((Instant::now() + term, term))
            }
        };
        self.due.send_replace(due);
        next
    }
}

/// Ends when the manager is to be given up, and says after how long.
pub(crate) async fn overdue(mut due: watch::Receiver<Due>, timeout: Duration) -> Duration {
    loop {
        let at = *due.borrow_and_update();
        let changed = match at {
            Some((at, term)) => match tokio::time::timeout_at(at, due.changed()).await {
                Ok(changed) => changed,
                Err(_) => return term,
            },
            None => due.changed().await,
        };
        if changed.is_err() {
            // Nothing more is sent: what is left is the answer.
            let last = *due.borrow();
            let (at, term) = last.unwrap_or_else(|| (Instant::now() + timeout, timeout));
            tokio::time::sleep_until(at).await;
            return term;
        }
    }
}
