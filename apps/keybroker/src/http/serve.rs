//! Serves over TCP or TLS, and stops in bounded time.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::{Listener, ListenerExt as _};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take for its TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// TLS handshakes under way at the same time.
const HANDSHAKES_MAX: usize = 256;
/// How long requests may go on after the service was asked to stop.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: choose another port with KEYBROKER_HTTP_PORT")]
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
    #[error("the certificate or its key cannot be used (KEYBROKER_HTTP_SERVER_CERT, _KEY)")]
    Tls(#[from] rustls::Error),
}

/// A bound port.
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

/// A server that runs until it is told to stop.
#[derive(Debug)]
pub(crate) struct Serving {
    stop: Option<oneshot::Sender<()>>,
    tasks: JoinSet<()>,
}

impl Bound {
    /// Binds the port and reads the certificate, so that mistakes show before anything runs.
    pub(crate) async fn bind(
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
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL to reach it by from this machine.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves `router` until [`Serving::stop`].
    pub(crate) fn serve(self, router: Router) -> Serving {
        let (stop, stopped) = oneshot::channel::<()>();
        let mut tasks = JoinSet::new();
        let stopped = async {
            // A dropped sender means the same.
            let _asked = stopped.await;
        };
        match self.tls {
            None => tasks.spawn(run(self.listener, router, stopped)),
            Some(acceptor) => {
                let listener = TlsListener::new(self.listener, acceptor);
                tasks.spawn(run(listener, router, stopped))
            }
        };
        Serving {
            stop: Some(stop),
            tasks,
        }
    }
}

impl Serving {
    /// Takes no more connections, lets requests finish for a moment, and ends.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

async fn run<L>(listener: L, router: Router, stopped: impl Future<Output = ()> + Send + 'static)
where
    L: Listener<Addr = SocketAddr>,
    L::Io: Socket,
{
    // An answer is written in one go and must not wait for an acknowledgement.
    let listener = listener.tap_io(|io: &mut L::Io| {
        if let Err(error) = io.tcp().set_nodelay(true) {
            tracing::debug!(error = %error, "a connection was gone before it began");
        }
    });
    let app = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, app)
        .with_graceful_shutdown(stopped)
        .await;
    if let Err(error) = served {
        tracing::error!(error = %error, "the API stopped");
    }
}

/// What is below TLS, or not.
trait Socket {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

fn acceptor(files: &(PathBuf, PathBuf)) -> Result<TlsAcceptor, ServeError> {
    let (cert, key) = files;
    let unreadable = |path: &PathBuf| {
        let path = path.clone();
        move |cause| ServeError::Pem { path, cause }
    };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let chain = chain.map_err(unreadable(cert))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
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

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        let acceptor = self.acceptor.clone();
        self.handshakes.spawn(async move {
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
