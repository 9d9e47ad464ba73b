//! The sockets' side: Trustee's paths below `/kbs/v0/`, and this broker's own below `/keybroker/v1/`.
//!
//! A handler reads a request, asks the broker on a thread that may block, and renders. It decides
//! nothing.

mod administer;
mod body;
mod guard;
mod kbs;
mod serve;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use tokio::sync::Semaphore;

use crate::broker::Broker;
use crate::refusal::Refusal;

pub use serve::ServeError;
pub(crate) use serve::{Bound, Serving};

/// Bodies of more than a handshake's size that are in memory at a time.
const LARGE_BODIES_MAX: usize = 16;

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    broker: Arc<Broker>,
    large_bodies: Arc<Semaphore>,
}

impl Api {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        let large_bodies = Arc::new(Semaphore::new(LARGE_BODIES_MAX));
        Self {
            broker,
            large_bodies,
        }
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/kbs/v0/", any(kbs::nothing))
            .route("/kbs/v0/{*path}", any(kbs::kbs))
            .route("/keybroker/v1/resources", get(administer::resources))
            .route("/keybroker/v1/explain", post(administer::explain))
            .route("/keybroker/v1/audit", get(administer::audit))
            .route("/keybroker/v1/reload", post(administer::reload))
            .layer(middleware::from_fn_with_state(self.clone(), guard::guard))
            .route("/healthz", get(|| async { StatusCode::OK }))
            .route("/metrics", get(metrics))
            .fallback(|| async { StatusCode::NOT_FOUND })
            .with_state(self.clone())
    }

    /// Asks the broker, on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Broker) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let broker = Arc::clone(&self.broker);
        let asked = tokio::task::spawn_blocking(move || ask(&broker)).await;
        asked.unwrap_or_else(|error| {
            tracing::error!(error = %error, "a request was not answered");
            Err(Refusal::PluginInternal)
        })
    }
}

async fn metrics(State(api): State<Api>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.broker.metrics_text()).into_response()
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Some(value.strip_prefix("Bearer ")?.trim().to_owned())
}
