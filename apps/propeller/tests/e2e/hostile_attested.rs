//! A broker of messages that drops, repeats, reorders, replays and damages frames, and encrypted
//! tasks: each is settled once, with its own result and with evidence for the attempt that counts.

use std::sync::Arc;

use propeller_model::PropletId;
use propeller_proplet::Proplet;
use propeller_sandbox::{Runtime, WasmtimeRuntime};
use propeller_sdk::Page;
use propeller_wire::link::Listen;

use crate::attested::{Keeper, SAMPLE_MAY, encrypted, in_tee, jwe_image};
use crate::hostile::{engine, hostile};
use crate::images::Place;
use crate::support::{World, client, state, until, wait};

const TASKS: usize = 6;

async fn story(seed: u64) -> Option<()> {
    let world = World::new().await;
    let folder = world.scratch.path("");
    let place = Place::start(&folder)?;
    let keeper = Keeper::start(&folder, SAMPLE_MAY).await;
    let (hub, manager) = hostile(&world, seed).await;
    let mut proplets = Vec::new();
    for name in ["tee1", "tee2"] {
        let id: PropletId = name.parse().unwrap();
        let part = in_tee(&world, name, keeper.broker.url());
        let config = part
            .with("liveliness_interval", "100ms")
            .proplet_config(name)
            .unwrap();
        let runtime: Arc<dyn Runtime> = Arc::new(WasmtimeRuntime::new(engine()).unwrap());
        let (link, carry) = hub.connect(Listen::AsProplet(id.clone()));
        proplets.push(Proplet::start_on(config, id, runtime, link, carry).unwrap());
    }
    let client = client(manager.url());
    let built = jwe_image(&folder, &keeper, 42).await;
    let image = place.push("app:1", &built).await.pinned(built.digest);
    let request = encrypted(&image.to_string(), "default/key/app");
    // A task that nobody in a TEE could take is given up at once.
    until("both proplets are known to be in a TEE", async || {
        let page = Page {
            offset: 0,
            limit: 100,
        };
        let list = client.proplet_list(page, None).await.unwrap();
        list.proplets.iter().filter(|p| !p.tee.is_empty()).count() == 2
    })
    .await;
    let mut ids = Vec::new();
    for _ in 0..TASKS {
        ids.push(client.task_create(&request, true).await.unwrap().id.clone());
    }
    for id in ids {
        let task = wait(&client, &id).await;
        assert_eq!(state(&task), "completed", "seed {seed}: {}", task.error);
        assert_eq!(task.results, "42", "seed {seed}");
        assert_eq!(task.protection, "attested (sample: not hardware)");
        let completed = task
            .attempts
            .iter()
            .filter(|attempt| attempt.outcome.as_deref() == Some("completed"));
        let proofs: Vec<_> = completed.map(|attempt| attempt.proof.clone()).collect();
        assert!(matches!(proofs[..], [Some(_)]), "seed {seed}: settled once");
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_broker_can_delay_encrypted_tasks_and_nothing_else() {
    crate::support::setup();
    for seed in 0..3 {
        if story(seed).await.is_none() {
            return;
        }
    }
}
