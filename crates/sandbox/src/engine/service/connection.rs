//! One connection of a service: requests one after the other, each with a guest of its own.
//!
//! A connection takes one of few places, so nobody may keep one for nothing: a client has
//! [`HEAD_MAX`] for the head of a request, and [`READ_MAX`] for the rest of a response when its
//! guest's time is over.

use std::convert::Infallible;
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
use super::{Answer, Failed, PLACE_WAIT_MAX, Serving};
use crate::excerpt::excerpt_of;

/// How long a client may take to send the head of a request, also of the next one.
const HEAD_MAX: Duration = Duration::from_secs(30);

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
        tokio::select! {
            // How it ended is the client's business.
            _ = served => {}
            () = self.overdue() => return,
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

    async fn answer(&self, request: Request<Incoming>) -> Answer {
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

/// A request in a word that is fit to show.
fn line(request: &Request<Incoming>) -> String {
    excerpt_of(format_args!("{} {}", request.method(), request.uri()))
}
