//! Images on proplets that have only a proxy.

use std::path::PathBuf;
use std::sync::Arc;

use propeller_api::TaskRequest;
use propeller_manager::Manager;
use propeller_model::PropletId;
use propeller_oci::artifact::{Form, Interfaces, build};
use propeller_oci::crypt::PublicKey;
use propeller_oci::sign::SigningKey;
use propeller_oci::signatures;
use propeller_proplet::Proplet;
use propeller_proxy::Proxy;
use propeller_sandbox::{Runtime, WasmtimeRuntime};
use propeller_wire::link::Listen;
use propeller_wire::memory::{Faults, Hub};

use crate::images::{Place, holding, image, keys, number, request};
use crate::processes::{Process, free_port};
use crate::support::{World, client, ready, run, state, until, wat};

/// A proplet that fetches no image by itself.
fn shut_in(world: &World, id: &str) -> Proplet {
    world
        .part(id)
        .with("liveliness_interval", "300ms")
        .with("pull_from", "proxy")
        .proplet(id)
        .unwrap()
}

async fn proxy(world: &World, place: &Place) -> Proxy {
    let registry = format!("http://{}", place.address);
    let part = world.part("proxy").with("registries", registry);
    part.with("chunk_size", "16KiB").proxy().await.unwrap()
}

fn on(proplet: &str, image: &str) -> TaskRequest {
    TaskRequest {
        proplet_id: Some(proplet.to_owned()),
        ..request(image)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_runs_where_only_a_proxy_reaches_its_registry_and_is_fetched_once() {
    let world = World::new().await;
    let Some(place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let manager = world.manager().await;
    let _proxy = proxy(&world, &place).await;
    let _proplets = ["p1", "p2"].map(|id| shut_in(&world, id));
    let client = client(manager.url());
    ready(&client, 2).await;
    for (form, named) in [(Form::Image, "number:1"), (Form::Artifact, "number:2")] {
        let built = image(41, form, &[]);
        place.push(named, &built).await;
        for proplet in ["p1", "p2"] {
            let task = run(&client, &on(proplet, &place.image(named))).await;
            assert_eq!(task.results, "41", "{}", task.error);
        }
        let layer = propeller_oci::sha256(&built.layer);
        until("the registry has told of it", async || {
            place.fetched(layer) > 0
        })
        .await;
        assert_eq!(place.fetched(layer), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_has_a_proxy_for_proplets_elsewhere() {
    let world = World::new().await;
    let Some(place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let (port, key) = (free_port().to_string(), world.key.to_hex());
    let broker = format!("tcp://{}", world.address);
    let registry = format!("http://{}", place.address);
    let env = [
        ("MANAGER_HTTP_PORT", port.as_str()),
        ("MANAGER_WORKLOAD_KEY", key.as_str()),
        ("PROXY_REGISTRIES", registry.as_str()),
    ];
    let folder = world.scratch.path("up");
    let mut up = Process::start(&folder, &["up", "--broker", &broker], &env);
    up.expect(&["Propeller is up"]);
    let _elsewhere = shut_in(&world, "p1");
    let client = client(&format!("http://127.0.0.1:{port}"));
    ready(&client, 2).await;
    place
        .push("number:1", &image(41, Form::Artifact, &[]))
        .await;
    let task = run(&client, &on("p1", &place.image("number:1"))).await;
    assert_eq!(task.results, "41", "{}", task.error);
    assert_eq!(up.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_and_signed_image_is_opened_and_checked_where_it_runs() {
    let world = World::new().await;
    let folder = world.scratch.path("");
    let Some(place) = Place::start(&folder) else {
        return;
    };
    let (private, public) = keys(&folder, "opener");
    let (signer, verifier) = keys(&folder, "signer");
    let manager = world.manager().await;
    let _proxy = proxy(&world, &place).await;
    let _proplet = world
        .part("p1")
        .with("liveliness_interval", "300ms")
        .with("pull_from", "proxy")
        .with("image_keys", private.display().to_string())
        .with("require_signature", verifier.display().to_string())
        .proplet("p1")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    let key = PublicKey::from_bytes(&std::fs::read(public).unwrap()).unwrap();
    let built = image(42, Form::Artifact, &[key]);
    let reference = place.push("secret:1", &built).await;
    let request = request(&place.image("secret:1"));
    let task = run(&client, &request).await;
    assert!(task.error.contains("is not signed"), "{}", task.error);

    let key = SigningKey::from_pem(&std::fs::read(signer).unwrap(), None).unwrap();
    signatures::add(&place.registry, &reference, built.digest, &key)
        .await
        .unwrap();
    let task = run(&client, &request).await;
    assert_eq!(task.results, "42", "{}", task.error);
    assert_eq!(task.protection, "image-key");
    // The module is on no disk, and what the proxy keeps is not even what the registry has.
    assert_eq!(holding(&folder, &number(42)), Vec::<PathBuf>::new());
    let kept = holding(&folder, &built.layer);
    let registry = folder.join("registry");
    assert!(!kept.is_empty() && kept.iter().all(|file| file.starts_with(&registry)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_at_the_proxy_is_in_the_tasks_error() {
    let world = World::new().await;
    let Some(mut place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let manager = world.manager().await;
    let strict = world.part("strict").with("registries", "ghcr.io");
    let strict = strict.proxy().await.unwrap();
    let _proplet = shut_in(&world, "p1");
    let client = client(manager.url());
    ready(&client, 1).await;
    place.push("number:1", &image(1, Form::Artifact, &[])).await;
    let task = run(&client, &request(&place.image("number:1"))).await;
    assert_eq!(state(&task), "failed");
    let why = "proxy: this proxy does not ask http://127.0.0.1";
    assert!(task.error.contains(why), "{}", task.error);
    strict.stop().await;

    let _proxy = proxy(&world, &place).await;
    place.stop();
    // It has never held the image: there is nobody else to have it from.
    let pinned = &task.image_url;
    until("the proplet has found the other proxy", async || {
        let task = run(&client, &request(pinned)).await;
        task.error.contains("network: no manifest from 127.0.0.1")
            && task.error.contains("says the proxy")
    })
    .await;
}

/// What a proxy holds as a whole it hands on without a registry, to whoever names the digest.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_a_proxy_holds_runs_while_its_registry_is_down() {
    let world = World::new().await;
    let Some(mut place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let manager = world.manager().await;
    let _proxy = proxy(&world, &place).await;
    let _proplets = ["p1", "p2"].map(|id| shut_in(&world, id));
    let client = client(manager.url());
    ready(&client, 2).await;
    let mut pinned = Vec::new();
    for (form, tag) in [(Form::Image, "number:1"), (Form::Artifact, "number:2")] {
        place.push(tag, &image(41, form, &[])).await;
        let task = run(&client, &on("p1", &place.image(tag))).await;
        assert_eq!(task.results, "41", "{}", task.error);
        pinned.push(task.image_url);
    }
    place.stop();
    for image in &pinned {
        let task = run(&client, &on("p2", image)).await;
        assert_eq!(task.results, "41", "{}", task.error);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_fetched_once_runs_after_a_restart_without_a_network() {
    let world = World::new().await;
    let folder = world.scratch.path("");
    let Some(mut place) = Place::start(&folder) else {
        return;
    };
    let manager = world.manager().await;
    let part = world
        .part("p1")
        .with("liveliness_interval", "300ms")
        .with("image_cache", "64MiB");
    let proplet = part.clone().proplet("p1").unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    for (form, tag) in [(Form::Image, "number:1"), (Form::Artifact, "number:2")] {
        place.push(tag, &image(8, form, &[])).await;
        let task = run(&client, &request(&place.image(tag))).await;
        assert_eq!(task.results, "8", "{}", task.error);
    }
    let tasks: Vec<String> = client_tasks(&client).await;
    proplet.stop().await;
    place.stop();
    let proplet = part.proplet("p1").unwrap();
    for pinned in &tasks {
        let task = run(&client, &request(pinned)).await;
        assert_eq!(task.results, "8", "{}", task.error);
    }
    proplet.stop().await;
    assert_eq!(
        holding(&folder, &number(8)).len(),
        1,
        "the registry's artifact"
    );

    // A disk with something else on it is no source.
    let images = folder.join("p1/images");
    assert!(std::fs::read_dir(&images).unwrap().count() >= 4);
    for file in std::fs::read_dir(&images).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let part = world.part("p1").with("liveliness_interval", "300ms");
    let _proplet = part.with("image_cache", "64MiB").proplet("p1").unwrap();
    let task = run(&client, &request(&tasks[0])).await;
    assert!(task.error.contains("network: "), "{}", task.error);
}

/// The images of all tasks, by digest.
async fn client_tasks(client: &propeller_sdk::Client) -> Vec<String> {
    let page = propeller_sdk::Page {
        offset: 0,
        limit: 10,
    };
    let list = client
        .task_list(page, &std::collections::BTreeMap::new())
        .await
        .unwrap();
    let tasks = list.tasks.iter();
    tasks.map(|task| task.image_url.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_proplet_gets_its_module_in_upstreams_chunks() {
    let world = World::new().await;
    let Some(place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let manager = world
        .manager_part()
        .with("allow_plaintext_proplets", "true");
    let manager = manager.manager().await.unwrap();
    let registry = format!("http://{}", place.address);
    let proxy = world.part("proxy").with("registries", registry);
    let proxy = proxy.with("allow_plaintext_proplets", "true");
    let _proxy = proxy.with("chunk_size", "16KiB").proxy().await.unwrap();
    let _plain = world
        .part("plain")
        .with("plaintext", "true")
        .with("liveliness_interval", "300ms")
        .proplet("plain")
        .unwrap();
    let client = client(manager.url());
    ready(&client, 1).await;
    for (form, tag) in [(Form::Image, "number:1"), (Form::Artifact, "number:2")] {
        let wasm = padded(7, 100_000);
        let built = build(&wasm, form, &Interfaces::default(), &[]).unwrap();
        place.push(tag, &built).await;
        let task = run(&client, &request(&place.image(tag))).await;
        assert_eq!(task.results, "7", "{}", task.error);
        assert_eq!(task.protection, "plain");
    }
}

/// As [`number`], with a custom section of so many bytes.
fn padded(result: u32, bytes: usize) -> Vec<u8> {
    let padding = "x".repeat(bytes);
    wat(&format!(
        r#"(module (func (export "number") (result i32) (i32.const {result})) (@custom "x" "{padding}"))"#
    ))
}

async fn hostile(seed: u64, runtime: Arc<dyn Runtime>) {
    let world = World::new().await;
    let Some(place) = Place::start(&world.scratch.path("")) else {
        return;
    };
    let faults = Faults {
        drop_percent: 6,
        repeat_percent: 10,
        delay_percent: 10,
        replay_percent: 10,
        flip_percent: 3,
    };
    let hub = Hub::new(seed, faults);
    let part = world
        .manager_part()
        .with("lease", "3s")
        .with("attempts_max", "20");
    let (link, carry) = hub.connect(Listen::AsManager);
    let manager = Manager::start_on(part.manager_config().unwrap(), link, carry);
    let manager = manager.await.unwrap();
    let registry = format!("http://{}", place.address);
    let part = world.part("proxy").with("registries", registry);
    let config = part.with("chunk_size", "16KiB").proxy_config().unwrap();
    let (link, carry) = hub.connect(Listen::AsProxy);
    let _proxy = Proxy::start_on(config, link, carry).await.unwrap();
    let id: PropletId = "p1".parse().unwrap();
    let part = world.part("p1").with("pull_from", "proxy");
    let config = part
        .with("liveliness_interval", "200ms")
        .proplet_config("p1");
    let (link, carry) = hub.connect(Listen::AsProplet(id.clone()));
    let _proplet = Proplet::start_on(config.unwrap(), id, runtime, link, carry).unwrap();
    let client = client(manager.url());
    let wasm = padded(5, 400_000);
    let built = build(&wasm, Form::Artifact, &Interfaces::default(), &[]).unwrap();
    place.push("number:5", &built).await;
    let task = run(&client, &request(&place.image("number:5"))).await;
    assert_eq!(task.results, "5", "seed {seed}: {}", task.error);
    assert_eq!(
        place.fetched(propeller_oci::sha256(&wasm)),
        1,
        "seed {seed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_broker_delays_an_image_and_nothing_else() {
    crate::support::setup();
    let config = crate::hostile::engine();
    let runtime: Arc<dyn Runtime> = Arc::new(WasmtimeRuntime::new(config).unwrap());
    let mut stories = tokio::task::JoinSet::new();
    for seed in 0..4 {
        stories.spawn(hostile(seed, Arc::clone(&runtime)));
    }
    while let Some(ended) = stories.join_next().await {
        ended.unwrap();
    }
}
