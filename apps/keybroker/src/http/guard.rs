//! What holds for every request: who may ask at all, how often, and for how long.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use crate::refusal::Refusal;

/// How long a request may take, body and all.
const REQUEST_MAX: Duration = Duration::from_secs(30);

pub(super) async fn guard(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let step = step(request.uri().path());
    // Browsers say where a page that sends something is from. Whoever visits one on this machine
    // would otherwise attest for it, with sample evidence, by way of loopback.
    let admitted = match request.headers().contains_key(header::ORIGIN) {
        true => Err(Refusal::WebPage),
        false => api.broker.admit(peer.ip()),
    };
    let response = match admitted {
        Err(refusal) => refusal.into_response(),
        Ok(()) => {
            let answer = tokio::time::timeout(REQUEST_MAX, next.run(request)).await;
            answer.unwrap_or_else(|_| Refusal::TooSlow.into_response())
        }
    };
    let status = response.status().as_u16();
    api.broker.metrics.request(step, status, begun.elapsed());
    response
}

/// For metrics: every word that somebody else could write here would be a series for good.
fn step(path: &str) -> &'static str {
    let mut parts = path.split('/').skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some("kbs"), Some("v0"), Some("auth")) => "auth",
        (Some("kbs"), Some("v0"), Some("attest")) => "attest",
        (Some("kbs"), Some("v0"), Some("resource")) => "resource",
        (Some("keybroker"), ..) => "keybroker",
        _ => "other",
    }
}
