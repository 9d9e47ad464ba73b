//! Every runtime that is here, through every case that it can run.

use crate::cases::{Can, Grow, conforms};
use crate::support::{find, start};

async fn check(program: &str, test: &str, can: Can) {
    let Some(path) = find(program, test) else {
        return;
    };
    let runtime = start(&path, None).expect("the runtime starts");
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
};

#[tokio::test]
async fn wasmtime_conforms() {
    check("wasmtime", "wasmtime_conforms", ALL).await;
}

#[tokio::test]
async fn wasmi_conforms() {
    let can = Can {
        functions: true,
        fuel: true,
        empty_variables: false,
        ..COMMANDS
    };
    check("wasmi", "wasmi_conforms", can).await;
}

#[tokio::test]
async fn node_conforms() {
    let can = Can {
        fuel: false,
        grow: Grow::Fails,
        ..ALL
    };
    check("node", "node_conforms", can).await;
}

#[tokio::test]
async fn wazero_conforms() {
    check("wazero", "wazero_conforms", COMMANDS).await;
}

#[tokio::test]
async fn iwasm_conforms() {
    let can = Can {
        stack: true,
        ..COMMANDS
    };
    check("iwasm", "iwasm_conforms", can).await;
}
