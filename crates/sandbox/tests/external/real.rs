//! Every runtime that is here, through every case that it can run.

use propeller_sandbox::Runtime;
use propeller_sandbox::external::ExternalRuntime;

use crate::cases::{Can, Grow, conforms};
use crate::support::{Folder, config, find, job, start};

async fn check(program: &str, can: Can) {
    let Some(path) = find(program) else {
        return;
    };
    let folder = Folder::new();
    let mut config = config(&path, None);
    // Only a runtime that takes nothing but files makes use of it.
    config.folder = Some(folder.0.clone());
    let runtime = ExternalRuntime::new(config).expect("the runtime starts");
    let described = runtime.description();
    assert!(described.contains(program), "{described}");
    conforms(&runtime, &can).await;
}

const ALL: Can = Can {
    functions: true,
    fuel: true,
    stack: true,
    grow: Grow::Ends,
    name: true,
    empty_variables: true,
    backtrace: true,
    hidden: 1,
};

/// What a runtime can that only runs commands.
const COMMANDS: Can = Can {
    functions: false,
    fuel: false,
    stack: false,
    grow: Grow::Fails,
    name: false,
    empty_variables: true,
    backtrace: false,
    hidden: 0,
};

#[tokio::test]
async fn wasmtime_conforms() {
    check("wasmtime", ALL).await;
}

#[tokio::test]
async fn wasmi_conforms() {
    let can = Can {
        functions: true,
        fuel: true,
        empty_variables: false,
        ..COMMANDS
    };
    check("wasmi", can).await;
}

#[tokio::test]
async fn wasmi_says_what_to_do_with_a_module_that_has_simd() {
    let Some(path) = find("wasmi") else {
        return;
    };
    let runtime = start(&path, None).expect("the runtime starts");
    let text = r#"(module (func (export "main") (drop (v128.const i64x2 0 0))))"#;
    let refused = runtime.run(job(text, "main", &[])).await;
    let refused = refused.expect_err("its program knows no SIMD");
    assert!(refused.to_string().contains("SIMD opcode"), "{refused}");
    let hint = refused.hint().expect("there is something to do");
    assert!(hint.contains("PROPLET_EXTERNAL_WASM_RUNTIME"), "{hint}");
}

#[tokio::test]
async fn node_conforms() {
    let can = Can {
        fuel: false,
        grow: Grow::Fails,
        // Results come on a descriptor of their own.
        hidden: 0,
        ..ALL
    };
    check("node", can).await;
}

#[tokio::test]
async fn wazero_conforms() {
    check("wazero", COMMANDS).await;
}

#[tokio::test]
async fn iwasm_conforms() {
    let can = Can {
        stack: true,
        ..COMMANDS
    };
    check("iwasm", can).await;
}

#[tokio::test]
async fn wasmer_conforms() {
    let can = Can {
        stack: true,
        ..COMMANDS
    };
    check("wasmer", can).await;
}
