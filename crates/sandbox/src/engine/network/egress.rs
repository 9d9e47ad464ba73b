//! `wasi:http/outgoing-handler`: one connection for each request, to a host of the job.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::Reach;

/// How long a connection, and then a response's head, may take unless the guest wants less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends what a guest asks for, if it may.
pub(in crate::engine) struct Egress(pub(in crate::engine) Reach);

/// What drives a connection while its response is read.
type Driver = Box<dyn Future<Output = Result<(), Error>> + Send>;

type Sent = Result<(http::Response<WasiBody>, Driver), Error>;

/// What a guest may write to a body at once, and what the host keeps of it until it is read: twice as
/// much for each body. With wasmtime's mebibyte, a guest with a thousand bodies that it never sends
/// would take more of the host's memory than it may have itself.
const BODY_BYTES_MAX: usize = 16 * 1024;

impl WasiHttpHooks for Egress {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_BYTES_MAX
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Driver,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let reach = self.0.clone();
        Box::new(async move { send(&reach, request, options.unwrap_or_default()).await })
    }
}

async fn send(
    reach: &Reach,
    mut request: http::Request<WasiBody>,
    options: RequestOptions,
) -> Sent {
    let target = Target::of(request.uri())?;
    let found = reach.resolve(&target.name, target.port).await;
    let addresses = found.ok_or(Error::HttpRequestDenied)?;
    let connecting = connect(&target, &addresses);
    let within = options.connect_timeout.unwrap_or(PATIENCE).min(PATIENCE);
    let connected = tokio::time::timeout(within, connecting).await;
    let stream = connected.map_err(|_| Error::ConnectionTimeout)??;

    // Only a proxy is told scheme and authority.
    let path = request.uri().path_and_query().cloned();
    let path = path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    *request.uri_mut() = path.into();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut connection = Some(connection);
    let within = options.first_byte_timeout.unwrap_or(PATIENCE).min(PATIENCE);
    let mut sending = pin!(sender.send_request(request));
    let both = poll_fn(|context| {
        if let Some(driven) = connection.as_mut()
            && Pin::new(driven).poll(context).is_ready()
        {
            connection = None;
        }
        match sending.as_mut().poll(context) {
            Poll::Ready(response) => Poll::Ready(response),
            Poll::Pending => Poll::Pending,
        }
    });
    let answered = tokio::time::timeout(within, both).await;
    let response = answered.map_err(|_| Error::ConnectionReadTimeout)??;
    let response = response.map(|body| body.map_err(Error::from).boxed_unsync());
    let driver = async move {
        match connection {
            Some(connection) => connection.await.map_err(Error::from),
            None => Ok(()),
        }
    };
    Ok((response, Box::new(driver)))
}

/// Where a request goes.
struct Target {
    name: String,
    port: u16,
    tls: bool,
}

impl Target {
    fn of(uri: &http::Uri) -> Result<Self, Error> {
        let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(Error::HttpRequestUriInvalid),
        };
        Ok(Self {
            name: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
        })
    }
}

/// A connection, whatever it is made of.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(target: &Target, addresses: &[SocketAddr]) -> Result<Box<dyn Stream>, Error> {
    if addresses.is_empty() {
        return Err(Error::DestinationNotFound);
    }
    let stream = TcpStream::connect(addresses)
        .await
        .map_err(Error::Connect)?;
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(target.name.clone());
    let name = name.map_err(|_| Error::HttpRequestUriInvalid)?;
    let connector = TLS.as_ref().ok_or(Error::ConfigurationError)?;
    let stream = connector.connect(name, stream).await.map_err(Error::Tls)?;
    Ok(Box::new(stream))
}

/// TLS with the certificates that this machine trusts; `None` if it cannot be set up.
static TLS: LazyLock<Option<TlsConnector>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config
        .ok()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(TlsConnector::from(Arc::new(config)))
});
