//! The one place where a refusal becomes a status and a body.
//!
//! Names, texts and statuses are Trustee's: 401 for nearly everything, 404 for paths that nothing
//! answers to, and no `Content-Type`. What only this broker refuses is said in the same shape.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use propeller_attest::rcar::{ERROR_TYPE, ErrorInformation};

use crate::admins::Denied;
use crate::audit::printable;

/// Why somebody does not get what he asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Attestation error: RCAR handshake Auth failed: {0}")]
    Auth(String),
    #[error("Attestation error: RCAR handshake Attest failed: {0}")]
    Attest(String),
    #[error("Attestation Token not found")]
    TokenNotFound,
    #[error("Token Verifier error")]
    TokenVerifier,
    #[error("Access denied by policy")]
    PolicyDeny,
    /// Also what is not there: whoever may not have it does not learn whether it is.
    #[error("Plugin internal error")]
    PluginInternal,
    /// The same, to somebody who may know why.
    #[error("Plugin internal error: {0}")]
    Vault(String),
    #[error("Plugin {0} not found")]
    PluginNotFound(String),
    #[error("Request path {0} is invalid")]
    InvalidRequestPath(String),
    #[error("failed to initialize [admin] configuration: {0}")]
    AdminOfResource(Denied),
    #[error("admin access denied for endpoint {endpoint}: {denied}")]
    Admin {
        endpoint: &'static str,
        denied: Denied,
    },
    /// Another broker's way of saying what may be had.
    #[error("Policy engine error: {0}")]
    PolicyEngine(&'static str),
    #[error("{0}")]
    Invalid(String),
    #[error("another resource has this path already")]
    Exists,
    #[error("a web page is no client of a key broker")]
    WebPage,
    #[error("asked too often: try again in {} s", .0.as_secs() + 1)]
    TooOften(Duration),
    #[error("payload reached size limit")]
    TooLarge,
    #[error("the request took too long")]
    TooSlow,
}

impl Refusal {
    /// Name of the error's type, if the protocol has one for it.
    fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Auth(_) | Self::Attest(_) => "AttestationError",
            Self::TokenNotFound => "TokenNotFound",
            Self::TokenVerifier => "TokenVerifierError",
            Self::PolicyDeny => "PolicyDeny",
            Self::PluginInternal | Self::Vault(_) => "PluginInternalError",
            Self::PluginNotFound(_) => "PluginNotFound",
            Self::InvalidRequestPath(_) => "InvalidRequestPath",
            Self::AdminOfResource(_) => "AdminAuthInitialization",
            Self::Admin { .. } => "AdminAuthAccess",
            Self::PolicyEngine(_) => "PolicyEngineError",
            Self::Invalid(_)
            | Self::Exists
            | Self::WebPage
            | Self::TooOften(_)
            | Self::TooLarge
            | Self::TooSlow => return None,
        })
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::PluginNotFound(_) | Self::InvalidRequestPath(_) => StatusCode::NOT_FOUND,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Exists => StatusCode::PRECONDITION_FAILED,
            Self::WebPage => StatusCode::FORBIDDEN,
            Self::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let detail = printable(&self.to_string());
        if matches!(self, Self::TooLarge) {
            let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            return (status, plain, detail).into_response();
        }
        let kind = match self.name() {
            Some(name) => format!("{ERROR_TYPE}{name}"),
            None => "about:blank".to_owned(),
        };
        let body = serde_json::to_vec(&ErrorInformation { kind, detail });
        let body = body.expect("two texts are JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        if let Self::TooOften(wait) = self {
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
