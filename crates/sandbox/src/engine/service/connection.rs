//! One connection of a service: requests one after the other, each with a guest of its own.
//!
//! A connection takes one of few places, so nobody may keep one for nothing: a client has
//! [`HEAD_MAX`] for the head of a request, and [`READ_MAX`] for the rest of a response when its
//! guest's time is over; and when all places are taken, one that has no request at hand goes after
//! [`IDLE_MIN`].

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinSet;
use wasmtime_wasi_http::io::TokioIo;

use super::answer::Ended;
use super::request::{head_bytes, line};
use super::{Answer, Failed, PLACE_WAIT_MAX, Serving};
use crate::excerpt::excerpt_of;

/// How long a client may take to send the head of a request, also of the next one.
const HEAD_MAX: Duration = Duration::from_secs(30);

/// How long a connection without a request at hand may stay when there is no place for others.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// How long the head of a request may be, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long a client may take to read what is left when the guest's time is over.
const READ_MAX: Duration = Duration::from_secs(10);

/// How long a guest may go on when its client has gone with the whole response.
const AFTERWARDS_MAX: Duration = Duration::from_secs(1);

/// One client.
pub(super) struct Connection {
    serving: Arc<Serving>,
    /// The guest of the request at hand, or of the one before. There is one at a time.
    guest: Mutex<JoinSet<Result<(), Failed>>>,
    /// When the request at hand has to be over.
    over: watch::Sender<Option<Instant>>,
}

impl Connection {
    pub(super) fn new(serving: Arc<Serving>) -> Self {
        Self {
            serving,
            guest: Mutex::default(),
            over: watch::Sender::new(None),
        }
    }

    /// Serves `stream` until its client has gone or has taken too long.
    pub(super) async fn live(self, stream: TcpStream) {
        // A response is small writes; waiting for more of them helps nobody.
        stream.set_nodelay(true).ok();
        let answer = service_fn(|request| async {
            let answer = self.answer(request).await;
            Ok::<_, Infallible>(answer)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), answer);
        // In a block, since what it holds has to be let go before the guest is waited for.
        let in_time = {
            let mut served = pin!(served);
            tokio::select! {
                // How it ended is the client's business.
                _ = served.as_mut() => true,
                () = self.overdue() => false,
                () = self.crowded() => {
                    // It ends with its request, or now if it has none.
                    served.as_mut().graceful_shutdown();
                    tokio::select! {
                        _ = served => true,
                        () = self.overdue() => false,
                    }
                }
            }
        };
        if !in_time {
            return;
        }
        let mut guest = self.guest.lock().await;
        // Its own failure it has told.
        tokio::time::timeout(AFTERWARDS_MAX, guest.join_next())
            .await
            .ok();
    }

    /// Comes back when a request should have been over.
    async fn overdue(&self) {
        let mut over = self.over.subscribe();
        loop {
            let deadline = *over.borrow_and_update();
            let wait = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => return,
                Ok(()) = over.changed() => {}
            }
        }
    }

    /// Comes back when all places are taken, but not at once: a request may be on its way.
    async fn crowded(&self) {
        loop {
            tokio::time::sleep(IDLE_MIN).await;
            if self.serving.connections.available_permits() == 0 {
                return;
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        if head_bytes(&request) > HEAD_BYTES_MAX {
            let failed = Failed::LongHead;
            self.serving
                .tell(&format!("{}: {}", line(&request), failed.text()));
            return failed.answer();
        }
        let mut guest = self.guest.lock().await;
        while guest.join_next().await.is_some() {}
        let patience = self
            .serving
            .patience()
            .saturating_add(PLACE_WAIT_MAX + READ_MAX);
        self.over.send_replace(Instant::now().checked_add(patience));

        let line = line(&request);
        let (sender, given) = oneshot::channel();
        let serving = Arc::clone(&self.serving);
        let told = line.clone();
        let cut = Arc::new(AtomicBool::new(false));
        let cuts = Arc::clone(&cut);
        guest.spawn(async move {
            let handled = Arc::clone(&serving).handle(request, sender, cuts).await;
            if let Err(failed) = &handled {
                serving.tell(&format!("{told}: {}", failed.text()));
            }
            handled
        });
        match given.await {
            Ok(Ok(answer)) => answer.map(|body| Ended { body, cut }.boxed_unsync()),
            Ok(Err(code)) => {
                let code = excerpt_of(format_args!("{code:?}"));
                self.serving.tell(&format!("{line}: {code}"));
                Failed::Silent.answer()
            }
            Err(_) => match guest.join_next().await {
                Some(Ok(Err(failed))) => failed.answer(),
                Some(Ok(Ok(()))) => {
                    let failed = Failed::Silent;
                    self.serving.tell(&format!("{line}: {}", failed.text()));
                    failed.answer()
                }
                Some(Err(_)) | None => {
                    self.serving.tell(&format!("{line}: the host failed"));
                    Failed::Silent.answer()
                }
            },
        }
    }
}
