//! What ends or is replaced at a key broker while an image is on its way from its registry.

use std::time::Duration;

use propeller_api::{Task, TaskRequest};
use propeller_model::Digest;
use propeller_oci::artifact::{Built, Form, Interfaces, build};
use propeller_oci::crypt::{Recipients, WrappingKey};
use propeller_oci::registry::silently;
use propeller_oci::sha256;
use propeller_proplet::Proplet;
use serde_json::Value;

use crate::attested::{SAMPLE_MAY, Scene, encrypted, in_tee, jwe_image};
use crate::gate::Gate;
use crate::images::number;
use crate::support::{ready, state, wait};

const KEY: &str = "default/key/app";
/// Longer than a token lives: five minutes.
const TOKEN_LIVES: Duration = Duration::from_secs(301);
const BLOB: &str = "/blobs/sha256:";

/// A scene whose registry and key broker are behind gates, with a proplet that knows only those.
struct Midway {
    scene: Scene,
    registry: Gate,
    broker: Gate,
    _proplet: Proplet,
}

impl Midway {
    async fn new() -> Option<Self> {
        let scene = Scene::new(SAMPLE_MAY).await?;
        let registry = Gate::before(scene.place.address.parse().unwrap()).await;
        let broker = Gate::before(scene.keeper.broker.address()).await;
        let part = in_tee(&scene.world, "tee", &broker.url());
        let _proplet = part.proplet("tee").unwrap();
        ready(&scene.client, 1).await;
        Some(Self {
            scene,
            registry,
            broker,
            _proplet,
        })
    }

    /// Pushes an image that is then had by way of the gate.
    async fn push(&self, name: &str, built: &Built) -> String {
        self.scene.push(name, built).await;
        self.named(name, built.digest)
    }

    fn named(&self, name: &str, digest: Digest) -> String {
        format!("{}/{name}@{digest}", self.registry.url())
    }

    /// Begins a task, and waits until its layer has been asked for: its key is there by then.
    async fn begun(&self, image: &str) -> String {
        self.registry.hold(BLOB);
        let request: TaskRequest = encrypted(image, KEY);
        let task = self.scene.client.task_create(&request, true).await.unwrap();
        self.registry.held(1).await;
        task.id.clone()
    }

    /// Lets the layer go, and waits for the end of its task.
    async fn ended(&self, id: &str) -> Task {
        self.registry.open();
        wait(&self.scene.client, id).await
    }

    async fn run(&self, image: &str) -> Task {
        self.scene.run(image, KEY).await
    }

    fn events(&self) -> Vec<String> {
        let recorded = self.scene.keeper.recorded().into_iter();
        recorded.map(|(event, _)| event).collect()
    }
}

fn check(task: &Task, result: &str) {
    assert_eq!(task.results, result, "{}", task.error);
    assert_eq!(task.protection, "attested (sample: not hardware)");
    assert_eq!(task.attempts.len(), 1, "{:?}", task.attempts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_while_a_layer_is_on_its_way_is_had_anew_by_the_next_task() {
    let Some(midway) = Midway::new().await else {
        return;
    };
    let built = jwe_image(&midway.scene.folder, &midway.scene.keeper, 42).await;
    let image = midway.push("app:1", &built).await;
    let id = midway.begun(&image).await;
    midway.scene.keeper.later(TOKEN_LIVES);
    check(&midway.ended(&id).await, "42");
    assert_eq!(midway.events(), ["attested", "released"]);

    // By the proplet's clock the token is good for minutes: that it is over, its broker has to say.
    let next = midway.run(&image).await;
    check(&next, "42");
    let steps = next.attempts[0].proof.clone().unwrap().steps;
    assert!(steps.token_us > 0 && steps.key_us > 0, "{steps:?}");
    let recorded = midway.scene.keeper.recorded();
    let (event, why) = &recorded[2];
    assert_eq!(
        (event.as_str(), why.as_str()),
        ("token-refused", "it is over")
    );
    assert_eq!(midway.events()[3..], ["attested", "released"]);
}

/// An image of two encrypted layers whose keys a broker keeps at two paths, of which the upper one
/// has the module that counts.
async fn of_two_keys(midway: &Midway) -> String {
    let layer = async |path: &str, key: u8, result: u32| {
        midway.scene.keeper.keep(path, &[key; 32]).await;
        let key = WrappingKey::new(format!("kbs:///{path}"), [key; 32].into());
        let recipients = Recipients {
            wrapping: &[key],
            public: &[],
        };
        let (form, interfaces) = (Form::Image, Interfaces::default());
        build(&number(result), form, &interfaces, recipients).unwrap()
    };
    let lower = layer("default/key/one", 1, 1).await;
    let upper = layer("default/key/two", 2, 2).await;
    let parsed = |json: &[u8]| serde_json::from_slice::<Value>(json).unwrap();
    let [mut manifest, under] = [parsed(&upper.manifest), parsed(&lower.manifest)];
    let [mut config, config_under] = [parsed(&upper.config), parsed(&lower.config)];
    let beneath = |list: &mut Value, under: &Value| {
        list.as_array_mut().unwrap().insert(0, under[0].clone());
    };
    beneath(&mut manifest["layers"], &under["layers"]);
    let diff_ids = "/rootfs/diff_ids";
    let under = config_under.pointer(diff_ids).unwrap();
    beneath(config.pointer_mut(diff_ids).unwrap(), under);
    let config = config.to_string().into_bytes();
    manifest["config"]["digest"] = sha256(&config).to_string().into();
    manifest["config"]["size"] = config.len().into();
    let manifest = manifest.to_string().into_bytes();
    let place = &midway.scene.place;
    let reference = place.image("two:1").parse().unwrap();
    let pushed = place
        .registry
        .push_blob(&reference, &lower.layer, silently());
    assert!(pushed.await.unwrap());
    let both = Built {
        layer: upper.layer,
        config: config.into(),
        digest: sha256(&manifest),
        manifest: manifest.into(),
    };
    midway.push("two:1", &both).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_between_two_keys_of_an_image_is_had_anew_in_the_same_attempt() {
    let Some(midway) = Midway::new().await else {
        return;
    };
    let image = of_two_keys(&midway).await;
    midway.broker.hold("/resource/default/key/two");
    let request = encrypted(&image, "");
    let task = midway.scene.client.task_create(&request, true).await;
    let id = task.unwrap().id.clone();
    midway.broker.held(1).await;
    midway.scene.keeper.later(TOKEN_LIVES);
    midway.broker.open();
    let task = wait(&midway.scene.client, &id).await;
    check(&task, "2");
    let proof = task.attempts[0].proof.clone().unwrap();
    assert_eq!(proof.key, "kbs:///default/key/one, kbs:///default/key/two");
    assert_eq!(
        midway.events(),
        [
            "attested",
            "released",
            "token-refused",
            "attested",
            "released"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_replaced_while_a_layer_is_on_its_way_counts_from_the_next_task_on() {
    let Some(midway) = Midway::new().await else {
        return;
    };
    let built = jwe_image(&midway.scene.folder, &midway.scene.keeper, 42).await;
    let image = midway.push("app:1", &built).await;
    let id = midway.begun(&image).await;
    // Another pair at the same path, and an image that is encrypted to it.
    let rebuilt = jwe_image(&midway.scene.folder, &midway.scene.keeper, 43).await;
    let replaced = midway.push("app:2", &rebuilt).await;
    check(&midway.ended(&id).await, "42");

    let old = midway.run(&image).await;
    assert_eq!(state(&old), "failed");
    let why = "no key given opens this layer";
    assert!(old.error.contains(why), "{}", old.error);
    assert_eq!(old.attempts.len(), 1, "another try opens it no better");
    check(&midway.run(&replaced).await, "43");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_broker_that_rotates_its_own_keys_meanwhile_costs_one_attestation() {
    let Some(mut midway) = Midway::new().await else {
        return;
    };
    let built = jwe_image(&midway.scene.folder, &midway.scene.keeper, 42).await;
    let image = midway.push("app:1", &built).await;
    let id = midway.begun(&image).await;
    // What it keeps is sealed anew; what it signs with is another key, so that no token of before
    // is one of its own.
    midway.scene.keeper = midway.scene.keeper.rotated().await;
    midway.broker.lead_to(midway.scene.keeper.broker.address());
    check(&midway.ended(&id).await, "42");
    let next = midway.run(&image).await;
    assert_eq!(next.results, "42", "{}", next.error);
    let recorded = midway.scene.keeper.recorded();
    let refused = "it is not signed by this broker".to_owned();
    assert!(
        recorded.contains(&("token-refused".to_owned(), refused)),
        "{recorded:?}"
    );
    assert_eq!(
        midway.events(),
        [
            "attested",
            "released",
            "token-refused",
            "attested",
            "released"
        ]
    );
}
