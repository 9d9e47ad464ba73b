//! Guests on an external runtime, through the whole path and in the real program.

use data_encoding::BASE64;
use propeller_api::{Limits, TaskRequest};

use crate::processes::Process;
use crate::support::{World, client, endless, guest, ready, request, run, skipped, state};

/// The runtime with the most in it that every test machine is likely to have.
fn wasmtime() -> Option<String> {
    let folders = ["PROPELLER_TEST_RUNTIMES", "PATH"].map(std::env::var_os);
    let folders = folders.iter().flatten().flat_map(std::env::split_paths);
    let mut found = folders.map(|folder| folder.join("wasmtime"));
    let found = found.find(|path| path.is_file())?;
    Some(found.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proplet_runs_its_guests_on_the_runtime_that_it_was_given() {
    let Some(program) = wasmtime() else {
        return skipped("there is no wasmtime in PROPELLER_TEST_RUNTIMES or PATH");
    };
    let world = World::new().await;
    let manager = world.manager().await;
    let client = client(manager.url());
    let broker = format!("tcp://{}", world.address);
    let key = world.key.to_hex();
    let env = [
        ("PROPLET_MQTT_ADDRESS", broker.as_str()),
        ("PROPLET_WORKLOAD_KEY", key.as_str()),
        ("PROPLET_ID", "external"),
        ("PROPLET_DATA_DIR", "external"),
        ("PROPLET_EXTERNAL_WASM_RUNTIME", program.as_str()),
    ];
    let mut proplet = Process::start(&world.scratch.path("cwd"), &["proplet"], &env);
    let line = proplet.expect(&["external runtime: "]);
    assert!(line.contains("wasmtime "), "{line}");
    assert!(line.contains("run -Ccache=n"), "{line}");
    proplet.expect(&["holds no limit of open handles"]);
    ready(&client, 1).await;

    let hello = run(&client, &request("hello", &guest("hello.wasm"))).await;
    assert_eq!(state(&hello), "completed", "{}", hello.error);
    let photo = std::fs::read(crate::support::guest_path("testdata/photo.jpg")).unwrap();
    let thumbnail = TaskRequest {
        stdin: Some(BASE64.encode(&photo)),
        ..request("thumbnail", &guest("thumbnail.wasm"))
    };
    let thumbnail = run(&client, &thumbnail).await;
    assert_eq!(state(&thumbnail), "completed", "{}", thumbnail.error);

    let limited = TaskRequest {
        limits: Some(Limits {
            fuel: Some(1_000_000),
            ..Limits::default()
        }),
        ..request("main", &endless())
    };
    let limited = run(&client, &limited).await;
    let expected = "limit: fuel 1000000 (set by task)";
    assert!(limited.error.contains(expected), "{}", limited.error);

    let greet = run(&client, &request("greet", &guest("greet.wasm"))).await;
    let expected = "the external runtime wasmtime cannot run components";
    assert!(greet.error.contains(expected), "{}", greet.error);
    assert_eq!(proplet.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_cannot_be_used_is_an_error_at_the_start() {
    let world = World::new().await;
    let key = world.key.to_hex();
    let runtime = "PROPLET_EXTERNAL_WASM_RUNTIME";
    let args = "PROPLET_EXTERNAL_WASM_RUNTIME_ARGS";
    for (settings, says) in [
        (
            &[(runtime, "no-such-runtime")][..],
            "no program called `no-such-runtime`",
        ),
        (
            &[(runtime, "/no/such/wasmtime")],
            "No such file or directory",
        ),
        (
            &[(runtime, "/bin/true")],
            "no template for a program called `true`",
        ),
        (
            &[(runtime, "/bin/true"), (args, "{modul}")],
            "there is no `{modul}`",
        ),
        (
            &[(runtime, "/bin/true"), (args, "{file}")],
            "takes the module as a file",
        ),
        (
            &[(args, "{module}")],
            "set PROPLET_EXTERNAL_WASM_RUNTIME as well",
        ),
        (
            &[(runtime, "/bin/true"), ("PROPLET_ISOLATION", "process")],
            "unset one of the two",
        ),
    ] {
        let mut env = vec![("PROPLET_WORKLOAD_KEY", key.as_str())];
        env.extend(settings);
        let mut proplet = Process::start(&world.scratch.path("cwd"), &["proplet"], &env);
        proplet.expect(&["error", says]);
    }
}
