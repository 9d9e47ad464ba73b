//! The connection to one broker.

use std::time::Duration;

use reqwest::{Certificate, Client, redirect};
use rustls::crypto::CryptoProvider;

use super::address::KbsAddress;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Brokers fetch collateral of evidence from vendors while they are asked.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A client for one broker, which trusts `roots` (PEM) besides the system's; in words, why there is
/// none.
pub(super) fn client(address: &KbsAddress, roots: &[Vec<u8>]) -> Result<Client, String> {
    if CryptoProvider::get_default().is_none() {
        return Err("the process has no provider of cryptography for TLS".to_owned());
    }
    let mut certificates = Vec::new();
    for pem in roots {
        let found = Certificate::from_pem_bundle(pem).map_err(|error| error.to_string())?;
        // Whoever adds a file without one would learn from a handshake at the earliest.
        if found.is_empty() {
            return Err("a file of authorities to trust has no certificate in PEM".to_owned());
        }
        certificates.extend(found);
    }
    let builder = Client::builder()
        .user_agent(concat!("propeller/", env!("CARGO_PKG_VERSION")))
        // A token, and a secret, follow nobody elsewhere.
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_MAX)
        .timeout(ANSWER_MAX)
        // What one request of a few kilobytes needs, and no more.
        .http1_only()
        .tls_certs_merge(certificates);
    // Without TLS a proxy of the environment would read it: what is for this machine stays on it.
    let builder = match address.is_plain() {
        true => builder.no_proxy(),
        false => builder,
    };
    builder.build().map_err(|error| error.to_string())
}
