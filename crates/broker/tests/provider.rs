//! A program that forgot its TLS provider is told so. Alone here, because a provider is for ever.
#![cfg(test)]

use propeller_broker::{Options, StartError, start};

#[tokio::test]
async fn without_a_tls_provider_the_broker_refuses_to_start() {
    let options = Options::new(([127, 0, 0, 1], 0).into());
    let error = start(options).await.unwrap_err();
    assert!(matches!(error, StartError::NoTlsProvider));
}
