//! Reads on when a request is answered before it was read to its end, so that its client gets the
//! answer.
//!
//! Closed with unread bytes, a connection is reset, and a client that is still sending may never see
//! what was written before (RFC 9112, section 9.6). What is read here is thrown away, and no more
//! of it than a client sends that stops when it is told to.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::{Stream, StreamExt as _};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// How much is read of a request that is answered already, in bytes: more than any module, because
/// some clients look for an answer only when they have sent everything.
const DRAIN_LEN_MAX: u64 = 128 * 1024 * 1024;
/// How long that may take.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);
/// Longest pause in it.
const DRAIN_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Requests that are read on with at the same time. Others are closed as they are.
const DRAINS_MAX: usize = 64;

/// Requests that are read on with. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Lingering {
    places: Arc<Semaphore>,
    drains: Arc<Mutex<JoinSet<()>>>,
}

impl Default for Lingering {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(DRAINS_MAX)),
            drains: Arc::default(),
        }
    }
}

/// Whether a body was read to its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Read(Arc<AtomicBool>);

impl Read {
    fn note(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Has the client of a request that was refused before it was read to its end stop sending it: it
    /// may send its next one over another connection.
    pub(super) fn finish(&self, mut response: Response) -> Response {
        let status = response.status();
        let is_refused = status.is_client_error() || status.is_server_error();
        if is_refused && !self.0.load(Ordering::Acquire) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

impl Lingering {
    /// The same body, which is read on with when whoever reads it stops.
    pub(super) fn body(&self, headers: &HeaderMap, body: Body) -> (Body, Read) {
        let read = Read::default();
        if body.is_end_stream() {
            read.note();
            return (body, read);
        }
        let unread = Unread {
            body: Some(body.into_data_stream()),
            is_coming: !headers.contains_key(header::EXPECT),
            read: read.clone(),
            lingering: self.clone(),
        };
        (Body::from_stream(unread), read)
    }

    fn linger(&self, body: BodyDataStream) {
        let place = Arc::clone(&self.places).try_acquire_owned();
        // A body may outlive what it came over.
        let (Ok(place), Ok(runtime)) = (place, Handle::try_current()) else {
            return;
        };
        let mut drains = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        while drains.try_join_next().is_some() {}
        let drain = async move {
            let _place = place;
            // It ends by itself, or is closed as it is.
            let _overdue = tokio::time::timeout(DRAIN_TIME_MAX, drain(body)).await;
        };
        drains.spawn_on(drain, &runtime);
    }
}

/// A body that is not read to its end yet.
struct Unread {
    body: Option<BodyDataStream>,
    /// Whether its client sends it, and does not wait to be asked for it (RFC 9110, section 10.1.1).
    is_coming: bool,
    read: Read,
    lingering: Lingering,
}

impl Stream for Unread {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.is_coming = true;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let piece = ready!(body.poll_next_unpin(cx));
        if !matches!(piece, Some(Ok(_))) {
            // That was all, or the connection is gone.
            self.body = None;
            self.read.note();
        }
        Poll::Ready(piece)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && self.is_coming
        {
            self.lingering.linger(body);
        }
    }
}

async fn drain(mut body: BodyDataStream) -> io::Result<()> {
    let mut len = 0;
    while len < DRAIN_LEN_MAX {
        match tokio::time::timeout(DRAIN_PAUSE_MAX, body.next()).await? {
            Some(Ok(piece)) => len += piece.len() as u64,
            Some(Err(_)) | None => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::*;

    /// A body, what fills it, and whether anybody still wants it.
    fn body() -> (Body, mpsc::Sender<Result<Bytes, io::Error>>) {
        let (sender, mut pieces) = mpsc::channel(1);
        let stream = stream::poll_fn(move |cx| pieces.poll_recv(cx));
        (Body::from_stream(stream), sender)
    }

    fn piece(len: usize) -> Result<Bytes, io::Error> {
        Ok(Bytes::from(vec![0; len]))
    }

    fn is_closed(read: &Read) -> bool {
        let whole = read.finish(Response::new(Body::empty()));
        assert!(!whole.headers().contains_key(header::CONNECTION));
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        let refused = read.finish(refused);
        refused.headers().contains_key(header::CONNECTION)
    }

    #[tokio::test]
    async fn what_waits_to_be_asked_for_is_not_asked_for() {
        let places = Lingering::default();
        let mut headers = HeaderMap::new();
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        let (raw, sender) = body();
        drop(places.body(&headers, raw));
        assert!(sender.is_closed());
        let (raw, sender) = body();
        let (wrapped, _) = places.body(&headers, raw);
        let mut wrapped = wrapped.into_data_stream();
        sender.send(piece(1)).await.unwrap();
        assert_eq!(wrapped.next().await.unwrap().unwrap().len(), 1);
        drop(wrapped);
        assert!(!sender.is_closed());
    }

    #[tokio::test]
    async fn what_nobody_reads_is_read_on_with_up_to_a_bound() {
        let places = Lingering::default();
        let (raw, sender) = body();
        let (wrapped, read) = places.body(&HeaderMap::new(), raw);
        let mut wrapped = wrapped.into_data_stream();
        sender.send(piece(1)).await.unwrap();
        assert_eq!(wrapped.next().await.unwrap().unwrap().len(), 1);
        drop(wrapped);
        assert!(is_closed(&read), "its client is told to stop");
        let mib = 1024 * 1024;
        let mut taken = 0;
        while sender.send(piece(mib)).await.is_ok() {
            taken += mib as u64;
        }
        assert!((DRAIN_LEN_MAX..DRAIN_LEN_MAX + 4 * mib as u64).contains(&taken));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_nothing_or_slowly_is_let_go() {
        let places = Lingering::default();
        for (pause, patience) in [
            (Duration::from_secs(3600), DRAIN_PAUSE_MAX),
            (Duration::from_secs(4), DRAIN_TIME_MAX),
        ] {
            let (raw, sender) = body();
            drop(places.body(&HeaderMap::new(), raw));
            let begun = tokio::time::Instant::now();
            loop {
                tokio::select! {
                    () = sender.closed() => break,
                    () = tokio::time::sleep(pause) => sender.try_send(piece(1)).unwrap(),
                }
            }
            assert_eq!(begun.elapsed(), patience);
        }
        assert_eq!(places.places.available_permits(), DRAINS_MAX);
    }

    #[tokio::test]
    async fn only_so_many_are_read_on_with() {
        let places = Lingering::default();
        let mut senders = Vec::new();
        for _ in 0..=DRAINS_MAX {
            let (raw, sender) = body();
            drop(places.body(&HeaderMap::new(), raw));
            senders.push(sender);
        }
        assert!(senders.pop().unwrap().is_closed());
        assert!(senders.iter().all(|sender| !sender.is_closed()));
    }

    #[tokio::test]
    async fn a_body_that_was_read_keeps_its_connection() {
        let places = Lingering::default();
        let (empty, read) = places.body(&HeaderMap::new(), Body::empty());
        assert!(empty.is_end_stream() && !is_closed(&read));
        let (whole, read) = places.body(&HeaderMap::new(), Body::from("all of it"));
        let bytes = axum::body::to_bytes(whole, usize::MAX).await.unwrap();
        assert_eq!(bytes, "all of it");
        assert!(!is_closed(&read));
    }
}
