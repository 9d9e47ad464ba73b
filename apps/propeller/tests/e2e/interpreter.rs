//! Guests in the interpreter, through the whole path and in the real program.

use propeller_api::TaskRequest;

use crate::processes::Process;
use crate::support::{World, client, guest, ready, request, run, state, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_proplet_interprets_its_guests() {
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let broker = format!("tcp://{}", world.address);
    let key = world.key.to_hex();
    let env = [
        ("PROPLET_MQTT_ADDRESS", broker.as_str()),
        ("PROPLET_WORKLOAD_KEY", key.as_str()),
        ("PROPLET_ID", "small"),
        ("PROPLET_DATA_DIR", "small"),
        ("PROPLET_ENGINE", "interpreter"),
    ];
    let mut proplet = Process::start(&world.scratch.path("cwd"), &["proplet"], &env);
    proplet.expect(&["proplet starts", "engine=interpreter"]);
    ready(&client, 1).await;
    let view = client.proplet_view("small").await.unwrap();
    assert_eq!(view.metadata.wasm_runtime, "wasmi-internal");

    let hello = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(state(&hello), "completed", "{}", hello.error);

    let component = TaskRequest {
        ..request("component", &wat::parse_str("(component)").unwrap())
    };
    let component = run(&client, &component).await;
    assert_eq!(state(&component), "failed");
    assert!(
        component
            .error
            .contains("components cannot run in the interpreter"),
        "{}",
        component.error
    );

    drop(proplet);
    until("it is gone", async || {
        !client.proplet_view("small").await.unwrap().alive
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_refused_by_name_at_the_start() {
    let world = World::new().await;
    let key = world.key.to_hex();
    for (name, value, says) in [
        ("PROPLET_ENGINE", "v8", "interpreter"),
        ("PROPLET_ISOLATION", "process", "needs the engine wasmtime"),
    ] {
        let env = [
            ("PROPLET_WORKLOAD_KEY", key.as_str()),
            ("PROPLET_ENGINE", "interpreter"),
            (name, value),
        ];
        let mut proplet = Process::start(&world.scratch.path("cwd"), &["proplet"], &env);
        proplet.expect(&["error", name, says]);
    }
}
