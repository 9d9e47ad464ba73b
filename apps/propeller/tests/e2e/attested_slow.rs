//! Key brokers that take their time: whoever needs one waits for it within bounds, and nobody else does.

use std::time::{Duration, Instant};

use propeller_api::{Task, TaskRequest};
use propeller_oci::artifact::{Form, Interfaces, build};
use propeller_proplet::Proplet;
use propeller_sdk::Client;

use crate::attested::{Keeper, SAMPLE_MAY, Scene, encrypted, in_tee, jwe_image};
use crate::gate::Gate;
use crate::images::number;
use crate::support::{request, run, state, under_way, until, wait};

const KEY: &str = "default/key/app";
/// What a client asks of a broker, in order.
const STEPS: [&str; 3] = [
    "POST /kbs/v0/auth",
    "POST /kbs/v0/attest",
    "GET /kbs/v0/resource/",
];
/// Longer than an assignment lasts that nobody renews.
const LEASES: Duration = Duration::from_millis(3500);

/// A scene whose key broker is behind a gate, and an image whose key it keeps.
struct Slow {
    scene: Scene,
    gate: Gate,
    image: String,
}

impl Slow {
    async fn new() -> Option<Self> {
        let scene = Scene::new(SAMPLE_MAY).await?;
        let gate = Gate::before(scene.keeper.broker.address()).await;
        let built = jwe_image(&scene.folder, &scene.keeper, 42).await;
        let image = scene.push("app:1", &built).await;
        Some(Self { scene, gate, image })
    }

    /// A proplet with this id that knows these brokers, the one behind the gate first.
    async fn tee(&self, id: &str, others: &[&str]) -> Proplet {
        let mut brokers = vec![self.gate.url()];
        brokers.extend(others.iter().map(|other| (*other).to_owned()));
        let part = in_tee(&self.scene.world, id, &brokers.join(","));
        let proplet = part.proplet(id).unwrap();
        known(&self.scene.client, id).await;
        proplet
    }

    /// Begins the encrypted task, and waits until its broker has it wait.
    async fn begun(&self, on: &str, held: usize) -> String {
        let request = TaskRequest {
            proplet_id: Some(on.to_owned()),
            ..encrypted(&self.image, KEY)
        };
        let task = self.scene.client.task_create(&request, true).await.unwrap();
        self.gate.held(held).await;
        task.id.clone()
    }

    async fn ended(&self, id: &str) -> Task {
        wait(&self.scene.client, id).await
    }
}

/// Waits until a proplet is known to be in a TEE: a task for one that is in none is given up at once.
async fn known(client: &Client, id: &str) {
    until("a proplet is known to be in a TEE", async || {
        let proplet = client.proplet_view(id).await;
        proplet.is_ok_and(|proplet| !proplet.tee.is_empty())
    })
    .await;
}

fn on(proplet: &str, request: TaskRequest) -> TaskRequest {
    TaskRequest {
        proplet_id: Some(proplet.to_owned()),
        ..request
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_key_broker_holds_up_what_needs_it_and_nothing_else() {
    let Some(slow) = Slow::new().await else {
        return;
    };
    let scene = &slow.scene;
    let folder = scene.folder.join("swift");
    std::fs::create_dir(&folder).unwrap();
    let swift = Keeper::start(&folder, SAMPLE_MAY).await;
    let elsewhere = jwe_image(&folder, &swift, 7).await;
    let elsewhere = scene.push("elsewhere:1", &elsewhere).await;
    let its_key = format!("kbs://{}/{KEY}", swift.broker.address());
    let plain = build(&number(4), Form::Artifact, &Interfaces::default(), &[]).unwrap();
    let plain = scene.push("plain:1", &plain).await;

    for (index, step) in STEPS.into_iter().enumerate() {
        let id = format!("tee{index}");
        let proplet = slow.tee(&id, &[swift.broker.url()]).await;
        slow.gate.hold(step);
        let waits = slow.begun(&id, index + 1).await;
        let since = Instant::now();
        assert_eq!(under_way(&scene.client, &waits).await, id);
        // What comes with the task, what is in an image, and what is encrypted with a key that
        // another broker keeps: all of it on the same proplet.
        for (request, result) in [
            (request("number", &number(3)), "3"),
            (crate::images::request(&plain), "4"),
            (encrypted(&elsewhere, &its_key), "7"),
        ] {
            let task = run(&scene.client, &on(&id, request)).await;
            assert_eq!((task.results, task.proplet_id), (result.into(), id.clone()));
        }
        let waited = since.elapsed();
        let task = scene.client.task_view(&waits).await.unwrap().into_value();
        assert_eq!((state(&task), task.attempts.len()), ("running", 1));

        slow.gate.open();
        let task = slow.ended(&waits).await;
        assert_eq!(task.results, "42", "{step}: {}", task.error);
        assert_eq!(task.attempts.len(), 1, "{step}: {:?}", task.attempts);
        let steps = task.attempts[0].proof.clone().unwrap().steps;
        let told = match step {
            "GET /kbs/v0/resource/" => steps.key_us,
            _ => steps.token_us,
        };
        assert!(u128::from(told) >= waited.as_micros(), "{step}: {steps:?}");
        proplet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_for_its_key_keeps_its_place_for_longer_than_a_lease() {
    let Some(slow) = Slow::new().await else {
        return;
    };
    let _proplet = slow.tee("tee", &[]).await;
    slow.gate.hold(STEPS[1]);
    let waits = slow.begun("tee", 1).await;
    let since = Instant::now();
    while since.elapsed() < LEASES {
        let task = run(&slow.scene.client, &request("number", &number(3))).await;
        assert_eq!(task.results, "3", "{}", task.error);
    }
    slow.gate.open();
    let task = slow.ended(&waits).await;
    assert_eq!(task.results, "42", "{}", task.error);
    assert_eq!(task.attempts.len(), 1, "{:?}", task.attempts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_force_needs_no_broker_that_is_slow_to_attest() {
    let Some(slow) = Slow::new().await else {
        return;
    };
    let _proplet = slow.tee("tee", &[]).await;
    assert_eq!(slow.scene.run(&slow.image, KEY).await.results, "42");
    // Nobody is held: nobody attests.
    slow.gate.hold(STEPS[1]);
    let again = slow.scene.run(&slow.image, KEY).await;
    assert_eq!(again.results, "42", "{}", again.error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_for_its_key_can_be_stopped() {
    let Some(slow) = Slow::new().await else {
        return;
    };
    let client = &slow.scene.client;
    let _proplet = slow.tee("tee", &[]).await;
    slow.gate.hold(STEPS[1]);
    let waits = slow.begun("tee", 1).await;
    client.task_stop(&waits).await.unwrap();
    // The broker is left alone at once, and the next task attests for itself.
    slow.gate.left(1).await;
    let stopped = slow.ended(&waits).await;
    assert_eq!(state(&stopped), "interrupted", "{stopped:?}");
    slow.gate.open();
    assert_eq!(slow.scene.run(&slow.image, KEY).await.results, "42");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_broker_that_goes_away_while_it_is_waited_for_is_asked_again() {
    let Some(slow) = Slow::new().await else {
        return;
    };
    let _proplet = slow.tee("tee", &[]).await;
    slow.gate.hold(STEPS[2]);
    let waits = slow.begun("tee", 1).await;
    slow.gate.cut();
    let task = slow.ended(&waits).await;
    assert_eq!(task.results, "42", "{}", task.error);
    let [first, second] = &task.attempts[..] else {
        panic!("{:?}", task.attempts);
    };
    let why = first.outcome.clone().unwrap();
    let expected = format!("key broker {}: no answer to resource", slow.gate.url());
    assert!(why.contains(&expected), "{why}");
    assert!(second.proof.is_some());
}

/// Half a minute for the answer of a broker, which is what everybody waits who asks it.
mod soak {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "long: `cargo xtask soak` runs it"]
    async fn a_key_broker_that_never_answers_is_waited_for_half_a_minute_and_named() {
        let Some(slow) = Slow::new().await else {
            return;
        };
        let _proplet = slow.tee("tee", &[]).await;
        slow.gate.hold(STEPS[2]);
        let waits = slow.begun("tee", 1).await;
        let since = Instant::now();
        slow.gate.left(1).await;
        let waited = since.elapsed().as_secs();
        assert!((28..=35).contains(&waited), "{waited} s");
        // It is tried again, and once more: brokers come back.
        slow.gate.held(2).await;
        slow.gate.open();
        let task = slow.ended(&waits).await;
        assert_eq!(task.results, "42", "{}", task.error);
        let why = task.attempts[0].outcome.clone().unwrap();
        println!("{why}");
        let expected = format!("key broker {}: no answer to resource", slow.gate.url());
        assert!(why.contains(&expected), "{why}");
        assert!(why.contains("timed out"), "{why}");
    }
}
