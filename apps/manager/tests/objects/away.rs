//! A manager whose object store is away when it starts, with a store that speaks as much S3 as that
//! takes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::bed::{Bed, KEY};
use crate::seal::{self, object};

const STORE: &str = "s3://bucket/prefix";

/// Objects by their paths.
type Objects = Arc<Mutex<BTreeMap<String, Bytes>>>;

/// What a store does.
#[derive(Clone)]
enum Deed {
    Keep(Objects),
    /// Answers with this status, whatever it is asked.
    Say(StatusCode),
}

async fn serve(address: SocketAddr, deed: Deed) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(answer).with_state(deed);
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, serving)
}

async fn answer(
    State(deed): State<Deed>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let objects = match deed {
        Deed::Keep(objects) => objects,
        Deed::Say(status) => return status.into_response(),
    };
    let mut objects = objects.lock().unwrap();
    let path = uri.path().to_owned();
    let tagged = [
        (header::ETAG, "\"tag\""),
        (header::LAST_MODIFIED, "Wed, 21 Oct 2015 07:28:00 GMT"),
    ];
    match (method, objects.get(&path).cloned()) {
        (Method::PUT, Some(_)) if headers.contains_key(header::IF_NONE_MATCH) => {
            StatusCode::PRECONDITION_FAILED.into_response()
        }
        (Method::PUT, _) => {
            objects.insert(path, body);
            tagged.into_response()
        }
        (Method::DELETE, _) => {
            objects.remove(&path);
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::GET, Some(bytes)) => {
            let range = headers[header::RANGE].to_str().unwrap();
            let (first, last) = range["bytes=".len()..].split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            let part = format!("bytes {first}-{last}/{}", bytes.len());
            let part = [(header::CONTENT_RANGE, part)];
            let bytes = bytes.slice(first..=last);
            (StatusCode::PARTIAL_CONTENT, part, tagged, bytes).into_response()
        }
        (Method::HEAD, Some(bytes)) => {
            let len = [(header::CONTENT_LENGTH, bytes.len().to_string())];
            (len, tagged).into_response()
        }
        // A list, for the sweep, included: it looks again an hour later.
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn variables(address: SocketAddr) -> Vec<(String, String)> {
    let endpoint = format!("http://{address}");
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", "k"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DISABLE_BULK_DELETE", "true"),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    variables.map(owned).to_vec()
}

/// An address that nobody listens at.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_starts_without_a_store_that_is_away_and_uses_it_once_it_answers() {
    let address = nobody().await;
    let bed = Bed::with_store(STORE, variables(address)).await.unwrap();
    let health = bed.get("/health", "").await.json();
    assert_eq!(health["status"], "warn", "{health}");
    assert_eq!(health["object_store_reached"], false, "{health}");
    let task = json!({"name": "app", "object_key": seal::hex(&KEY)});
    let stdin = format!("/tasks/{}/stdin", bed.create(&task).await);
    let input = object(b"input", KEY).0;
    let refused = bed.put(&stdin, &input).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("10"));
    let text = refused.text();
    assert!(text.contains("does not answer"), "{text}");
    assert!(text.contains("MANAGER_OBJECT_STORE"), "{text}");

    let objects = Objects::default();
    let (_, _serving) = serve(address, Deed::Keep(Arc::clone(&objects))).await;
    for _ in 0..300 {
        let health = bed.get("/health", "").await.json();
        if health["object_store_reached"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let put = bed.put(&stdin, &input).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let names = objects.lock().unwrap().keys().cloned().collect::<Vec<_>>();
    assert!(names.contains(&"/bucket/prefix/propeller-depot".to_owned()));
    assert_eq!(names.len(), 2, "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_named_wrongly_keeps_a_manager_from_starting() {
    for (status, starts) in [
        (StatusCode::FORBIDDEN, false),
        (StatusCode::UNAUTHORIZED, false),
        (StatusCode::NOT_FOUND, false),
        (StatusCode::SERVICE_UNAVAILABLE, true),
    ] {
        let local = "127.0.0.1:0".parse().unwrap();
        let (address, _serving) = serve(local, Deed::Say(status)).await;
        let bed = Bed::with_store(STORE, variables(address)).await;
        assert_eq!(bed.is_ok(), starts, "{status}");
    }
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let refused = Bed::with_store(missing.to_str().unwrap(), Vec::new()).await;
    assert!(refused.is_err());
}
