//! `/kbs/v0/…`: who is asked is said by the first part of the path, as in Trustee.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use propeller_attest::rcar::COOKIE;
use serde::Serialize;

use super::{Api, bearer};
use crate::admins::May;
use crate::audit::printable;
use crate::broker::Existing;
use crate::refusal::Refusal;
use crate::sessions::Cookie;

/// What is said to those who bring Trustee's policies.
const NO_REGO: &str = "this broker has no rego: its operator writes rules in TOML (KEYBROKER_POLICY) and says `POST /keybroker/v1/reload`";
const NO_APPRAISAL: &str = "this broker has no policies for evidence: rules for resources (KEYBROKER_POLICY) name the measurements that they accept";
const NO_REFERENCES: &str = "this broker has no reference values: rules for resources (KEYBROKER_POLICY) name the measurements that they accept";
/// The longest part of a path that is repeated, in characters.
const SHOWN_MAX: usize = 64;

pub(super) async fn nothing() -> Refusal {
    Refusal::InvalidRequestPath("/kbs/v0/".to_owned())
}

pub(super) async fn kbs(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let method = request.method().clone();
    if ![Method::GET, Method::POST, Method::DELETE].contains(&method) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = request.uri().path().strip_prefix("/kbs/v0/");
    let path = path.unwrap_or_default().to_owned();
    let (first, rest) = path.split_once('/').unwrap_or((&path, ""));
    let answer = match (&method, first) {
        (&Method::POST, "auth") => api.auth(peer, request).await,
        (&Method::POST, "attest") => api.attest(peer, request).await,
        (_, "resource") => api.resource(peer, &method, rest.to_owned(), request).await,
        (&Method::POST | &Method::GET, "resource-policy") => {
            api.not_here(peer, "resource-policy", NO_REGO, request.headers())
                .await
        }
        (&Method::POST, "attestation-policy") => {
            api.not_here(peer, "attestation-policy", NO_APPRAISAL, request.headers())
                .await
        }
        (&Method::POST | &Method::GET, "reference-value") => {
            api.not_here(peer, "reference-value", NO_REFERENCES, request.headers())
                .await
        }
        _ => {
            let shown: String = printable(first).chars().take(SHOWN_MAX).collect();
            Err(Refusal::PluginNotFound(shown))
        }
    };
    answer.unwrap_or_else(IntoResponse::into_response)
}

impl Api {
    async fn auth(&self, peer: SocketAddr, request: Request) -> Result<Response, Refusal> {
        let body = self.body(request).await?;
        let authed = self.ask(move |broker| broker.auth(peer.ip(), &body)).await;
        let (challenge, cookie) = authed?;
        Ok(with_cookie(&challenge, &cookie, self.broker.now()))
    }

    async fn attest(&self, peer: SocketAddr, request: Request) -> Result<Response, Refusal> {
        let cookie = cookie(request.headers());
        let body = self.body(request).await?;
        let ask = self.ask(move |broker| broker.attest(peer.ip(), cookie.as_deref(), &body));
        let (token, cookie) = ask.await?;
        Ok(with_cookie(&token, &cookie, self.broker.now()))
    }

    async fn resource(
        &self,
        peer: SocketAddr,
        method: &Method,
        path: String,
        request: Request,
    ) -> Result<Response, Refusal> {
        let (peer, bearer) = (peer.ip(), bearer(request.headers()));
        let bearer = move || bearer;
        match *method {
            Method::GET => {
                let cookie = cookie(request.headers());
                let bearer = bearer();
                let ask = self.ask(move |broker| {
                    broker.release(peer, cookie.as_deref(), bearer.as_deref(), &path)
                });
                let kind = [(header::CONTENT_TYPE, "application/json")];
                Ok((kind, ask.await?).into_response())
            }
            Method::POST => {
                let existing = existing(request.headers())?;
                let body = self.body(request).await?;
                let bearer = bearer();
                let ask = self.ask(move |broker| {
                    broker.write(peer, bearer.as_deref(), &path, (&body, existing))
                });
                ask.await?;
                // As Trustee answers it.
                Ok(([(header::CONTENT_TYPE, "text/xml")], Body::empty()).into_response())
            }
            _ => {
                let bearer = bearer();
                let ask = self.ask(move |broker| broker.delete(peer, bearer.as_deref(), &path));
                ask.await?;
                Ok(([(header::CONTENT_TYPE, "text/xml")], Body::empty()).into_response())
            }
        }
    }

    /// What Trustee has and this broker does not: to whoever may know, what to do instead.
    async fn not_here(
        &self,
        peer: SocketAddr,
        endpoint: &'static str,
        instead: &'static str,
        headers: &HeaderMap,
    ) -> Result<Response, Refusal> {
        let bearer = bearer(headers);
        let act = (endpoint, May::Policy);
        self.ask(move |broker| broker.admin(peer.ip(), bearer.as_deref(), act))
            .await?;
        Err(Refusal::PolicyEngine(instead))
    }
}

/// What a write says about a resource that is there (RFC 9110, section 13.1.2).
fn existing(headers: &HeaderMap) -> Result<Existing, Refusal> {
    let mut conditions = headers.get_all(header::IF_NONE_MATCH).iter();
    match (
        conditions.next().map(HeaderValue::as_bytes),
        conditions.next(),
    ) {
        (None, _) => Ok(Existing::Replace),
        (Some(b"*"), None) => Ok(Existing::Keep),
        _ => Err(Refusal::Invalid(
            "resources have no tags: the only condition is `If-None-Match: *`".to_owned(),
        )),
    }
}

/// The session's cookie, wherever it is among others.
fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value.to_owned())
}

fn with_cookie(body: &impl Serialize, cookie: &Cookie, now: Timestamp) -> Response {
    let Cookie { value, until } = cookie;
    let left = until.saturating_duration_since(Instant::now());
    let expires = expires(now, left);
    let text = format!("{COOKIE}={value}; Expires={expires}");
    let cookie = HeaderValue::try_from(text).expect("digits, and a date");
    let headers = [(header::SET_COOKIE, cookie)];
    (headers, axum::Json(body)).into_response()
}

/// As cookies say it (RFC 6265, section 4.1). The broker itself goes by how much time has passed.
fn expires(now: Timestamp, left: Duration) -> String {
    let left = SignedDuration::try_from(left).unwrap_or(SignedDuration::ZERO);
    let until = now.checked_add(left).unwrap_or(Timestamp::MAX);
    let printed = DateTimePrinter::new().timestamp_to_rfc9110_string(&until);
    printed.unwrap_or_else(|_| "Thu, 01 Jan 1970 00:00:00 GMT".to_owned())
}
