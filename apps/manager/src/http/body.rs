//! What a request carries, read so that nobody can hold the manager's memory or time with it.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use propeller_api::TaskRequest;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tower_http::timeout::TimeoutBody;

use super::{Api, ApiError, JSON_LEN_EXTRA, STDIN_PATH};

/// Longest pause within a body: a client that sends nothing gives its slot to others.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Ends a body in which nothing arrives for [`PAUSE_MAX`]. Objects may come as slowly as what makes
/// them, and are waited for by other rules, where they are read.
pub(super) fn impatient(request: Request) -> Request {
    let path = request.extensions().get::<MatchedPath>();
    match path.map(MatchedPath::as_str) {
        Some(STDIN_PATH) => request,
        _ => request.map(|body| Body::new(TimeoutBody::new(PAUSE_MAX, body))),
    }
}

/// Parameters of a query; what is wrong with them is a problem like any other.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        read.map(|query| Self(query.0)).map_err(|rejection| {
            ApiError::invalid(format!(
                "invalid query parameter: {}",
                rejection.body_text()
            ))
        })
    }
}

/// A task in JSON. A large one, which holds a module, has one of the few slots for uploads from
/// before it is read until it is sealed.
pub(super) struct Document {
    pub(super) request: TaskRequest,
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

impl FromRequest<Api> for Document {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Self::Rejection> {
        read(request, api)
            .await
            .map_err(IntoResponse::into_response)
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

async fn read(request: Request, api: &Api) -> Result<Document, ApiError> {
    let headers = request.headers();
    let kind = headers.get(header::CONTENT_TYPE).and_then(text);
    let len = headers.get(header::CONTENT_LENGTH).and_then(text);
    let len: Option<u64> = len.and_then(|len| len.parse().ok());
    if !kind.is_some_and(|kind| kind.contains("application/json")) {
        let detail = "unsupported content type: send application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let slot = match len {
        Some(len) if len <= JSON_LEN_EXTRA => None,
        _ => Some(api.slot().await?),
    };
    let body = Bytes::from_request(request, api)
        .await
        .map_err(|rejection| ApiError::new(rejection.status(), rejection.body_text()))?;
    let request: TaskRequest = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid(format!("malformed JSON: {error}")))?;
    match request.unsupported() {
        Some(field) => Err(ApiError::unsupported(field)),
        None => Ok(Document { request, slot }),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::{Next, from_fn};
    use axum::routing::put;
    use futures_util::{StreamExt as _, stream};
    use tower::ServiceExt as _;

    use super::*;

    /// Sends a body that pauses, and says whether it arrives.
    async fn arrives(path: &str, pause: Duration) -> bool {
        let take = async |body: Bytes| body.len().to_string();
        let patience = async |request: Request, next: Next| next.run(impatient(request)).await;
        let router: Router = Router::new()
            .route(STDIN_PATH, put(take))
            .route("/tasks/{id}/upload", put(take))
            .layer(from_fn(patience));
        let body = stream::iter(["x", "x"]).then(move |piece| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, std::io::Error>(piece)
        });
        let request = Request::put(path).body(Body::from_stream(body)).unwrap();
        router.oneshot(request).await.unwrap().status() == StatusCode::OK
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_pause_and_an_object_is_waited_for_elsewhere() {
        let second = Duration::from_secs(1);
        assert!(arrives("/tasks/1/upload", PAUSE_MAX - second).await);
        assert!(!arrives("/tasks/1/upload", PAUSE_MAX).await);
        assert!(arrives("/tasks/1/stdin", 10 * PAUSE_MAX).await);
    }
}
