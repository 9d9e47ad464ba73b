//! Who may talk to the API.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::body::impatient;
use super::{Api, ApiError};

/// Checks the token, and on loopback that no web page of another origin is behind the request.
pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    // A client may write any word here, and each would be a series for good.
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other", |path| path.as_str())
        .to_owned();
    let refused = refuse(&api, request.uri(), request.headers());
    let (parts, body) = request.into_parts();
    let (body, read) = api.shared.lingering.body(&parts.headers, body);
    let request = Request::from_parts(parts, body);
    let response = match refused {
        Some(error) => error.into_response(),
        None => next.run(impatient(request)).await,
    };
    let response = read.finish(response);
    let status = response.status().as_u16();
    api.shared.metrics.request(method, &path, status);
    response
}

fn refuse(api: &Api, uri: &Uri, headers: &HeaderMap) -> Option<ApiError> {
    if api.shared.loopback && !is_local(uri, headers) {
        let detail = "this manager listens on loopback and answers only to localhost; \
                      a web page of another origin cannot use it";
        return Some(ApiError::new(StatusCode::FORBIDDEN, detail));
    }
    let token = api.shared.token.as_ref()?;
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let matches = given.is_some_and(|given| {
        aws_lc_rs::constant_time::verify_slices_are_equal(given.as_bytes(), token.0.as_bytes())
            .is_ok()
    });
    let health = uri.path().trim_end_matches('/') == "/health";
    if matches || health {
        return None;
    }
    let detail = "missing or wrong token: send `Authorization: Bearer TOKEN` \
                  (the CLI takes --token or PROPELLER_TOKEN)";
    Some(ApiError::new(StatusCode::UNAUTHORIZED, detail))
}

/// Host and Origin must name this machine: else a page could rebind a name to 127.0.0.1.
fn is_local(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &header::HeaderValue| value.to_str())
    };
    let host = match (uri.host(), text(header::HOST)) {
        (Some(host), _) => host,
        (None, Some(Ok(host))) => host,
        _ => return false,
    };
    let origin_is_local = match text(header::ORIGIN) {
        None => true,
        Some(Ok(origin)) => origin
            .split_once("://")
            .is_some_and(|(_, host)| names_this_machine(host)),
        Some(Err(_)) => false,
    };
    names_this_machine(host) && origin_is_local
}

fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for good in [
            "localhost",
            "localhost:7070",
            "127.0.0.1:1",
            "[::1]:7070",
            "127.9.9.9",
        ] {
            assert!(names_this_machine(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil",
            "[::2]",
            "10.0.0.1",
        ] {
            assert!(!names_this_machine(bad), "{bad}");
        }
    }
}
