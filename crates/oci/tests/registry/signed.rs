//! Signing again what is signed.

use propeller_oci::artifact::{Form, Interfaces, build, push};
use propeller_oci::registry::silently;
use propeller_oci::sign::SigningKey;
use propeller_oci::signatures::{self, Added};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::support::{MODULE, Server, anonymous};

fn key() -> SigningKey {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("it can be made");
    SigningKey::from_pem(pair.serialize_pem().as_bytes(), None).expect("it is one")
}

#[tokio::test]
async fn whoever_has_signed_an_image_adds_nothing_by_signing_it_again() {
    let Some(server) = Server::plain() else {
        return;
    };
    let registry = anonymous();
    let reference = server.reference("team/app:1");
    let built = build(MODULE, Form::Artifact, &Interfaces::default(), &[]).expect("plain");
    push(&registry, &reference, &built, silently())
        .await
        .expect("it is taken");
    let count = async || {
        let offered = signatures::offered(&registry, &reference, built.digest).await;
        offered.expect("they are there").len()
    };
    let (ours, other) = (key(), key());
    let sign = async |key| {
        let added = signatures::add(&registry, &reference, built.digest, key).await;
        added.expect("it is taken")
    };
    assert_eq!((sign(&ours).await, count().await), (Added::Signed, 1));
    assert_eq!((sign(&ours).await, count().await), (Added::Before, 1));
    // Somebody else's signature is no reason to leave ours out, nor the other way round.
    assert_eq!((sign(&other).await, count().await), (Added::Signed, 2));
    assert_eq!((sign(&ours).await, count().await), (Added::Before, 2));

    // Under another name it is another signature, in a list of its own.
    let elsewhere = server.reference("team/other:1");
    push(&registry, &elsewhere, &built, silently())
        .await
        .expect("it is taken");
    let added = signatures::add(&registry, &elsewhere, built.digest, &ours).await;
    assert_eq!(added.expect("it is taken"), Added::Signed);
}
