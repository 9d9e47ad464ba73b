//! What is recorded, and what is found out when somebody has been at it.

use serde_json::{Value, json};

use super::bed::{Bed, OPEN};
use super::guest::Guest;

const PATH: &str = "propeller-test/allowed/1";

#[tokio::test]
async fn everything_that_happens_is_a_line_without_secrets() {
    let bed = Bed::new(OPEN).await;
    bed.put(PATH, b"a secret that nobody logs").await;
    let guest = Guest::new(&bed.http, bed.broker().url());
    guest.post("auth", "", "{}").await;
    let token = guest.attested().await;
    guest.post("attest", "", "{}").await;
    guest.get(PATH, Some(&token), "").await;
    guest.get("a/b/c", Some(&token), "").await;
    guest
        .get("propeller-test/allowed/none", Some(&token), "")
        .await;
    guest.get(PATH, Some("garbage"), "").await;
    guest.get(PATH, None, "").await;
    bed.http
        .delete(bed.url("/kbs/v0/resource/a/b/c"))
        .send()
        .await
        .unwrap();
    bed.write("policy.toml", "nonsense");
    bed.ask("reload", Some(&json!({}))).await;
    let (_, log) = bed.ask("audit?since=0", None).await;
    let lines = log["lines"].as_array().unwrap();
    let events: Vec<&str> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        [
            "started",
            "admin",
            "auth-refused",
            "attested",
            "attest-refused",
            "released",
            "denied",
            "missing",
            "token-refused",
            "token-refused",
            "admin-refused",
            "reload-refused",
        ]
    );
    let released = &lines[5];
    assert_eq!(released["rule"], "tests");
    assert_eq!(released["resource"], PATH);
    assert_eq!(released["peer"], "127.0.0.1");
    assert_eq!(released["tee"], "sample");
    assert_eq!(released["token"], lines[3]["token"]);
    assert!(
        lines[6]["why"]
            .as_str()
            .unwrap()
            .contains("the nearest is rule `tests`")
    );
    let text = log.to_string();
    assert!(!text.contains("nobody logs") && !text.contains(&token));
    // From a number on.
    let (_, rest) = bed.ask("audit?since=10", None).await;
    assert_eq!(rest["lines"].as_array().unwrap().len(), 2);
    assert_eq!((&rest["next"], &rest["more"]), (&json!(12), &json!(false)));
}

#[tokio::test]
async fn a_line_that_was_changed_is_found_at_the_next_start() {
    let mut bed = Bed::new(OPEN).await;
    for path in ["a/b/1", "a/b/2", "a/b/3"] {
        bed.put(path, b"x").await;
    }
    bed.stop().await;
    let file = bed.data_dir().join("audit.jsonl");
    let log = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, log.replace("a/b/2", "a/b/9")).unwrap();
    bed.start().await.unwrap();
    let started = bed.logged(&["started"]).await;
    let why = |line: &Value| line["why"].as_str().unwrap().to_owned();
    assert_eq!(
        why(&started[0]),
        "1 rules, 2 roles, 0 resources, 0 of them sealed anew"
    );
    assert!(
        why(&started[1]).contains("audit.jsonl, line 4: the line before it"),
        "{started:?}"
    );
    let metrics = bed
        .http
        .get(bed.url("/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(metrics.contains("keybroker_audit_broken 1"), "{metrics}");
    // It is said once, and by every start until the file is taken away.
    bed.restart().await;
    assert!(why(&bed.logged(&["started"]).await[2]).contains("line 4"));
}

#[tokio::test]
async fn a_restart_gives_nobody_more_than_the_rule_says() {
    let mut bed = Bed::new(
        "[[allow]]\nname = 'twice'\nresources = ['*']\ntee = ['sample']\n\
         at_most = { releases = 2, per = '1h' }",
    )
    .await;
    bed.put(PATH, b"x").await;
    let url = |bed: &Bed| Guest::new(&bed.http, bed.broker().url());
    let status = async |bed: &Bed| {
        let guest = url(bed);
        let token = guest.attested().await;
        guest.get(PATH, Some(&token), "").await.status
    };
    assert_eq!(status(&bed).await, 200);
    bed.restart().await;
    assert_eq!(status(&bed).await, 200);
    bed.restart().await;
    assert_eq!(status(&bed).await, 401);
    bed.pass(3600);
    assert_eq!(status(&bed).await, 200);
}
