//! HTTP services: components that export `wasi:http/incoming-handler`.
//!
//! ```text
//!  granted port ──► connection ──► request ──► a guest of its own ──► response
//! ```
//!
//! Every request has a guest of its own, so that none sees what another has left behind. The job's
//! fuel and time are for one request, its memory for all of them together. A guest that fails has
//! failed its request, which is told in the job's standard error; the service goes on. It ends by
//! itself only if it cannot begin.

mod answer;
mod connection;
mod request;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::header::{self, HeaderValue};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::JoinSet;
use wasmtime::Store;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::code::Code;
use super::component;
use super::excerpt::excerpt;
use super::guest::{self, Guest, Setting};
use super::memory::{MemoryMeter, Pool};
use super::output::Output;
use super::world::World;
use super::{Host, seeds, verdict};
use crate::exit::{Exit, Limit, LimitHit, Status, Trap};
use crate::job::Job;
use crate::runtime::RunError;

use connection::Connection;
use request::names_its_host;

/// How many connections a service has at a time; as many requests are answered at a time. Further
/// ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 64;

/// How many guests a service has at a time, so that one that is flooded takes no more than a quarter
/// of the places for the guests of all services.
const GUESTS_MAX: usize = 16;

/// How long a request waits for a place before it is turned away.
pub(super) const PLACE_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long a service tries to have its port: its predecessor may still be letting go of it.
const BIND_MAX: Duration = Duration::from_secs(1);
const BIND_PAUSE: Duration = Duration::from_millis(50);

/// The pause after a connection could not be accepted, for example because this process has too
/// many files open: trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the owner is told of a guest that answered nothing.
const SILENT: &str = "it gave no response";

/// A component that answers requests.
pub(super) struct Service(ProxyPre<Guest>);

/// What answers a request.
type Answer = Response<HyperOutgoingBody>;

/// What the guest gives for its response.
type Given = Result<Answer, ErrorCode>;

impl Service {
    /// The service that `job` asks for, if it asks for one and may have it.
    pub(super) fn asked(code: &Code, job: &Job) -> Result<Option<Self>, RunError> {
        let Code::Component(linked) = code else {
            return Ok(None);
        };
        if !component::serves(linked, &job.entry) {
            return Ok(None);
        }
        if job.daemon.is_none() {
            return Err(RunError::ServiceNotDaemon);
        }
        if job.capabilities.listen.is_empty() {
            return Err(RunError::ServiceWithoutPort);
        }
        let service = ProxyPre::new(linked.code.clone());
        let service = service.map_err(|error| RunError::Invalid {
            reason: excerpt(&format!("{error:#}")),
        })?;
        Ok(Some(Self(service)))
    }

    /// Serves on every port of `job`, for as long as the future lives. It ends by itself only if
    /// not even one guest can be made.
    pub(super) async fn serve(&self, host: Arc<Host>, job: &Job) -> Result<Exit, RunError> {
        let limits = job.daemon.unwrap_or(job.limits);
        let [stdout, stderr] = Output::both(job);
        let serving = Arc::new(Serving {
            service: self.0.clone(),
            memory: Pool::new(limits.memory_bytes.value),
            stdout,
            stderr,
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            guests: Semaphore::new(GUESTS_MAX),
            job: Job {
                limits,
                ..job.clone()
            },
            host,
        });
        // Before anybody can connect: a component that cannot begin is no service.
        if let Err(fault) = serving.begin().await {
            return fault.exit(&serving);
        }
        let mut listening = JoinSet::new();
        for address in &serving.job.capabilities.listen {
            let listener = bind(*address).await?;
            tracing::info!(%address, "serving HTTP");
            listening.spawn(Arc::clone(&serving).listen(listener));
        }
        match listening.join_next().await {
            Some(Err(panic)) => Err(RunError::Runtime(Arc::new(panic))),
            Some(Ok(())) | None => Err(RunError::Stopped),
        }
    }
}

/// Everything that the guests of one service share.
struct Serving {
    host: Arc<Host>,
    service: ProxyPre<Guest>,
    /// With the limits of one request.
    job: Job,
    memory: Pool,
    stdout: Output,
    stderr: Output,
    connections: Arc<Semaphore>,
    guests: Semaphore,
}

/// How a guest ended that did not do what it was for.
enum Fault {
    /// The guest failed.
    Guest(Status),
    /// The host failed.
    Host(RunError),
}

/// Why a request has no answer of its guest.
enum Failed {
    /// Its guest ended before it gave one.
    Ended(Fault),
    /// It came back without an answer.
    Silent,
    /// The request has no form that a guest can be given.
    Request,
    /// Its head is longer than it may be.
    LongHead,
    /// Too many others are being answered.
    Busy,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Ended(fault)
    }
}

impl Serving {
    /// Accepts connections, as many as there are places.
    async fn listen(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let accept = async {
                let place = Arc::clone(&self.connections).acquire_owned().await;
                (place, listener.accept().await)
            };
            tokio::select! {
                (place, accepted) = accept => match accepted {
                    Ok((stream, _)) => {
                        let connection = Connection::new(Arc::clone(&self));
                        connections.spawn(async move {
                            let _place = place;
                            connection.live(stream).await;
                        });
                    }
                    Err(error) => {
                        tracing::warn!("cannot accept a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => {
                    if let Err(panic) = ended {
                        tracing::error!("a connection of a service ended badly: {panic}");
                    }
                }
            }
        }
    }

    /// Makes one guest and lets it go. It has its task's place, not one of those for requests: who
    /// keeps the guests of other services busy keeps no service from beginning.
    async fn begin(&self) -> Result<(), Fault> {
        let place = self.host.place(self.service.engine()).await;
        let _place = place.map_err(Fault::Host)?;
        let mut store = self.store()?;
        let made = self.service.instantiate_async(&mut store);
        self.within_limits(made).await.map(drop)
    }

    /// Has a guest answer `request`, through `answer`. `cut` is set before whoever reads the answer
    /// can see the end of one that the guest has not ended.
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        answer: oneshot::Sender<Given>,
        cut: Arc<AtomicBool>,
    ) -> Result<(), Failed> {
        if !names_its_host(&request) {
            return Err(Failed::Request);
        }
        let _place = self.place().await?;
        let mut store = self.store()?;
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, request);
        let request = request.map_err(|error| self.judged(error))?;
        let answer = http.new_response_outparam(answer);
        let answer = answer.map_err(|error| self.judged(error))?;
        let handled = async {
            let guest = self.service.instantiate_async(&mut store).await?;
            let handler = guest.wasi_http_incoming_handler();
            handler.call_handle(&mut store, request, answer).await
        };
        let ended = self.within_limits(handled).await;
        // The store is still there, and with it the other end of the answer.
        cut.store(ended.is_err(), Ordering::SeqCst);
        Ok(ended?)
    }

    /// Where a guest lives; to be held for longer than its store.
    async fn place(&self) -> Result<[SemaphorePermit<'_>; 2], Failed> {
        let places = async {
            let own = self.guests.acquire().await;
            let shared = self.host.service_places.acquire().await;
            Ok([own, shared].map(|place| place.map_err(|_| Fault::Host(RunError::Stopped))))
        };
        let places = tokio::time::timeout(PLACE_WAIT_MAX, places).await;
        let [own, shared] = places.unwrap_or(Err(Failed::Busy))?;
        Ok([own?, shared?])
    }

    fn store(&self) -> Result<Store<Guest>, Fault> {
        let setting = Setting {
            job: &self.job,
            command: false,
            imports: true,
            seed: seeds::seed_here(&self.job),
            stdout: &self.stdout,
            stderr: &self.stderr,
            memory: MemoryMeter::within(&self.memory, World::of(self.job.profile)),
        };
        guest::prepare(self.service.engine(), setting).map_err(Fault::Host)
    }

    /// Runs a guest, and judges the error that ends it.
    async fn within_limits<T>(
        &self,
        guest: impl Future<Output = wasmtime::Result<T>>,
    ) -> Result<T, Fault> {
        let _slot = self.host.ticker.enter();
        match tokio::time::timeout(self.patience(), guest).await {
            Ok(ended) => ended.map_err(|error| self.judged(error)),
            Err(_) => {
                let hit = LimitHit::new(Limit::WallClock, &self.job.limits);
                Err(Fault::Guest(Status::LimitHit(hit)))
            }
        }
    }

    fn judged(&self, error: wasmtime::Error) -> Fault {
        verdict::status(error, &self.job.limits).map_or_else(Fault::Host, Fault::Guest)
    }

    /// How long one request may take.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.job.limits.wall_ms.value)
    }

    /// Tells the owner of the service what has happened to a request.
    fn tell(&self, what: &str) {
        let line = format!("propeller: {what}\n");
        if self.stderr.append(line.as_bytes()).is_err() {
            tracing::debug!("a service has no room left in its standard error");
        }
    }
}

impl Fault {
    /// The end of a service that could not begin.
    fn exit(self, serving: &Serving) -> Result<Exit, RunError> {
        match self {
            // It has not served, however well it says that it went.
            Self::Guest(Status::Exited(code)) => Ok(Exit::from(Status::Trapped {
                trap: Trap::HostCall,
                message: format!("the service exited with code {code} before its first request"),
            })),
            Self::Guest(status) => Ok(Exit {
                stdout: serving.stdout.take().0,
                stderr: serving.stderr.take().0,
                ..Exit::from(status)
            }),
            Self::Host(error) => Err(error),
        }
    }

    /// What its owner is told.
    fn text(&self) -> String {
        match self {
            Self::Guest(Status::Trapped { message, .. }) => message.clone(),
            Self::Guest(Status::LimitHit(hit)) => hit.to_string(),
            Self::Guest(Status::Inconclusive(why)) => why.to_string(),
            Self::Guest(Status::Exited(code)) => format!("it exited with code {code}"),
            Self::Guest(Status::Returned) => SILENT.to_owned(),
            Self::Host(error) => error.to_string(),
        }
    }
}

impl Failed {
    /// What its owner is told.
    fn text(&self) -> String {
        match self {
            Self::Ended(fault) => fault.text(),
            Self::Silent => SILENT.to_owned(),
            Self::Request => "the request names no host".to_owned(),
            Self::LongHead => "the head of the request is too long".to_owned(),
            Self::Busy => format!("too many requests: none of {GUESTS_MAX} guests had an end"),
        }
    }

    /// What whoever sent the request is told: nothing about the guest.
    fn answer(&self) -> Answer {
        let (status, text) = match self {
            Self::Request => (StatusCode::BAD_REQUEST, "the request names no host\n"),
            Self::LongHead => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the head of the request is too long\n",
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "the service is busy\n"),
            Self::Ended(Fault::Guest(Status::LimitHit(hit))) if hit.limit == Limit::WallClock => (
                StatusCode::GATEWAY_TIMEOUT,
                "the service did not answer in time\n",
            ),
            _ => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "the service failed; its log says why\n",
            ),
        };
        let body = Full::new(text.into()).map_err(|never| match never {});
        let mut answer = Response::new(body.boxed_unsync());
        *answer.status_mut() = status;
        // Perhaps nothing more of the request is read.
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
        answer
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    let begun = Instant::now();
    let bound = loop {
        match TcpListener::bind(address).await {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < BIND_MAX =>
            {
                tokio::time::sleep(BIND_PAUSE).await;
            }
            bound => break bound,
        }
    };
    bound.map_err(|error| RunError::Listen {
        address,
        reason: error.to_string(),
    })
}
