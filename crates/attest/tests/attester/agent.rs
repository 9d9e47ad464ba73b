//! Attestation-agents that follow a script, one for each way to ask.

mod address;
mod grpc;
mod rest;
mod ttrpc;

use propeller_attest::attester::agent::AgentToken;

/// As an agent hands it out. The line ends of the key are escaped.
const TOKEN: &str = concat!(
    r#"{"token":"eyJhbGciOiJFUzI1NiJ9.e30.c2ln","#,
    r#""tee_keypair":"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"}"#
);

/// Evidence of the 48 bytes 07.
const EVIDENCE: &str = r#"{"svn":"1","report_data":"BwcH"}"#;

/// What no error may repeat.
const SECRET: &str = "c2VjcmV0";

fn provider() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
}

fn check(token: &AgentToken) {
    assert_eq!(token.token, "eyJhbGciOiJFUzI1NiJ9.e30.c2ln");
    let pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    assert_eq!(token.tee_keypair_pem.as_str(), pem);
    let shown = format!("{token:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("eyJ"), "{shown}");
}
