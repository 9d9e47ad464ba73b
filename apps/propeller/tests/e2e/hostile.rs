//! A broker that drops, repeats, reorders, replays and damages frames can deny service and nothing
//! else: every task is settled once, with its own result, in every attempt that counts.

use std::sync::Arc;
use std::time::Duration;

use propeller_api::TaskRequest;
use propeller_manager::Manager;
use propeller_model::PropletId;
use propeller_proplet::Proplet;
use propeller_sandbox::{Allocator, EngineConfig, Runtime, WasmtimeRuntime};
use propeller_wire::link::Listen;
use propeller_wire::memory::{Faults, Hub};

use crate::support::{World, client, guest, request, state, wait};

const TASKS: u32 = 12;

/// A broker that does what `seed` says to frames, and a manager on it that tries often.
pub(crate) async fn hostile(world: &World, seed: u64) -> (Hub, Manager) {
    let hub = Hub::new(
        seed,
        Faults {
            drop_percent: 8,
            repeat_percent: 10,
            delay_percent: 10,
            replay_percent: 10,
            flip_percent: 4,
        },
    );
    let config = world
        .manager_part()
        .with("lease", "600ms")
        .with("attempts_max", "20")
        .manager_config()
        .unwrap();
    let (link, carry) = hub.connect(Listen::AsManager);
    let manager = Manager::start_on(config, link, carry).await.unwrap();
    (hub, manager)
}

async fn story(seed: u64, runtime: Arc<dyn Runtime>) {
    let world = World::new().await;
    let (hub, manager) = hostile(&world, seed).await;
    let mut proplets = Vec::new();
    for name in ["p1", "p2"] {
        let id: PropletId = name.parse().unwrap();
        let config = world
            .part(name)
            .with("liveliness_interval", "100ms")
            .proplet_config(name)
            .unwrap();
        let (link, carry) = hub.connect(Listen::AsProplet(id.clone()));
        let runtime = Arc::clone(&runtime);
        proplets.push(Proplet::start_on(config, id, runtime, link, carry).unwrap());
    }
    let client = client(manager.url());
    let mut ids = Vec::new();
    for number in 0..TASKS {
        let add = TaskRequest {
            invoke: Some("add".to_owned()),
            inputs: Some(vec![number.to_string(), "100".to_owned()]),
            ..request("sum", &guest("add.wasm"))
        };
        ids.push((
            number,
            client.task_create(&add, true).await.unwrap().id.clone(),
        ));
    }
    for (number, id) in ids {
        let task = wait(&client, &id).await;
        assert_eq!(state(&task), "completed", "seed {seed}: {}", task.error);
        assert_eq!(task.results, (number + 100).to_string(), "seed {seed}");
        let completed = task
            .attempts
            .iter()
            .filter(|a| a.outcome.as_deref() == Some("completed"));
        assert_eq!(completed.count(), 1, "seed {seed}: settled once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_broker_can_delay_and_nothing_else() {
    crate::support::setup();
    let runtime: Arc<dyn Runtime> = Arc::new(WasmtimeRuntime::new(engine()).unwrap());
    let mut stories = tokio::task::JoinSet::new();
    for seed in 0..8 {
        stories.spawn(story(seed, Arc::clone(&runtime)));
    }
    while let Some(ended) = stories.join_next().await {
        ended.unwrap();
    }
}

/// What all proplets of a story run guests with.
pub(crate) fn engine() -> EngineConfig {
    EngineConfig {
        stack_bytes_max: 1024 * 1024,
        module_bytes_max: 16 * 1024 * 1024,
        compile_max: Duration::from_secs(60),
        compile_memory_bytes_max: 4 << 30,
        cache_bytes_max: 64 * 1024 * 1024,
        cache_entries_max: 64,
        cache_ttl: Duration::from_secs(3600),
        threads: 2,
        allocator: Allocator::OnDemand,
    }
}
