//! The one place where a refusal becomes a status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use propeller_api::Problem;
use propeller_depot::DepotError;

use crate::dispatch::Refusal;
use crate::objects::Away;
use crate::store::StoreError;

/// When whoever meets too much going on may try again, in seconds (RFC 9110, section 10.2.3).
const RETRY_AFTER_S: &str = "10";

/// An error, as RFC 9457 problem details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    detail: String,
    /// Whether it says when to try again.
    tries_again: bool,
}

impl ApiError {
    /// An error with a status and a sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            tries_again: false,
        }
    }

    /// 503: not now. It says when to try again.
    #[must_use]
    pub fn busy(detail: &str) -> Self {
        Self {
            tries_again: true,
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
    }

    /// 400: the request says something that cannot be.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 400: the request asks for something that this version cannot do.
    #[must_use]
    pub fn unsupported(field: &str) -> Self {
        Self::invalid(format!("not supported by this version: {field}"))
    }

    /// 503: the manager is on its way out.
    #[must_use]
    pub fn shutting_down() -> Self {
        let detail = "the manager is shutting down: try again soon";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// Whether what was asked for is certain not to have been done.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.status != StatusCode::SERVICE_UNAVAILABLE
    }

    /// 409: it cannot be done in this state.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 503: the object store cannot be used yet.
    #[must_use]
    pub fn store_away(why: &Away) -> Self {
        let detail = format!(
            "the manager cannot use its object store yet: {why}. It is tried again every 10 \
             seconds: try again in a moment, and if that does not help, see whether the store of \
             MANAGER_OBJECT_STORE runs"
        );
        Self::busy(&detail)
    }

    /// 503: the object store does not do what it should. The cause is in the log.
    #[must_use]
    pub fn object_store(error: &DepotError) -> Self {
        tracing::warn!(error = %error, cause = ?error, "a request met a failing object store");
        if let DepotError::TooLong { .. } = error {
            return Self::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string());
        }
        let detail = "the manager's object store failed: try again; its log says why";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    /// 500: our fault. The cause is in the log.
    pub fn internal(what: &'static str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, what)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::NoTask(_) | Refusal::NoProplet(_) | Refusal::NoModule(_) => {
                StatusCode::NOT_FOUND
            }
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            Refusal::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Refusal::Store => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, refusal.to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_full() {
            return Refusal::DiskFull.into();
        }
        tracing::error!(error = %error, cause = ?error, "a request met a failing store");
        Refusal::Store.into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            error: self.detail,
        };
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, kind, Json(problem)).into_response();
        if self.tries_again {
            let after = HeaderValue::from_static(RETRY_AFTER_S);
            response.headers_mut().insert(header::RETRY_AFTER, after);
        }
        response
    }
}

/// Upstream's parts that this version does not have are refused by name.
pub(super) async fn no_route(uri: axum::http::Uri) -> ApiError {
    const LATER: [&str; 3] = ["jobs", "workflows", "fl"];
    let path = uri.path().trim_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if LATER.contains(&first) || path.ends_with("/invoke") {
        let what = if LATER.contains(&first) {
            first
        } else {
            "invoke"
        };
        let detail = format!("not supported by this version: {what}");
        return ApiError::new(StatusCode::NOT_IMPLEMENTED, detail);
    }
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("no such path: {}", uri.path()),
    )
}

pub(super) async fn no_method(method: axum::http::Method, uri: axum::http::Uri) -> ApiError {
    let detail = format!("{method} is not possible on {}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
