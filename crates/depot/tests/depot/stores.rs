//! What holds for stores alone.

use std::net::TcpListener;

use propeller_depot::{Depot, DepotError, Doing, OpenError};

use crate::server::Vendor;
use crate::store::Store;
use crate::support::{no_variables, put, stdin, task};

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_s3_has_to_be_there() {
    a_bucket_has_to_be_there(Vendor::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_azure_has_to_be_there() {
    a_bucket_has_to_be_there(Vendor::Azure).await;
}

async fn a_bucket_has_to_be_there(vendor: Vendor) {
    let Some(store) = Store::new(vendor) else {
        return;
    };
    let refused = store.open("nowhere").await.unwrap_err();
    let OpenError::Probe { doing, source, .. } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(*doing, Doing::Write);
    assert!(matches!(source, DepotError::Store { .. }), "{source}");
    assert!(!refused.may_pass());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused_for_good() {
    let Some(mut store) = Store::new(Vendor::Azure) else {
        return;
    };
    let wrong = [("AZURE_STORAGE_ACCOUNT_KEY", "b2YgdGVzdHo=")];
    let refused = store.open_with("aaa", &wrong).await.unwrap_err();
    assert!(!refused.may_pass(), "{refused}");
    let OpenError::Probe { source, .. } = &refused else {
        panic!("{refused}");
    };
    let DepotError::Store { source, .. } = source else {
        panic!("{source}");
    };
    assert!(source.to_string().contains("403 Forbidden"), "{source}");
    assert!(!format!("{refused:?}").contains("b2YgdGVzdH"));
    assert!(store.objects().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_that_goes_away_is_an_error_and_not_a_missing_object() {
    a_store_that_goes_away(Vendor::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_azure_that_goes_away_is_an_error_and_not_a_missing_object() {
    a_store_that_goes_away(Vendor::Azure).await;
}

async fn a_store_that_goes_away(vendor: Vendor) {
    let Some(store) = Store::new(vendor) else {
        return;
    };
    let depot = store.open("aaa").await.unwrap();
    put(&depot, stdin(task(1)), b"x").await.unwrap();
    drop(store);
    let lost = depot.len(stdin(task(1))).await.unwrap_err();
    assert!(matches!(lost, DepotError::Store { .. }), "{lost}");
    let lost = put(&depot, stdin(task(1)), b"y").await.unwrap_err();
    assert!(matches!(lost, DepotError::Store { .. }), "{lost}");
}

#[tokio::test]
async fn nothing_is_sent_without_tls_but_to_this_machine() {
    let variables = [
        ("AWS_ENDPOINT_URL", "http://store.example:9000"),
        ("AWS_REGION", "us-east-1"),
    ];
    let location = "s3://aaa".parse().unwrap();
    let refused = Depot::open(&location, variables).await.unwrap_err();
    assert!(matches!(refused, OpenError::PlainHttp { .. }), "{refused}");

    // Without an account there is no address.
    let location = "az://aaa".parse().unwrap();
    let refused = Depot::open(&location, no_variables()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Variables { .. }), "{refused}");
}

#[tokio::test]
async fn an_address_that_is_none_is_an_error_and_no_panic() {
    for (location, name, value) in [
        ("s3://aaa", "AWS_ENDPOINT", "localhost:9000"),
        ("s3://aaa", "AWS_ACCESS_KEY_ID", "key\n"),
        ("gs://aaa", "GOOGLE_BASE_URL", "nonsense"),
        ("az://aaa", "AZURE_STORAGE_ENDPOINT", "localhost:9000"),
    ] {
        let location = location.parse().unwrap();
        let judged = Depot::judge(&location, [(name, value)]).unwrap_err();
        let refused = Depot::open(&location, [(name, value)]).await.unwrap_err();
        for refused in [judged, refused] {
            assert!(matches!(refused, OpenError::Variable(_)), "{refused}");
            assert!(refused.to_string().contains(name), "{refused}");
            assert!(!refused.may_pass());
        }
    }
}

#[tokio::test]
async fn an_emulators_switch_leads_nowhere() {
    // Where it leads is read from elsewhere, and without TLS wherever that is.
    let variables = [
        ("AZURE_STORAGE_USE_EMULATOR", "true"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
    ];
    let location = "az://aaa".parse().unwrap();
    let refused = Depot::open(&location, variables).await.unwrap_err();
    assert!(matches!(refused, OpenError::Emulator), "{refused}");
    assert!(!refused.may_pass());
    assert!(refused.to_string().contains("AZURE_STORAGE_ENDPOINT=http"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_a_google_account_is_asked_nothing_without_tls() {
    // There may be one already.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let account = serde_json::json!({
        "gcs_base_url": format!("http://{}", listener.local_addr().unwrap()),
        "disable_oauth": true,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    });
    let account = account.to_string();
    // Nobody looks into the account for an address, and a request is only made where a variable
    // allows it.
    for (allowed, asks) in [("false", false), ("true", true)] {
        let variables = [
            ("GOOGLE_SERVICE_ACCOUNT_KEY", account.as_str()),
            ("GOOGLE_ALLOW_HTTP", allowed),
            ("GOOGLE_TIMEOUT", "1 second"),
        ];
        let location = "gs://aaa".parse().unwrap();
        let refused = Depot::open(&location, variables).await.unwrap_err();
        assert!(matches!(refused, OpenError::Probe { .. }), "{refused}");
        assert_eq!(listener.accept().is_ok(), asks, "{allowed}");
    }
}
