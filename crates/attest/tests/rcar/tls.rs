//! TLS: the system's authorities, those that are added, and nobody else.

use std::sync::Arc;
use std::time::Duration;

use propeller_attest::Attester;
use propeller_attest::rcar::{Kbs, KbsAddress, KbsError, KbsOptions, Prover, Step};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::broker::Broker;
use super::honest::{SECRET, client, options, provider, secret, told};

/// A broker for `name`, and its certificate as PEM, which signs itself.
async fn behind_tls(name: &str) -> (Broker, Vec<u8>) {
    provider();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let broker = Broker::behind(TlsAcceptor::from(Arc::new(config))).await;
    (broker, certificate.pem().into_bytes())
}

fn trusting(broker: &Broker, extra_roots: Vec<Vec<u8>>) -> KbsOptions {
    KbsOptions {
        extra_roots,
        ..options(broker)
    }
}

async fn refused(broker: &Broker, options: KbsOptions) {
    let error = secret(&client(options)).await.unwrap_err();
    let said = told(broker, &error);
    assert!(
        said.starts_with("key broker KBS: no answer to auth: "),
        "{said}"
    );
    assert!(matches!(
        error,
        KbsError::Network {
            step: Step::Auth,
            ..
        }
    ));
    // Not even the question was sent.
    assert!(broker.asked().is_empty());
}

#[tokio::test]
async fn a_broker_with_an_authority_of_its_own_is_asked_if_that_is_added() {
    let (broker, root) = behind_tls("127.0.0.1").await;
    assert!(broker.url.starts_with("https://"));
    let options = trusting(&broker, vec![root]);
    assert_eq!(secret(&client(options)).await.unwrap(), SECRET);
    assert_eq!(broker.counts(), [1, 1, 1]);
}

#[tokio::test]
async fn a_broker_that_no_authority_vouches_for_is_asked_nothing() {
    let (broker, _) = behind_tls("127.0.0.1").await;
    refused(&broker, trusting(&broker, Vec::new())).await;
}

#[tokio::test]
async fn an_authority_vouches_for_its_own_and_by_name() {
    let (broker, _) = behind_tls("127.0.0.1").await;
    let (_, other) = behind_tls("127.0.0.1").await;
    refused(&broker, trusting(&broker, vec![other])).await;
    let (misnamed, root) = behind_tls("kbs.example").await;
    refused(&misnamed, trusting(&misnamed, vec![root])).await;
}

#[tokio::test]
async fn of_several_authorities_in_one_file_or_in_several_each_counts() {
    let (broker, root) = behind_tls("127.0.0.1").await;
    let (_, other) = behind_tls("127.0.0.1").await;
    let bundle = [other.as_slice(), b"\n# a comment\n", &root].concat();
    for roots in [vec![bundle], vec![other, root]] {
        let options = trusting(&broker, roots);
        assert_eq!(secret(&client(options)).await.unwrap(), SECRET);
    }
}

#[tokio::test]
async fn a_broker_without_tls_is_not_asked_at_an_address_with_it() {
    let broker = Broker::honest().await;
    let url = broker.url.replace("http://", "https://");
    let address = KbsAddress::parse(&url, false, "").unwrap();
    let options = KbsOptions {
        address,
        ..options(&broker)
    };
    let error = secret(&client(options)).await.unwrap_err();
    assert!(
        matches!(
            error,
            KbsError::Network {
                step: Step::Auth,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(broker.counts(), [0, 0, 0]);
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let address = KbsAddress::parse(&url, false, "").unwrap();
    let options = KbsOptions {
        address,
        ..options(&Broker::honest().await)
    };
    let client = client(options);
    let begun = Instant::now();
    // Whoever waits for ever is stopped after an hour, which passes at once.
    let asking = tokio::time::timeout(Duration::from_secs(3600), secret(&client));
    let accepted = async {
        let connection = listener.accept().await.unwrap();
        tokio::time::pause();
        connection
    };
    let (outcome, _connection) = tokio::join!(asking, accepted);
    let error = outcome.unwrap().unwrap_err();
    assert!(
        matches!(
            error,
            KbsError::Network {
                step: Step::Auth,
                ..
            }
        ),
        "{error}"
    );
    let waited = begun.elapsed().as_secs();
    assert!((4..=10).contains(&waited), "{waited} s");
}

/// Whoever adds an authority that is none believes that there is one.
#[tokio::test]
async fn a_file_without_a_certificate_is_refused_before_anybody_is_asked() {
    let broker = Broker::honest().await;
    let key = KeyPair::generate().unwrap().serialize_pem().into_bytes();
    let good = behind_tls("127.0.0.1").await.1;
    let damaged = b"-----BEGIN CERTIFICATE-----\nAAAA".to_vec();
    for none in [Vec::new(), b"not PEM".to_vec(), key, damaged] {
        let shown = none.escape_ascii().to_string();
        for roots in [vec![none.clone()], vec![good.clone(), none]] {
            let prover = Prover::Own(Arc::new(Attester::sample()));
            let made = Kbs::new(trusting(&broker, roots), prover);
            assert!(matches!(made, Err(KbsError::Setup(_))), "{shown}");
        }
    }
}
