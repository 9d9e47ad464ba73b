//! Encrypted tasks: opened in a TEE, with a key that a key broker releases there. The TEE is `sample`,
//! which is none: everything else is what it is with hardware.

use std::path::{Path, PathBuf};
use std::process::Command;

use propeller::demo::tap::Tap;
use propeller::stack::Part;
use propeller_api::{Task, TaskRequest};
use propeller_oci::artifact::{Built, Form, Interfaces, build};
use propeller_oci::crypt::{PublicKey, Recipients, WrappingKey};
use propeller_oci::image::resolve;
use propeller_proplet::Proplet;
use propeller_sdk::Client;

use crate::images::{Place, holding, keys, number};
pub(crate) use crate::keeper::Keeper;
use crate::support::{World, client, ready, run, skipped, state, until};

pub(crate) const SAMPLE_MAY: &str =
    "[[allow]]\nname = 'tests'\nresources = ['default/key/*']\ntee = ['sample']\n";

pub(crate) fn in_tee(world: &World, id: &str, kbs: &str) -> Part {
    world
        .part(id)
        .with("liveliness_interval", "300ms")
        .with("attester", "sample")
        .with("kbs_uri", kbs)
        .with("isolation_allow_missing", "landlock,namespaces")
}

pub(crate) fn in_sample_tee(world: &World, id: &str, kbs: &str) -> Proplet {
    in_tee(world, id, kbs).proplet(id).unwrap()
}

/// An image, encrypted to a key whose private half is kept at `default/key/app`.
pub(crate) async fn jwe_image(folder: &Path, keeper: &Keeper, number_: u32) -> Built {
    let (private, public) = keys(folder, "app");
    keeper
        .keep("default/key/app", &std::fs::read(private).unwrap())
        .await;
    let key = PublicKey::from_bytes(&std::fs::read(public).unwrap()).unwrap();
    build(
        &number(number_),
        Form::Artifact,
        &Interfaces::default(),
        &[key],
    )
    .unwrap()
}

/// An image whose key is kept at `default/key/wrap`.
pub(crate) async fn provider_image(keeper: &Keeper, number_: u32) -> Built {
    keeper.keep("default/key/wrap", &[7; 32]).await;
    let key = WrappingKey::new("kbs:///default/key/wrap".to_owned(), [7; 32].into());
    let recipients = Recipients {
        wrapping: &[key],
        public: &[],
    };
    build(
        &number(number_),
        Form::Image,
        &Interfaces::default(),
        recipients,
    )
    .unwrap()
}

pub(crate) fn encrypted(image: &str, key: &str) -> TaskRequest {
    TaskRequest {
        encrypted: Some(true),
        kbs_resource_path: (!key.is_empty()).then(|| key.to_owned()),
        ..crate::images::request(image)
    }
}

/// A world with a registry, a manager and a key broker.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) place: Place,
    pub(crate) keeper: Keeper,
    pub(crate) client: Client,
    pub(crate) folder: PathBuf,
    manager: propeller_manager::Manager,
}

impl Scene {
    pub(crate) async fn new(policy: &str) -> Option<Self> {
        Self::in_world(World::new().await, policy).await
    }

    async fn in_world(world: World, policy: &str) -> Option<Self> {
        let folder = world.scratch.path("");
        let place = Place::start(&folder)?;
        let keeper = Keeper::start(&folder, policy).await;
        let manager = world.manager().await;
        Some(Self {
            client: client(manager.url()),
            world,
            place,
            keeper,
            folder,
            manager,
        })
    }

    pub(crate) fn tee(&self, id: &str) -> Proplet {
        in_sample_tee(&self.world, id, self.keeper.broker.url())
    }

    pub(crate) async fn push(&self, name: &str, built: &Built) -> String {
        let reference = self.place.push(name, built).await;
        reference.pinned(built.digest).to_string()
    }

    async fn metrics(&self) -> String {
        let metrics = reqwest::get(format!("{}/metrics", self.manager.url())).await;
        metrics.unwrap().text().await.unwrap()
    }

    pub(crate) async fn run(&self, image: &str, key: &str) -> Task {
        run(&self.client, &encrypted(image, key)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_image_runs_in_a_tee_with_a_key_from_the_broker_and_says_so() {
    let Some(scene) = Scene::new(SAMPLE_MAY).await else {
        return;
    };
    let part = in_tee(&scene.world, "tee", scene.keeper.broker.url());
    let _proplet = part.with("image_cache", "64MiB").proplet("tee").unwrap();
    ready(&scene.client, 1).await;
    let built = jwe_image(&scene.folder, &scene.keeper, 42).await;
    let image = scene.push("app:1", &built).await;
    let first = scene.run(&image, "default/key/app").await;
    assert_eq!(first.results, "42", "{first:?}");
    assert_eq!(first.protection, "attested (sample: not hardware)");
    assert!(first.encrypted && first.kbs_resource_path == "default/key/app");
    let proof = first.attempts[0].proof.clone().unwrap();
    assert_eq!((proof.tee.as_str(), proof.checked), ("sample", false));
    assert_eq!(proof.key, "kbs:///default/key/app");
    assert_eq!(proof.image, built.digest.to_string());
    assert!(proof.evidence["report_data"].is_string());
    assert!(proof.steps.token_us > 0, "{proof:?}");

    // The session with the broker goes on.
    let again = scene.run(&image, "default/key/app").await;
    assert_eq!(again.attempts[0].proof.clone().unwrap().steps.token_us, 0);
    let metrics = scene.metrics().await;
    for line in [
        "manager_evidence_total{about=\"session\",outcome=\"held\"} 1",
        "manager_evidence_total{about=\"attempt\",outcome=\"held\"} 2",
        "manager_attested_seconds_count{step=\"decryption\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    // Neither module nor key is on any disk: what the registry has is encrypted, what the proplet
    // keeps of it is sealed besides, and so is what the key broker keeps.
    assert!(!holding(&scene.folder, &built.layer).is_empty());
    let pem = std::fs::read(scene.folder.join("app.pem")).unwrap();
    std::fs::remove_file(scene.folder.join("app.pem")).unwrap();
    assert_eq!(holding(&scene.folder, &number(42)), Vec::<PathBuf>::new());
    assert_eq!(holding(&scene.folder, &pem[40..80]), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_image_names_is_fetched_and_has_to_be_the_one_that_the_task_names() {
    let Some(scene) = Scene::new(SAMPLE_MAY).await else {
        return;
    };
    let _proplet = scene.tee("tee");
    ready(&scene.client, 1).await;
    let built = provider_image(&scene.keeper, 5).await;
    let image = scene.push("app:1", &built).await;
    let named_by_image = scene.run(&image, "").await;
    assert_eq!(named_by_image.results, "5", "{named_by_image:?}");
    assert_eq!(scene.run(&image, "default/key/wrap").await.results, "5");
    let other = scene.run(&image, "default/key/other").await;
    assert_eq!(state(&other), "failed");
    let why = "its key is kbs:///default/key/wrap, and the task says kbs:///default/key/other: they have to agree";
    assert!(other.error.contains(why), "{}", other.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_task_goes_only_where_a_tee_is_and_others_go_anywhere() {
    let Some(scene) = Scene::new(SAMPLE_MAY).await else {
        return;
    };
    let outside = scene.world.proplet("outside");
    ready(&scene.client, 1).await;
    let built = jwe_image(&scene.folder, &scene.keeper, 3).await;
    let image = scene.push("app:1", &built).await;
    // What nobody can run says so at once, and nothing was fetched for it.
    let task = scene.run(&image, "default/key/app").await;
    assert_eq!(state(&task), "failed");
    let why = "no proplet that is connected is in a TEE";
    assert!(task.error.contains(why), "{}", task.error);
    assert!(task.attempts.is_empty());

    let _inside = scene.tee("inside");
    ready(&scene.client, 2).await;
    for _ in 0..4 {
        let task = scene.run(&image, "default/key/app").await;
        assert_eq!(
            (task.results, task.proplet_id),
            ("3".into(), "inside".into())
        );
    }
    let layer = propeller_oci::sha256(&built.layer);
    until("the registry has told of it", async || {
        scene.place.fetched(layer) > 0
    })
    .await;
    // Also what names a proplet that could not.
    let pinned = TaskRequest {
        proplet_id: Some("outside".to_owned()),
        ..encrypted(&image, "default/key/app")
    };
    let pinned = run(&scene.client, &pinned).await;
    assert!(pinned.error.contains(why), "{pinned:?}");
    outside.stop().await;
    // An ordinary task runs in a TEE as anywhere.
    let plain = build(&number(4), Form::Artifact, &Interfaces::default(), &[]).unwrap();
    let plain = scene.push("plain:1", &plain).await;
    let task = run(&scene.client, &crate::images::request(&plain)).await;
    assert_eq!(
        (task.results, task.protection.as_str()),
        ("4".into(), "shared-key")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_skopeo_encrypts_runs_in_a_tee_that_reaches_nothing_but_a_proxy() {
    let Some(scene) = Scene::new(SAMPLE_MAY).await else {
        return;
    };
    if Command::new("skopeo").arg("--version").output().is_err() {
        return skipped("no skopeo: run the tests with `cargo xtask test`");
    }
    let plain = build(&number(12), Form::Image, &Interfaces::default(), &[]).unwrap();
    scene.place.push("plain:1", &plain).await;
    let (private, public) = keys(&scene.folder, "app");
    let pem = std::fs::read(private).unwrap();
    scene.keeper.keep("default/key/app", &pem).await;
    let location = |name: &str| format!("docker://{}/{name}", scene.place.address);
    let copied = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "-q"])
        .args(["--src-tls-verify=false", "--dest-tls-verify=false"])
        .arg(format!("--encryption-key=jwe:{}", public.display()))
        .args([location("plain:1"), location("secret:1")])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
    let named = scene.place.image("secret:1").parse().unwrap();
    let resolved = resolve(&scene.place.registry, &named).await.unwrap();
    assert!(resolved.manifest().is_encrypted());

    let registry = format!("http://{}", scene.place.address);
    let proxy = scene.world.part("proxy").with("registries", registry);
    let _proxy = proxy.proxy().await.unwrap();
    let part = in_tee(&scene.world, "tee", scene.keeper.broker.url());
    let _proplet = part.with("pull_from", "proxy").proplet("tee").unwrap();
    ready(&scene.client, 1).await;
    let image = resolved.pinned().to_string();
    let task = scene.run(&image, "default/key/app").await;
    assert_eq!(task.results, "12", "{}", task.error);
    assert_eq!(task.protection, "attested (sample: not hardware)");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_encrypted_task_can_be_read_on_the_broker() {
    let mut world = World::new().await;
    let tap = Tap::start(world.address).await.unwrap();
    world.address = tap.address();
    let Some(scene) = Scene::in_world(world, SAMPLE_MAY).await else {
        return;
    };
    let _proplet = scene.tee("tee");
    ready(&scene.client, 1).await;
    let built = jwe_image(&scene.folder, &scene.keeper, 77).await;
    let image = scene.push("app:1", &built).await;
    assert_eq!(scene.run(&image, "default/key/app").await.results, "77");
    let wasm = number(77);
    let canaries: [&[u8]; 3] = [&wasm, b"default/key/app", b"report_data"];
    let seen = tap.search(&canaries);
    assert!(seen.bytes > 1000, "the tap saw nothing");
    assert_eq!(seen.hits, 0);
}
