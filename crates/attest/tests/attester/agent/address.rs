//! Which addresses are asked.

use propeller_attest::attester::agent::{Agent, AgentError, GRPC_DEFAULT};

use super::provider;

fn read(text: &str) -> Result<String, AgentError> {
    provider();
    text.parse().map(|agent: Agent| agent.to_string())
}

#[test]
fn an_address_says_how_its_agent_is_asked() {
    for (text, expected) in [
        (GRPC_DEFAULT, "127.0.0.1:50010"),
        ("grpc://[::1]:50002", "[::1]:50002"),
        ("localhost:50010", "127.0.0.1:50010"),
        ("[::ffff:127.0.0.1]:50010", "[::ffff:127.0.0.1]:50010"),
        ("http://127.0.0.1:8006", "http://127.0.0.1:8006"),
        ("http://localhost:8006/", "http://127.0.0.1:8006"),
        ("unix:///run/a.sock", "unix:///run/a.sock"),
        ("/run/a.sock", "unix:///run/a.sock"),
    ] {
        assert_eq!(read(text).unwrap(), expected);
    }
}

#[test]
fn nobody_is_asked_on_another_machine() {
    for text in [
        "10.0.2.2:50010",
        "0.0.0.0:50010",
        "[::]:50010",
        "[fe80::1]:50010",
        "agent.example:50010",
        "http://10.0.2.2:8006",
        "http://agent.example:8006",
        "grpc://192.168.0.1:50010",
    ] {
        let error = read(text).unwrap_err();
        assert!(
            matches!(error, AgentError::Elsewhere { .. }),
            "{text}: {error:?}"
        );
        let why = "whoever reaches an attestation-agent gets tokens and the private keys";
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn what_is_no_address_is_told_how_one_looks() {
    for text in [
        "",
        "agent",
        "https://127.0.0.1:8006",
        "unix://run/a.sock",
        "unix:run/a.sock",
        "http://127.0.0.1",
        "http://127.0.0.1:8006/aa",
        "http://user@127.0.0.1:8006",
        "127.0.0.1:65536",
    ] {
        let error = read(text).unwrap_err();
        assert!(
            matches!(error, AgentError::Address { .. }),
            "{text}: {error:?}"
        );
    }
}
