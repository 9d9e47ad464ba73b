//! Addresses on this machine, and HTTP clients that go nowhere else.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, ClientBuilder};
use rustls::crypto::CryptoProvider;

use super::error::AgentError;

const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Reads an address. `localhost` is 127.0.0.1, whatever a resolver says; other names are elsewhere.
pub(super) fn address(text: &str) -> Result<SocketAddr, AgentError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let address = text.to_owned();
    match text.rsplit_once(':') {
        Some((host, port)) => match (host, port.parse()) {
            ("localhost", Ok(port)) => Ok((Ipv4Addr::LOCALHOST, port).into()),
            (host, Ok(_)) if is_name(host) => Err(AgentError::Elsewhere { address }),
            _ => Err(AgentError::Address { address }),
        },
        None => Err(AgentError::Address { address }),
    }
}

fn is_name(host: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    !host.is_empty() && host.bytes().all(allowed)
}

/// A client for an address on this machine, and the proof that it is on this machine.
pub(super) fn client(
    address: SocketAddr,
    more: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client, AgentError> {
    if !address.ip().to_canonical().is_loopback() {
        let address = address.to_string();
        return Err(AgentError::Elsewhere { address });
    }
    if CryptoProvider::get_default().is_none() {
        return Err(AgentError::NoCryptoProvider);
    }
    let client = Client::builder()
        // The environment's proxy is on another machine.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // A connection that is kept would be written to after the agent was started anew.
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_MAX);
    more(client).build().map_err(AgentError::Setup)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, AgentError> {
        address(text).map(|address| address.to_string())
    }

    #[test]
    fn localhost_is_this_machine_and_names_are_not() {
        assert_eq!(read("127.0.0.1:50010").unwrap(), "127.0.0.1:50010");
        assert_eq!(read("[::1]:50010").unwrap(), "[::1]:50010");
        assert_eq!(read("localhost:1").unwrap(), "127.0.0.1:1");
        for name in ["agent:50010", "localhost.example:1", "agent.example:80"] {
            assert!(
                matches!(read(name), Err(AgentError::Elsewhere { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn what_has_no_port_is_no_address() {
        for text in [
            "",
            "127.0.0.1",
            "localhost",
            "localhost:",
            "localhost:65536",
            ":1",
            "a b:1",
        ] {
            assert!(
                matches!(read(text), Err(AgentError::Address { .. })),
                "{text}"
            );
        }
    }
}
