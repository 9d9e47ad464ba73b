//! Registries and token servers that want our credentials, for themselves or for ever.

use propeller_oci::registry::silently;
use propeller_oci::{Credentials, RegistryOptions};

use crate::hostile::{honest, of_type, outcome, told, with};
use crate::support::{Answer, Asked, MODULE, Scripted, anonymous, client, credentials};

#[tokio::test]
async fn whoever_a_registry_sends_us_to_cannot_ask_for_our_password() {
    let thief = Scripted::start(|asked| {
        let realm = r#"Bearer realm="/token""#;
        match asked.path.as_str() {
            "/token" => Answer::new(200, &[], r#"{"token":"x"}"#),
            _ => Answer::new(401, &[("www-authenticate", realm)], ""),
        }
    })
    .await;
    let to = format!("http://{}/x", thief.address);
    let server = Scripted::start(move |_| Answer::new(307, &[("location", &to)], "")).await;
    let registry = client(RegistryOptions {
        credentials: credentials(&server.address, "me", "secret"),
        ..RegistryOptions::default()
    });
    let said = outcome(&registry, &server.reference("image")).await;
    let why = format!("network: {} answers the manifest with 401", thief.address);
    assert_eq!(said, why);
    assert!(
        thief
            .asked()
            .iter()
            .all(|asked| asked.authorization.is_none())
    );
}

/// The token server is on this machine too, under a name that nobody knows to be.
#[tokio::test]
async fn credentials_for_this_machine_leave_it_for_no_token() {
    let tokens = Scripted::start(|_| Answer::new(200, &[], r#"{"token":"x"}"#)).await;
    let port = tokens.address.rsplit(':').next().expect("it has one");
    for (realm, let_go) in [
        (format!("http://token.invalid:{port}/token"), false),
        (format!("http://localhost:{port}/token"), true),
    ] {
        let challenge = format!(r#"Bearer realm="{realm}""#);
        let server = Scripted::start(move |asked| match &asked.authorization {
            Some(pass) if pass == "Bearer x" => of_type(honest()),
            _ => Answer::new(401, &[("www-authenticate", &challenge)], ""),
        })
        .await;
        let said = |credentials| {
            let options = RegistryOptions {
                credentials,
                ..RegistryOptions::default()
            };
            let reference = server.reference("image");
            async move { outcome(&client(options), &reference).await }
        };
        let filed = said(credentials(&server.address, "me", "secret")).await;
        let why = format!(
            "credentials: {0} asks for a token of {realm}, to which its credentials are not sent \
             without TLS: file them as those of http://{0}",
            server.address
        );
        assert_eq!(filed.starts_with(&why), !let_go, "{filed}");
        // Who has no secrets, or said that they are none, is told that nobody has that name.
        let open = credentials(&format!("http://{}", server.address), "me", "secret");
        for free in [open, Credentials::default()] {
            let free = said(free).await;
            let asked = free.starts_with("network: no token from token.invalid");
            assert_eq!(asked, !let_go, "{free}");
        }
    }
    let with_password = |asked: &&Asked| asked.authorization.is_some();
    assert_eq!(tokens.asked().iter().filter(with_password).count(), 2);
}

#[tokio::test]
async fn credentials_do_not_travel_to_where_a_registry_sends_us() {
    let elsewhere = Scripted::start(|_| Answer::new(200, &[], MODULE)).await;
    let storage = format!("http://{}/storage", elsewhere.address);
    let server = Scripted::start(move |asked| {
        if asked.authorization.is_none() {
            return Answer::new(401, &[("www-authenticate", "Basic realm=x")], "");
        }
        match asked.path.contains("/manifests/") {
            true => of_type(honest()),
            false => Answer::new(307, &[("location", &storage)], ""),
        }
    })
    .await;
    let registry = client(RegistryOptions {
        credentials: credentials(&server.address, "me", "secret"),
        ..RegistryOptions::default()
    });
    assert_eq!(
        outcome(&registry, &server.reference("image")).await,
        "8 bytes"
    );
    let asked = elsewhere.asked();
    assert_eq!((asked.len(), &asked[0].authorization), (1, &None));
}

#[tokio::test]
async fn who_keeps_asking_for_a_token_is_left() {
    let server = Scripted::start(|asked| {
        let realm = r#"Bearer realm="/token",service="s""#;
        match asked.path.starts_with("/token?") {
            true => Answer::new(200, &[], r#"{"token":"again"}"#),
            false => Answer::new(401, &[("www-authenticate", realm)], ""),
        }
    })
    .await;
    let said = outcome(&anonymous(), &server.reference("image")).await;
    let why = format!(
        "credentials: {} does not let an anonymous user pull from image",
        server.address
    );
    assert_eq!(said, why);
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert_eq!(
        asked[1].path,
        "/token?service=s&scope=repository%3Aimage%3Apull"
    );
    assert_eq!(asked[2].authorization.as_deref(), Some("Bearer again"));
}

#[tokio::test]
async fn a_token_server_that_gives_none_is_named() {
    for (status, body, why) in [
        (200, "{}", "gives none"),
        (200, "<html>", "gives none"),
        (403, "no", "answers an anonymous user with 403"),
        (302, "", "answers an anonymous user with 302"),
    ] {
        let said = told(move |asked| match asked.path.starts_with("/token") {
            true => Answer::new(status, &[("location", "/elsewhere")], body),
            false => Answer::new(401, &[("www-authenticate", "Bearer realm=\"/token\"")], ""),
        })
        .await;
        let whole = format!("credentials: REGISTRY asks for a token, and its token server {why}");
        assert_eq!(said, whole);
    }
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_used_for_all() {
    let server = Scripted::start(|asked| {
        if asked.path.starts_with("/token") {
            return Answer::new(200, &[], r#"{"access_token":"t"}"#);
        }
        if asked.authorization.as_deref() != Some("Bearer t") {
            return Answer::new(401, &[("www-authenticate", "Bearer realm=\"/token\"")], "");
        }
        with(honest(), || Answer::new(200, &[], MODULE))(asked)
    })
    .await;
    let registry = anonymous();
    for _ in 0..2 {
        assert_eq!(
            outcome(&registry, &server.reference("image")).await,
            "8 bytes"
        );
    }
    let asked = server.asked();
    let tokens = asked
        .iter()
        .filter(|asked| asked.path.starts_with("/token"));
    assert_eq!((tokens.count(), asked.len()), (1, 6));
}

#[tokio::test]
async fn a_token_that_is_none_any_more_is_replaced() {
    let given = std::sync::atomic::AtomicUsize::new(0);
    let server = Scripted::start(move |asked| {
        use std::sync::atomic::Ordering::SeqCst;
        if asked.path.starts_with("/token") {
            let number = given.fetch_add(1, SeqCst) + 1;
            return Answer::new(200, &[], format!(r#"{{"token":"t{number}"}}"#));
        }
        let newest = format!("Bearer t{}", given.load(SeqCst));
        // The first one is for the manifest alone.
        let over = newest == "Bearer t1" && asked.path.contains("/blobs/");
        if over || asked.authorization.as_deref() != Some(newest.as_str()) {
            return Answer::new(401, &[("www-authenticate", "Bearer realm=\"/token\"")], "");
        }
        with(honest(), || Answer::new(200, &[], MODULE))(asked)
    })
    .await;
    assert_eq!(
        outcome(&anonymous(), &server.reference("image")).await,
        "8 bytes"
    );
    let asked = server.asked();
    let tokens = asked
        .iter()
        .filter(|asked| asked.path.starts_with("/token"));
    assert_eq!(tokens.count(), 2);
}

#[tokio::test]
async fn a_token_of_a_megabyte_is_no_token() {
    let token = format!(r#"{{"token":"{}"}}"#, "x".repeat(1 << 20));
    let said = told(move |asked| match asked.path.starts_with("/token") {
        true => Answer::new(200, &[], token.clone()),
        false => Answer::new(401, &[("www-authenticate", "Bearer realm=\"/token\"")], ""),
    })
    .await;
    assert!(said.starts_with("size: the token has 104"), "{said}");
}

#[tokio::test]
async fn a_token_server_that_is_busy_or_broken_is_the_network() {
    for (status, why) in [
        (429, "network: REGISTRY is asked too often"),
        (503, "network: REGISTRY answers the token with 503"),
    ] {
        let said = told(move |asked| match asked.path.starts_with("/token") {
            true => Answer::new(status, &[], ""),
            false => Answer::new(401, &[("www-authenticate", "Bearer realm=\"/token\"")], ""),
        })
        .await;
        assert!(said.starts_with(why), "{said}");
    }
}

#[tokio::test]
async fn an_upload_that_is_sent_elsewhere_takes_no_password_along() {
    let elsewhere = Scripted::start(|_| Answer::new(201, &[], "")).await;
    let to = format!("http://{}/upload?state=1", elsewhere.address);
    let server = Scripted::start(move |asked| {
        if asked.authorization.is_none() {
            return Answer::new(401, &[("www-authenticate", "Basic realm=x")], "");
        }
        match asked.path.ends_with("/blobs/uploads/") {
            true => Answer::new(202, &[("location", &to)], ""),
            false => Answer::new(404, &[], ""),
        }
    })
    .await;
    let registry = client(RegistryOptions {
        credentials: credentials(&server.address, "me", "secret"),
        ..RegistryOptions::default()
    });
    let blob = bytes::Bytes::from_static(MODULE);
    let reference = server.reference("image");
    let sent = registry.push_blob(&reference, &blob, silently()).await;
    assert!(sent.expect("it is taken"));
    let asked = elsewhere.asked();
    assert_eq!((asked.len(), &asked[0].authorization), (1, &None));
    let digest = propeller_oci::sha256(MODULE)
        .to_string()
        .replace(':', "%3A");
    assert_eq!(asked[0].path, format!("/upload?state=1&digest={digest}"));
}
