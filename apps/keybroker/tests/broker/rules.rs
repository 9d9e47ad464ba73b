//! Rules, over the whole way: from init-data to a release.

use serde_json::Value;

use super::bed::Bed;
use super::guest::{Guest, init_data};

const RULES: &str = "
    [[allow]]
    name = 'tenant a'
    resources = ['tenant-a/*']
    tee = ['sample']
    init_data = { tenant = 'tenant-a' }
    from = 2026-09-01T00:00:00Z
    until = 2026-10-01T00:00:00Z

    [[allow]]
    name = 'hardware'
    resources = ['*']
";

#[tokio::test]
async fn tenants_get_their_own_within_the_time_of_the_rule() {
    let bed = Bed::new(RULES).await;
    for path in ["tenant-a/key/1", "tenant-b/key/1"] {
        bed.put(path, path.as_bytes()).await;
    }
    let guest = Guest::new(&bed.http, bed.broker().url());
    let token = guest.attested_with(init_data("tenant-a")).await.token();
    let get = async |path: &str, token: &str| guest.get(path, Some(token), "").await;
    assert_eq!(
        guest.open(&get("tenant-a/key/1", &token).await).unwrap(),
        b"tenant-a/key/1"
    );
    let denied = |path: &'static str, token: String| {
        let guest = &guest;
        async move {
            let (status, name, _) = guest.get(path, Some(&token), "").await.refusal();
            assert_eq!((status, name.as_str()), (401, "PolicyDeny"), "{path}");
        }
    };
    denied("tenant-b/key/1", token.clone()).await;
    let other = guest.attested_with(init_data("tenant-b")).await.token();
    denied("tenant-a/key/1", other).await;
    denied("tenant-a/key/1", guest.attested().await).await;
    bed.pass(10 * 24 * 3600);
    let later = guest.attested_with(init_data("tenant-a")).await.token();
    denied("tenant-a/key/1", later).await;
    let why: Vec<Value> = bed.logged(&["denied"]).await;
    for (line, words) in why.iter().zip([
        "rule `hardware`: the evidence is of kind `sample`",
        "`tenant` of the init-data is \"tenant-b\"",
        "`tenant` of the init-data is not there",
        "the rule held until 2026-10-01T00:00:00Z",
    ]) {
        let why = line["why"].as_str().unwrap();
        assert!(why.contains(words), "{why}");
    }
    assert_eq!(why.len(), 4);
}

#[tokio::test]
async fn many_who_ask_at_once_get_no_more_than_the_rule_says() {
    let bed = Bed::new(
        "[[allow]]\nname = 'thrice'\nresources = ['*']\ntee = ['sample']\n\
         at_most = { releases = 3, per = '1h' }",
    )
    .await;
    bed.put("a/b/c", b"x").await;
    let guest = Guest::new(&bed.http, bed.broker().url());
    let token = guest.attested().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let request = bed.http.get(bed.url("/kbs/v0/resource/a/b/c"));
        asking.spawn(request.bearer_auth(&token).send());
    }
    let answers = asking.join_all().await;
    let released = answers
        .into_iter()
        .filter(|answer| answer.as_ref().unwrap().status() == 200);
    assert_eq!(released.count(), 3);
}
