//! The one way a request takes: let in, sent away, or asked to wait, each a bounded number of times.

use std::time::Duration;

use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::auth::{Action, Pass, Scope};
use super::body::{authority, network, read_at_most};
use super::{Registry, RegistryError, Stage, address};
use crate::Reference;
use crate::excerpt::excerpt;

/// How often a request is sent elsewhere.
pub(super) const REDIRECTS_MAX: usize = 5;
/// How often a registry is asked that wants a pause in between.
const TRIES_MAX: usize = 3;
/// How many passes are remembered; whoever is forgotten is asked for another.
pub(super) const PASSES_MAX: usize = 256;
/// How much is read of why a registry refuses.
const REASON_BYTES_MAX: u64 = 64 << 10;

/// A request that can be made again.
pub(super) struct Request<'a> {
    pub(super) reference: &'a Reference,
    pub(super) stage: Stage,
    pub(super) action: Action,
    pub(super) url: Url,
    /// Makes it, for an address.
    pub(super) make: &'a (dyn Fn(&reqwest::Client, Url) -> RequestBuilder + Send + Sync),
}

impl Request<'_> {
    fn scope(&self) -> Scope {
        Scope {
            plain: self.reference.is_plain(),
            registry: self.reference.registry().to_owned(),
            repository: self.reference.repository().to_owned(),
            action: self.action,
        }
    }

    /// Whether an address is the registry's own.
    fn is_at_home(&self, url: &Url) -> Result<bool, RegistryError> {
        Ok(address(self.reference, "")?.origin() == url.origin())
    }
}

impl Registry {
    /// The answer to a request, if it is a success.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Response, RegistryError> {
        let answer = self.answer(&request).await?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            _ => Err(self.refused(&request, answer).await),
        }
    }

    /// The answer to a request, whatever it is, but not that we have to say who we are.
    pub(super) async fn answer(&self, request: &Request<'_>) -> Result<Response, RegistryError> {
        let scope = request.scope();
        let known = {
            let passes = self.passes.lock().expect("no thread panics with it");
            passes.get(&scope).cloned()
        };
        let first = self.follow(request, known.as_ref()).await?;
        if first.status() != StatusCode::UNAUTHORIZED {
            return Ok(first);
        }
        if !request.is_at_home(first.url())? {
            // Our credentials are for the registry, not for whoever it sends us to.
            return Err(self.refused(request, first).await);
        }
        let pass = self.authenticate(request.reference, &scope, &first).await?;
        let second = self.follow(request, Some(&pass)).await?;
        if second.status() == StatusCode::UNAUTHORIZED {
            // Whoever asks again asks for ever.
            return Err(self.refused(request, second).await);
        }
        if second.status().is_success() {
            let mut passes = self.passes.lock().expect("no thread panics with it");
            if passes.len() >= PASSES_MAX {
                passes.clear();
            }
            passes.insert(scope, pass);
        }
        Ok(second)
    }

    /// Follows where a request is sent. What lets us in goes to the registry alone, and nothing
    /// that was asked for over TLS comes without it.
    async fn follow(
        &self,
        request: &Request<'_>,
        pass: Option<&Pass>,
    ) -> Result<Response, RegistryError> {
        let mut url = request.url.clone();
        let mut pass = pass;
        for _ in 0..=REDIRECTS_MAX {
            if !request.is_at_home(&url)? {
                // For good: whoever sends us home again has chosen what we ask for there.
                pass = None;
            }
            let answer = self.patiently(request, &url, pass).await?;
            if !is_redirect(answer.status()) {
                return Ok(answer);
            }
            let away = |to: String| RegistryError::Redirect {
                host: authority(answer.url()),
                to,
            };
            let kept = matches!(answer.status().as_u16(), 307 | 308);
            if request.action == Action::Push && !kept {
                return Err(away("on in a way that would send nothing".to_owned()));
            }
            let to = answer
                .headers()
                .get(LOCATION)
                .and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| url.join(to).ok());
            let to = to.ok_or_else(|| away("nowhere".to_owned()))?;
            let shown = authority(&to);
            match (url.scheme(), to.scheme()) {
                (_, "https") | ("http", "http") => url = to,
                (_, "http") => return Err(away(format!("to {shown}, without TLS"))),
                (_, other) => return Err(away(format!("to an address of `{}:`", excerpt(other)))),
            }
        }
        Err(RegistryError::Redirect {
            host: excerpt(request.reference.host()),
            to: format!("on more than {REDIRECTS_MAX} times"),
        })
    }

    /// Sends a request, and again after a pause if that is what the registry wants.
    async fn patiently(
        &self,
        request: &Request<'_>,
        url: &Url,
        pass: Option<&Pass>,
    ) -> Result<Response, RegistryError> {
        for attempt in 1.. {
            let mut made = (request.make)(self.http(request.stage)?, url.clone());
            if let Some(pass) = pass {
                made = pass.on(made);
            }
            let answer = made.send().await;
            let answer =
                answer.map_err(|source| network(source, request.stage, &authority(url)))?;
            let Some(wait) = wanted_pause(&answer) else {
                return Ok(answer);
            };
            if wait > self.options.pause_max {
                return Err(too_often(request, Some(wait)));
            }
            if attempt == TRIES_MAX {
                break;
            }
            tokio::time::sleep(wait).await;
        }
        Err(too_often(request, None))
    }

    /// Why a registry refuses, in our words and a few of its own.
    async fn refused(&self, request: &Request<'_>, answer: Response) -> RegistryError {
        let status = answer.status();
        let host = authority(answer.url());
        let at_home = request.is_at_home(answer.url()).unwrap_or(false);
        let plain = answer.url().scheme() == "http";
        let pace = self.options.pace;
        let reason = read_at_most(answer, REASON_BYTES_MAX, pace, request.stage, &host).await;
        let reason = reason.unwrap_or_default();
        let because = match plain && at_home && status == StatusCode::BAD_REQUEST {
            true if wants_tls(&reason) => {
                ": it speaks TLS, so leave `http://` out of its name".to_owned()
            }
            _ => because(&reason),
        };
        let registry = request.reference.registry().to_owned();
        match status {
            // What somebody else says is nothing about the registry, nor about us.
            _ if !at_home => RegistryError::Status {
                stage: request.stage,
                host,
                status: status.as_u16(),
                because,
            },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RegistryError::Credentials {
                registry,
                who: self.who(&request.scope()),
                action: request.action.words(),
                repository: request.reference.repository().to_owned(),
                because,
            },
            StatusCode::NOT_FOUND => RegistryError::Name {
                registry,
                what: request.missing(),
                because,
            },
            _ => RegistryError::Status {
                stage: request.stage,
                host,
                status: status.as_u16(),
                because,
            },
        }
    }
}

impl Request<'_> {
    /// What a registry does not have that answers with 404.
    fn missing(&self) -> String {
        let repository = self.reference.repository();
        match self.stage {
            Stage::Manifest => format!("{repository}:{}", self.reference.selector()),
            Stage::Blob => {
                let digest = self.url.path_segments().and_then(Iterator::last);
                format!("blob {} in {repository}", digest.unwrap_or_default())
            }
            Stage::Token | Stage::Upload => repository.to_owned(),
        }
    }
}

pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// How long a registry wants us to wait, in the form that registries use: seconds.
fn wanted_pause(answer: &Response) -> Option<Duration> {
    let after = || {
        let after = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
        after.trim().parse().ok().map(Duration::from_secs)
    };
    match answer.status() {
        StatusCode::TOO_MANY_REQUESTS => Some(after().unwrap_or(Duration::from_secs(1))),
        StatusCode::SERVICE_UNAVAILABLE => after(),
        _ => None,
    }
}

fn too_often(request: &Request<'_>, wait: Option<Duration>) -> RegistryError {
    RegistryError::TooOften {
        registry: request.reference.registry().to_owned(),
        wait,
    }
}

/// Whether a server refuses a request because it came without TLS. It can only say so in words, and
/// those of Go, nginx and Apache have this one in them.
fn wants_tls(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("HTTPS")
}

/// What the body of a refusal says, after a colon; nothing, if it is for browsers.
fn because(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Reason>,
    }
    #[derive(Deserialize)]
    #[serde(default)]
    #[derive(Default)]
    struct Reason {
        code: String,
        message: String,
    }
    let Ok(Body { errors }) = serde_json::from_slice(body) else {
        return String::new();
    };
    match errors.first() {
        Some(Reason { code, message }) if !(code.is_empty() && message.is_empty()) => {
            format!(": {}", excerpt(&format!("{code} {message}")))
        }
        _ => String::new(),
    }
}
