//! Azure's metadata service (IMDS): HTTP without TLS, at an address that only the host answers.
//!
//! What it says is as trustworthy as the host, so that nothing is taken from it that is not signed.

use std::io;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Client, redirect};
use rustls::crypto::CryptoProvider;
use serde_json::Value;

/// On every virtual machine of Azure's.
pub(super) const ADDRESS: &str = "http://169.254.169.254";

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A quote of TDX takes the host a second or two.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Some 10 KB of certificates, or a quote.
const ANSWER_BYTES_MAX: usize = 128 << 10;

/// Gets what is at a path, or gives a JSON to it. On a thread of its own: whoever attests may be in
/// the middle of asynchronous code, or not.
pub(super) fn ask(address: &str, path: &str, json: Option<&Value>) -> io::Result<Value> {
    let url = format!("{address}{path}");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(answer(&url, json))
        });
        let panicked = |_| Err(io::Error::other("asking it panicked"));
        asking.join().unwrap_or_else(panicked)
    })
}

async fn answer(url: &str, json: Option<&Value>) -> io::Result<Value> {
    let client = client()?;
    let request = match json {
        Some(json) => client.post(url).json(json),
        None => client.get(url),
    };
    let request = request
        .header("Metadata", "true")
        .header(ACCEPT, "application/json");
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        return Err(io::Error::other(format!("it answers {status}")));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err(io::Error::other(format!(
                "its answer is longer than {ANSWER_BYTES_MAX} bytes"
            )));
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).map_err(|_| io::Error::other("its answer is no JSON"))
}

fn client() -> io::Result<Client> {
    // Without it building a client panics, though nothing here speaks TLS.
    if CryptoProvider::get_default().is_none() {
        return Err(io::Error::other(
            "the process has no provider of cryptography",
        ));
    }
    let client = Client::builder()
        // The address is one of this machine's, and no proxy can reach it for us.
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_MAX)
        .timeout(ANSWER_MAX)
        .http1_only()
        .build();
    client.map_err(io::Error::other)
}

/// What the connection died of, which an error of a request keeps behind it.
fn failed(error: reqwest::Error) -> io::Error {
    let error = error.without_url();
    let mut why = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    io::Error::other(why)
}
