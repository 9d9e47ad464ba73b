//! The connection to a manager and the one way a request takes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use propeller_api::Health;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Method, RequestBuilder, Response, StatusCode, Url};
use rustls::crypto::CryptoProvider;
use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::{ClientError, Reply, Token};

/// Longest answer that is read. A result is at most a few MiB, or as long as its task's output
/// limit; this leaves room for one of 100 MiB in base64 and stops an endless one.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How to reach a manager.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Address of the manager, such as `http://localhost:7070`; a path is kept as a prefix.
    pub base_url: String,
    /// Bearer token, if the manager wants one.
    pub token: Option<Token>,
    /// A PEM file with the only certificate authorities to trust, instead of the system's.
    pub ca_cert: Option<PathBuf>,
    /// Whether to accept any certificate. Then anyone on the way can read and change everything.
    pub insecure_skip_verify: bool,
    /// How long to wait for an answer. Long polls and uploads take what they need on top.
    pub timeout: Duration,
}

/// A client of one manager. Cloning is cheap and shares the connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    timeout: Duration,
    trace: Option<HeaderValue>,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If the address, the certificates or the process (no rustls provider) cannot be used.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let ClientOptions {
            base_url,
            token,
            ca_cert,
            insecure_skip_verify,
            timeout,
        } = options;
        if CryptoProvider::get_default().is_none() {
            return Err(ClientError::NoCryptoProvider);
        }
        let base = parse_base(base_url)?;
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.into_header());
        }
        let builder = reqwest::Client::builder()
            .user_agent(concat!("propeller-sdk/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // What a manager speaks.
            .http1_only()
            .connect_timeout(timeout)
            .tls_danger_accept_invalid_certs(insecure_skip_verify);
        let builder = match ca_cert {
            Some(path) => builder.tls_certs_only(certificates(&path)?),
            // Loading the system's certificates takes longer than a request on loopback.
            None if base.scheme() == "http" => builder.tls_certs_only([]),
            None => builder,
        };
        let http = builder.build().map_err(ClientError::Setup)?;
        Ok(Self {
            http,
            base,
            timeout,
            trace: None,
        })
    }

    /// The same client for work that belongs to a trace: its requests carry this W3C `traceparent`,
    /// and so do the tasks that they create or start. As the standard has it, a text that is no
    /// traceparent counts as none.
    #[must_use]
    pub fn in_trace(self, traceparent: Option<&str>) -> Self {
        let trace = traceparent.and_then(|text| HeaderValue::from_str(text).ok());
        Self { trace, ..self }
    }

    /// Whether what is sent can be read on the way: plain HTTP to another machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']);
        let address = host.parse::<std::net::IpAddr>();
        let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        self.base.scheme() == "http" && !loopback
    }

    /// How the manager is. Also an answer that it is unwell is an answer.
    ///
    /// # Errors
    ///
    /// If there is no manager that answers.
    pub async fn health(&self) -> Result<Reply<Health>, ClientError> {
        let url = self.url(&["health"])?;
        let answer = self.get_answer(&url, Duration::ZERO).await?;
        match Reply::parse(answer.body.clone()) {
            Ok(health) => Ok(health),
            Err(_) => answer.value(),
        }
    }

    /// The address of an item or a collection.
    pub(crate) fn url(&self, segments: &[&str]) -> Result<Url, ClientError> {
        if let Some(id) = segments
            .iter()
            .find(|text| matches!(**text, "" | "." | ".."))
        {
            return Err(ClientError::Id {
                id: (*id).to_owned(),
            });
        }
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("the base address is http or https, which have paths")
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }

    /// Fetches a value, allowing `extra` on top of the usual time.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        url: Url,
        extra: Duration,
    ) -> Result<Reply<T>, ClientError> {
        self.get_answer(&url, extra).await?.value()
    }

    /// Fetches, and once more if the connection breaks: reading twice does no harm.
    async fn get_answer(&self, url: &Url, extra: Duration) -> Result<Answer, ClientError> {
        let timeout = self.timeout.saturating_add(extra);
        match self
            .send(self.request(Method::GET, url.clone()), timeout)
            .await
        {
            Err(ClientError::Interrupted { .. }) => {
                self.send(self.request(Method::GET, url.clone()), timeout)
                    .await
            }
            answer => answer,
        }
    }

    /// A request that may change something; it is sent once.
    pub(crate) async fn act(&self, request: RequestBuilder) -> Result<Answer, ClientError> {
        self.send(request, self.timeout).await
    }

    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.trace {
            Some(trace) => request.header("traceparent", trace.clone()),
            None => request,
        }
    }

    /// The manager's address, for messages.
    pub(crate) fn address(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// How long an ordinary request may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<Answer, ClientError> {
        let failed = |error| self.failed(error, timeout);
        let response = request.timeout(timeout).send().await.map_err(failed)?;
        self.whole(response, timeout).await
    }

    /// Sends a request whose answer goes on for long; what comes back is its beginning.
    pub(crate) async fn begin(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let begun = tokio::time::timeout(self.timeout, request.send()).await;
        let response = begun
            .map_err(|_| self.overdue())?
            .map_err(|error| self.failed(error, self.timeout))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let answer = self.rest(response).await?;
        match answer.accepted() {
            Ok(answer) => Err(answer.unexpected("it has another form", None)),
            Err(error) => Err(error),
        }
    }

    /// Reads an answer that has begun to its end, which has to come soon.
    pub(crate) async fn rest(&self, response: Response) -> Result<Answer, ClientError> {
        let whole = self.whole(response, self.timeout);
        let read = tokio::time::timeout(self.timeout, whole).await;
        read.unwrap_or_else(|_| Err(self.overdue()))
    }

    /// The manager was given up.
    pub(crate) fn overdue(&self) -> ClientError {
        ClientError::Timeout {
            url: self.address(),
            after: self.timeout,
        }
    }

    /// An answer that should be a log and is not.
    pub(crate) fn not_a_log(&self, why: &'static str) -> ClientError {
        self.unexpected(StatusCode::OK, why)
    }

    /// An answer that is not what was asked for.
    pub(crate) fn unexpected(&self, status: StatusCode, why: &'static str) -> ClientError {
        ClientError::Unexpected {
            url: self.address(),
            status: status.as_u16(),
            why,
            source: None,
        }
    }

    async fn whole(
        &self,
        mut response: Response,
        timeout: Duration,
    ) -> Result<Answer, ClientError> {
        let failed = |error| self.failed(error, timeout);
        let status = response.status();
        let mut body = Vec::new();
        let mut too_long = false;
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            too_long = body.len() + chunk.len() > ANSWER_BYTES_MAX;
            if too_long {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(body);
        let why = if too_long {
            "it has no end"
        } else {
            "it is not text"
        };
        let readable = text.is_ok() && !too_long;
        let answer = Answer {
            url: self.address(),
            status,
            body: text.unwrap_or_default(),
        };
        if readable {
            Ok(answer)
        } else {
            Err(answer.unexpected(why, None))
        }
    }

    pub(crate) fn failed(&self, error: reqwest::Error, after: Duration) -> ClientError {
        let (url, source) = (self.address(), error.without_url());
        if source.is_connect() {
            ClientError::Unreachable { url, source }
        } else if source.is_timeout() {
            ClientError::Timeout { url, after }
        } else {
            ClientError::Interrupted { url, source }
        }
    }
}

fn parse_base(text: String) -> Result<Url, ClientError> {
    let wrong = |why| {
        Err(ClientError::BaseUrl {
            url: text.clone(),
            why,
        })
    };
    let Ok(mut url) = Url::parse(&text) else {
        return wrong("write it like http://localhost:7070");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return wrong("it must begin with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The text is not repeated: it has a password.
        return Err(ClientError::BaseUrl {
            url: url.host_str().unwrap_or_default().to_owned(),
            why: "use a token instead of a user name and a password",
        });
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let pem = std::fs::read(path).map_err(|source| ClientError::CaCertRead {
        path: path.to_owned(),
        source,
    })?;
    let found = Certificate::from_pem_bundle(&pem).map_err(ClientError::Setup)?;
    if found.is_empty() {
        return Err(ClientError::CaCertEmpty {
            path: path.to_owned(),
        });
    }
    Ok(found)
}
