//! Serves the API over TCP or TLS, and stops in bounded time.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::serve::{Listener, ListenerExt};
use axum::{Router, ServiceExt};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::Layer;
use tower_http::normalize_path::NormalizePathLayer;

/// How long a client may take for its TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// TLS handshakes under way at the same time.
const HANDSHAKES_MAX: usize = 256;
/// How long requests may go on after the service was asked to stop. Clients that wait for a task
/// ask again.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error(
        "cannot listen on {address}: is another manager running? Choose another port with MANAGER_HTTP_PORT"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A PEM file.
    #[error("cannot read {path}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rustls::pki_types::pem::Error,
    },
    /// Certificate and key do not go together.
    #[error("the certificate or key of the API cannot be used")]
    Tls(#[from] rustls::Error),
}

/// A bound port.
#[allow(missing_debug_implementations, reason = "an acceptor has none")]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

/// A server that runs until it is told to stop.
#[derive(Debug)]
pub struct Serving {
    stop: Option<oneshot::Sender<()>>,
    tasks: JoinSet<()>,
}

impl Bound {
    /// Binds the port and reads the certificate, so that mistakes show before anything runs.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn bind(
        address: SocketAddr,
        tls: Option<&(PathBuf, PathBuf)>,
    ) -> Result<Self, ServeError> {
        let tls = tls.map(acceptor).transpose()?;
        let listen = |cause| ServeError::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self {
            listener,
            address,
            tls,
        })
    }

    /// The address, with the port that was free.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL to reach it by from this machine.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves `router` until [`Serving::stop`].
    #[must_use]
    pub fn serve(self, router: Router) -> Serving {
        let (stop, stopped) = oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        let stopped = async {
            // A dropped sender means the same.
            let _asked = stopped.await;
        };
        match self.tls {
            None => {
                let listener = self.listener.tap_io(no_delay);
                tasks.spawn(run(listener, router, stopped));
            }
            Some(acceptor) => {
                let listener = TlsListener::new(self.listener, acceptor);
                tasks.spawn(run(listener, router, stopped));
            }
        }
        Serving {
            stop: Some(stop),
            tasks,
        }
    }
}

impl Serving {
    /// Takes no more connections, lets requests finish for a moment, and ends.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

async fn run<L>(listener: L, router: Router, stopped: impl Future<Output = ()> + Send + 'static)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    // Outside the router, because it must see the path before a route is chosen.
    let app = NormalizePathLayer::trim_trailing_slash().layer(router);
    let app = ServiceExt::<Request>::into_make_service(app);
    let served = axum::serve(listener, app)
        .with_graceful_shutdown(stopped)
        .await;
    if let Err(error) = served {
        tracing::error!(error = %error, "the API stopped");
    }
}

/// An answer is written in one go and must not wait for an acknowledgement.
fn no_delay(stream: &mut TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "a connection was gone before it began");
    }
}

fn acceptor(files: &(PathBuf, PathBuf)) -> Result<TlsAcceptor, ServeError> {
    let (cert, key) = files;
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|cause| ServeError::Pem {
            path: cert.clone(),
            cause,
        })?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|cause| ServeError::Pem {
        path: key.clone(),
        cause,
    })?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts TLS connections. Handshakes run beside each other, so that a slow client delays nobody.
struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
}

impl TlsListener {
    fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self {
            listener,
            acceptor,
            handshakes: JoinSet::new(),
        }
    }

    fn begin(&mut self, mut stream: TcpStream, peer: SocketAddr) {
        let acceptor = self.acceptor.clone();
        self.handshakes.spawn(async move {
            no_delay(&mut stream);
            let handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream));
            Some((handshake.await.ok()?.ok()?, peer))
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let room = self.handshakes.len() < HANDSHAKES_MAX;
            tokio::select! {
                (stream, peer) = Listener::accept(&mut self.listener), if room => {
                    self.begin(stream, peer);
                }
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
