//! Encrypted tasks that do not run, and what they say: refused by a policy, by a key, by what they name.

use propeller_api::TaskRequest;
use propeller_oci::artifact::{Form, Interfaces, build};

use crate::attested::{SAMPLE_MAY, Scene, encrypted, in_sample_tee, jwe_image};
use crate::images::{keys, number};
use crate::support::{World, client, ready, run, state, until};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_refuses_is_not_fetched_and_the_task_says_why() {
    let policy = SAMPLE_MAY.replace("default/key/*", "default/key/else");
    let Some(scene) = Scene::new(&policy).await else {
        return;
    };
    let _proplet = scene.tee("tee");
    ready(&scene.client, 1).await;
    let built = jwe_image(&scene.folder, &scene.keeper, 9).await;
    let image = scene.push("app:1", &built).await;
    let task = scene.run(&image, "default/key/app").await;
    assert_eq!(state(&task), "failed");
    let why = "its policy does not release default/key/app to this TEE (sample: not hardware)";
    assert!(task.error.contains(why), "{}", task.error);
    assert_eq!(
        task.attempts.len(),
        1,
        "what a policy refuses is not tried again"
    );
    assert_eq!(scene.place.fetched(propeller_oci::sha256(&built.layer)), 0);
    let missing = scene.run(&image, "default/key/else").await;
    assert!(
        missing.error.contains("was not found there"),
        "{}",
        missing.error
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_encrypted_or_not_pinned_is_no_encrypted_task() {
    let Some(scene) = Scene::new(SAMPLE_MAY).await else {
        return;
    };
    let plain = build(&number(1), Form::Artifact, &Interfaces::default(), &[]).unwrap();
    let image = scene.push("plain:1", &plain).await;
    let refused = async |request: TaskRequest| {
        let answer = scene.client.task_create(&request, true).await;
        answer.unwrap_err().to_string()
    };
    let why = refused(encrypted(&image, "")).await;
    assert!(
        why.contains("the task says that this image is encrypted, and it is not"),
        "{why}"
    );
    let why = refused(encrypted(&scene.place.image("plain:1"), "")).await;
    assert!(
        why.contains("an encrypted task names its image by digest"),
        "{why}"
    );
    let why = refused(encrypted("https://example.com/a.wasm", "")).await;
    assert!(why.contains("the address of a file"), "{why}");
    let why = refused(encrypted(&image, "a/b")).await;
    assert!(
        why.contains("kbs_resource_path: a key's path has three parts"),
        "{why}"
    );
    let unasked = TaskRequest {
        encrypted: None,
        ..encrypted(&image, "a/b/c")
    };
    let why = refused(unasked).await;
    assert!(why.contains("set encrypted as well"), "{why}");
    // What is encrypted stays so, whatever is asked for later.
    let built = jwe_image(&scene.folder, &scene.keeper, 2).await;
    let image = scene.push("app:1", &built).await;
    let request = encrypted(&image, "default/key/app");
    let task = scene.client.task_create(&request, false).await.unwrap();
    let plainly = TaskRequest {
        encrypted: Some(false),
        ..TaskRequest::default()
    };
    let answer = scene.client.task_update(&task.id, &plainly).await;
    let why = answer.unwrap_err().to_string();
    assert!(why.contains("the task is encrypted and stays so"), "{why}");
    let bare = TaskRequest {
        encrypted: Some(true),
        name: Some("bare".to_owned()),
        ..TaskRequest::default()
    };
    let why = refused(bare).await;
    assert!(why.contains("set image_url with it"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_somebody_else_and_a_broker_that_is_away_are_told_apart() {
    let Some(scene) = Scene::new(SAMPLE_MAY).await else {
        return;
    };
    let _proplet = scene.tee("tee");
    ready(&scene.client, 1).await;
    let built = jwe_image(&scene.folder, &scene.keeper, 8).await;
    let image = scene.push("app:1", &built).await;
    let (other, _) = keys(&scene.folder, "other");
    scene
        .keeper
        .keep("default/key/other", &std::fs::read(other).unwrap())
        .await;
    let task = scene.run(&image, "default/key/other").await;
    assert!(
        task.error.contains("no key given opens this layer"),
        "{}",
        task.error
    );
    scene
        .keeper
        .keep("default/key/none", b"no key at all")
        .await;
    let task = scene.run(&image, "default/key/none").await;
    assert!(
        task.error
            .contains("the key kbs:///default/key/none: it is no private key"),
        "{}",
        task.error
    );
    let task = scene
        .run(&image, "kbs://kbs.elsewhere.example/default/key/app")
        .await;
    assert!(
        task.error.contains("not among those that may be asked"),
        "{}",
        task.error
    );

    scene.keeper.broker.stop().await;
    let task = run(&scene.client, &encrypted(&image, "default/key/app")).await;
    assert_eq!(state(&task), "failed");
    assert!(
        task.error.contains("no answer to resource"),
        "{}",
        task.error
    );
    assert!(task.attempts.len() > 1, "a broker may come back");
}

/// As in a fleet whose proplets have brokers of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_gets_to_the_one_proplet_that_may_ask_its_broker() {
    let Some(scene) = Scene::new(SAMPLE_MAY).await else {
        return;
    };
    let names = ["a", "b", "c", "d"];
    let elsewhere = "http://127.0.0.1:9";
    let _others = names.map(|name| in_sample_tee(&scene.world, name, elsewhere));
    let _right = scene.tee("the-right-one");
    ready(&scene.client, names.len() + 1).await;
    let built = jwe_image(&scene.folder, &scene.keeper, 9).await;
    let image = scene.push("app:1", &built).await;
    let broker = scene.keeper.broker.url().to_owned();
    let key = format!("{}/default/key/app", broker.replace("http://", "kbs://"));
    let task = scene.run(&image, &key).await;
    assert_eq!(
        (state(&task), task.results.as_str()),
        ("completed", Some("9")),
        "{}",
        task.error
    );
    // Whom it is pinned to it asks once.
    let pinned = TaskRequest {
        proplet_id: Some("a".to_owned()),
        ..encrypted(&image, &key)
    };
    let task = run(&scene.client, &pinned).await;
    assert!(
        task.error.contains("not among those that may be asked"),
        "{}",
        task.error
    );
    assert_eq!((state(&task), task.attempts.len()), ("failed", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_with_a_policy_gives_work_to_nobody_whose_evidence_it_refuses() {
    let Some(scene) = Scene::new(SAMPLE_MAY).await else {
        return;
    };
    let _proplet = scene.tee("tee");
    ready(&scene.client, 1).await;
    let built = jwe_image(&scene.folder, &scene.keeper, 6).await;
    let image = scene.push("app:1", &built).await;
    assert_eq!(scene.run(&image, "default/key/app").await.results, "6");

    let strict = World::new().await;
    let policy = strict.scratch.path("policy.toml");
    std::fs::write(&policy, "sample = false\n").unwrap();
    let manager = strict
        .manager_part()
        .with("attestation_policy", policy.display().to_string())
        .manager()
        .await
        .unwrap();
    let client = client(manager.url());
    let _proplet = in_sample_tee(&strict, "tee", scene.keeper.broker.url());
    ready(&client, 1).await;
    until("its evidence is refused", async || {
        let proplet = client.proplet_view("tee").await.unwrap();
        !proplet.tee_refused.is_empty()
    })
    .await;
    let task = run(&client, &encrypted(&image, "default/key/app")).await;
    assert_eq!(state(&task), "failed");
    assert!(
        task.error
            .starts_with("the evidence that tee shows of its TEE is refused by this manager"),
        "{}",
        task.error
    );
}
