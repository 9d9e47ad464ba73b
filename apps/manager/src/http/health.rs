//! Whether the manager is well, and its counters.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use propeller_api::Health;

use super::Api;

/// Whether the manager is well. Needs no token.
#[utoipa::path(get, path = "/health", tag = "service", responses(
    (status = 200, body = Health), (status = 503, body = Health)))]
pub(super) async fn health(State(api): State<Api>) -> Response {
    let broker_connected = api.shared.broker_up.load(Ordering::Relaxed);
    let alive = !api.shared.wakes.is_closed();
    let object_store_reached = api.shared.objects.is_reached();
    let is_whole = broker_connected && object_store_reached != Some(false);
    let (status, word) = match (alive, is_whole) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "fail"),
        (true, false) => (StatusCode::OK, "warn"),
        (true, true) => (StatusCode::OK, "pass"),
    };
    let health = Health {
        status: word.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("PROPELLER_COMMIT")
            .unwrap_or_default()
            .to_owned(),
        description: "manager service".to_owned(),
        build_time: option_env!("PROPELLER_BUILD_TIME")
            .unwrap_or_default()
            .to_owned(),
        instance_id: api.shared.instance.clone(),
        broker_connected,
        object_store_reached,
    };
    (status, Json(health)).into_response()
}

/// Counters in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "service", responses(
    (status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.shared.metrics.text()).into_response()
}
