//! Administrators: what each may do, and what he is told.

use propeller_attest::rcar::admin::{Admin, AdminError};
use serde_json::{Value, json};

use super::bed::{Bed, OPEN};
use super::guest::{Answer, Guest};

#[tokio::test]
async fn a_role_writes_and_sees_what_is_its_own() {
    let bed = Bed::new(OPEN).await;
    bed.put("tenant-a/key/1", b"1234567").await;
    bed.put("tenant-b/key/1", b"1").await;
    let scoped = |role: &str| Admin::new(bed.address(), &[], bed.scoped.admin_key(), role).unwrap();
    let now = u64::try_from(bed.now()).unwrap();
    let (mine, other) = (
        "tenant-a/key/2".parse().unwrap(),
        "tenant-b/key/1".parse().unwrap(),
    );
    scoped("scoped")
        .put_resource(&mine, b"x", now)
        .await
        .unwrap();
    for refused in [
        scoped("scoped").put_resource(&other, b"x", now).await,
        scoped("scoped").delete_resource(&other, now).await,
        // Whoever has one role's key cannot speak for another.
        scoped("admin").put_resource(&other, b"x", now).await,
        scoped("nobody").put_resource(&mine, b"x", now).await,
        scoped("scoped").put_resource(&mine, b"x", now - 1000).await,
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, AdminError::Denied { .. }), "{refused}");
    }
    scoped("scoped").delete_resource(&mine, now).await.unwrap();
    let missing = scoped("scoped")
        .delete_resource(&mine, now)
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("there is no such resource"),
        "{missing}"
    );

    let token = bed.scoped.token("scoped");
    let (status, listed) = bed.ask_as(&token, "resources", None).await;
    assert_eq!(status, 200);
    let time = "2026-09-21T14:13:20Z";
    let own = json!({"path": "tenant-a/key/1", "bytes": 7, "created": time, "changed": time});
    assert_eq!(listed, json!({"resources": [own]}));
    let (_, everything) = bed.ask("resources", None).await;
    assert_eq!(everything["resources"].as_array().unwrap().len(), 2);
    // And of the log, what is about them.
    let (_, log) = bed.ask_as(&token, "audit?since=0", None).await;
    let lines = log["lines"].as_array().unwrap();
    let about = |line: &Value| line["resource"].as_str().unwrap().starts_with("tenant-a/");
    assert!(!lines.is_empty() && lines.iter().all(about), "{log}");
}

#[tokio::test]
async fn a_resource_that_is_to_be_new_replaces_no_other() {
    let bed = Bed::new(OPEN).await;
    let now = u64::try_from(bed.now()).unwrap();
    let admin = Admin::new(bed.address(), &[], bed.admin.admin_key(), "admin").unwrap();
    let path = "propeller-test/allowed/1".parse().unwrap();
    admin.add_resource(&path, b"one", now).await.unwrap();
    // Whoever repeats himself is told that it is there, which it is.
    admin.add_resource(&path, b"one", now).await.unwrap();
    for other in [&b"two"[..], b"on", b"one "] {
        let refused = admin.add_resource(&path, other, now).await.unwrap_err();
        assert!(matches!(refused, AdminError::Exists { .. }), "{refused}");
    }
    let guest = Guest::new(&bed.http, bed.broker().url());
    let token = guest.attested().await;
    let released = guest.get(path.as_str(), Some(&token), "").await;
    assert_eq!(guest.open(&released).unwrap(), b"one");
    let logged = bed.logged(&["admin"]).await;
    let whys = logged.iter().filter_map(|line| line["why"].as_str());
    assert_eq!(
        whys.collect::<Vec<_>>(),
        ["another resource has this path already"; 3]
    );

    let url = bed.url("/kbs/v0/resource/propeller-test/allowed/1");
    for condition in ["\"a tag\"", ""] {
        let request = bed.http.post(&url).bearer_auth(bed.admin.token("admin"));
        let request = request.header("if-none-match", condition).body("two");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400);
        let told = answer.text().await.unwrap();
        assert!(told.contains("`If-None-Match: *`"), "{told}");
    }
}

#[tokio::test]
async fn without_roles_nobody_may_do_anything() {
    let mut bed = Bed::closed(OPEN);
    bed.config.admins = None;
    bed.start().await.unwrap();
    for endpoint in ["resources", "audit", "reload", "explain"] {
        let body = ["reload", "explain"].contains(&endpoint).then(|| json!({}));
        let (status, answer) = bed.ask(endpoint, body.as_ref()).await;
        assert_eq!(status, 401, "{answer}");
        assert!(
            answer["detail"]
                .as_str()
                .unwrap()
                .contains("KEYBROKER_ADMINS"),
            "{answer}"
        );
    }
    let admin = Admin::new(bed.address(), &[], bed.admin.admin_key(), "admin").unwrap();
    let now = u64::try_from(bed.now()).unwrap();
    let refused = admin
        .put_resource(&"a/b/c".parse().unwrap(), b"x", now)
        .await;
    assert!(
        matches!(refused, Err(AdminError::Denied { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_trustee_has_and_this_broker_does_not_is_refused_with_what_to_do() {
    let bed = Bed::new(OPEN).await;
    let token = bed.admin.token("admin");
    for (method, path, words) in [
        ("POST", "resource-policy", "KEYBROKER_POLICY"),
        ("GET", "resource-policy", "reload"),
        ("POST", "attestation-policy", "name the measurements"),
        ("POST", "reference-value", "reference values"),
        ("GET", "reference-value/x", "reference values"),
    ] {
        let url = bed.url(&format!("/kbs/v0/{path}"));
        let request = bed
            .http
            .request(method.parse().unwrap(), url)
            .bearer_auth(&token);
        let (status, name, detail) = Answer::of(request).await.refusal();
        assert_eq!((status, name.as_str()), (401, "PolicyEngineError"));
        assert!(detail.contains(words), "{detail}");
    }
}

#[tokio::test]
async fn a_dry_run_says_why_and_counts_nothing() {
    let bed = Bed::new(
        "[[allow]]\nname = 'once'\nresources = ['propeller-test/*']\ntee = ['sample']\n\
         init_data = { tenant = 'a' }\nat_most = { releases = 1, per = '1h' }",
    )
    .await;
    bed.put("propeller-test/key/1", b"x").await;
    let guest = Guest::new(&bed.http, bed.broker().url());
    let claims = |tenant: &str| {
        let claims = json!({"tee": "sample", "init_data": {"tenant": tenant}});
        json!({"path": "propeller-test/key/1", "claims": claims})
    };
    for _ in 0..3 {
        let (_, allowed) = bed.ask("explain", Some(&claims("a"))).await;
        assert_eq!(
            (&allowed["decision"], &allowed["rule"]),
            (&json!("allow"), &json!("once"))
        );
        assert_eq!(allowed["exists"], true);
        let notes = allowed["notes"].to_string();
        assert!(notes.contains("nobody measured or verified it"), "{notes}");
    }
    let (_, denied) = bed.ask("explain", Some(&claims("b"))).await;
    assert_eq!(denied["decision"], "deny");
    let why = "`tenant` of the init-data is \"b\", and has to be \"a\"";
    assert_eq!(denied["rules"], json!([{"rule": "once", "unmet": [why]}]));

    let token = guest
        .attested_with(super::guest::init_data("a"))
        .await
        .token();
    let by_token = json!({"path": "propeller-test/key/1", "token": token});
    assert_eq!(
        guest
            .get("propeller-test/key/1", Some(&token), "")
            .await
            .status,
        200
    );
    let (_, spent) = bed.ask("explain", Some(&by_token)).await;
    assert!(
        spent["explanation"]
            .as_str()
            .unwrap()
            .contains("has made its 1 releases"),
        "{spent}"
    );
    bed.pass(3601);
    let (_, over) = bed.ask("explain", Some(&by_token)).await;
    assert_eq!(over["decision"], "allow");
    assert!(
        over["notes"].to_string().contains("the token is over"),
        "{over}"
    );

    for (asked, status, words) in [
        (
            json!({"path": "propeller-test/key/1"}),
            400,
            "either `token` or `claims`",
        ),
        (
            json!({"path": "x", "claims": {"tee": "tdx"}}),
            400,
            "three parts",
        ),
        (
            json!({"path": "a/b/c", "claims": {"tee": "magic"}}),
            400,
            "malformed JSON",
        ),
        (
            json!({"path": "a/b/c", "token": "x"}),
            400,
            "not signed by this broker",
        ),
    ] {
        let (found, answer) = bed.ask("explain", Some(&asked)).await;
        assert_eq!(found, status, "{answer}");
        assert!(
            answer["detail"].as_str().unwrap().contains(words),
            "{answer}"
        );
    }
    let scoped = bed.scoped.token("scoped");
    let (status, _) = bed.ask_as(&scoped, "explain", Some(&by_token)).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn rules_are_read_again_and_bad_ones_change_nothing() {
    let bed = Bed::new("").await;
    bed.put("propeller-test/allowed/1", b"x").await;
    let guest = Guest::new(&bed.http, bed.broker().url());
    let token = guest.attested().await;
    let status = async || {
        guest
            .get("propeller-test/allowed/1", Some(&token), "")
            .await
            .status
    };
    assert_eq!(status().await, 401);
    bed.write("policy.toml", OPEN);
    assert_eq!(status().await, 401);
    let (found, answer) = bed.ask("reload", Some(&json!({}))).await;
    assert_eq!(
        (found, &answer["reloaded"]),
        (200, &json!("1 rules, 2 roles"))
    );
    assert_eq!(status().await, 200);
    bed.write(
        "policy.toml",
        "\n[[allow]]\nname = 'x'\nresources = ['*']\ntea = []",
    );
    let (found, answer) = bed.ask("reload", Some(&json!({}))).await;
    let detail = answer["detail"].as_str().unwrap();
    assert_eq!(found, 400);
    assert!(
        detail.contains("nothing has changed") && detail.contains("line 5"),
        "{detail}"
    );
    assert_eq!(status().await, 200);
    assert!(bed.broker().reload().is_err());
    // A restart with it does not run without rules instead.
    let mut bed = bed;
    bed.stop().await;
    let refused = bed.start().await.unwrap_err().to_string();
    assert!(refused.contains("KEYBROKER_POLICY"), "{refused}");
}
