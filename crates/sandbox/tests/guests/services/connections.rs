//! Connections, of which a service has few.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::client::{self, get, send};
use super::{begin, free, service};

/// Shorter than the 30 s after which a client that says nothing has to go anyway.
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn clients_that_have_nothing_to_ask_make_room_for_others() {
    const CONNECTIONS: usize = 64;
    let runtime = Arc::new(crate::runtime::runtime());
    let (address, _running) = begin(&runtime, service(free())).await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = client::begin(address, b"GET /count HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let first = client.read_u8().await.expect("it is answered");
        assert_eq!(first, b'H');
        idle.push(client);
    }
    let answer = tokio::time::timeout(SOON, get(address, "/count")).await;
    assert_eq!(answer.expect("somebody has made room").status, 200);
}

#[tokio::test]
async fn the_head_of_a_request_is_as_long_as_it_may_be_and_no_longer() {
    let runtime = Arc::new(crate::runtime::runtime());
    let (address, _running) = begin(&runtime, service(free())).await;
    for (len, status) in [(60_000, "200"), (66_000, "431"), (200_000, "431")] {
        let long = "a".repeat(len);
        let request =
            format!("GET /count HTTP/1.1\r\nhost: a\r\nconnection: close\r\nlong: {long}\r\n\r\n");
        let answer = send(address, request.as_bytes()).await;
        let begins = answer.get(..12).unwrap_or(&answer);
        assert_eq!(begins, format!("HTTP/1.1 {status}"), "{len} bytes");
    }
}
