//! WASI preview 1, host call by host call, on every runtime that is here; docs/book/wasi.md has the
//! outcome.

mod node;
mod shared;
mod wasmi;
mod wasmtime;

use std::sync::Arc;

use propeller_sandbox::Runtime;
use propeller_sandbox::external::ExternalRuntime;

use crate::conformance::{Column, page, wasi};
use crate::support::{config, find, skipped};

/// A runtime that the book has a column for.
struct Told {
    column: Column,
    /// What its version begins with: others may differ elsewhere.
    version: &'static str,
}

const WASMTIME: Told = Told {
    column: wasmtime::COLUMN,
    version: "48.0.8",
};

const WASMI: Told = Told {
    column: wasmi::COLUMN,
    version: "2.0.0",
};

const NODE: Told = Told {
    column: node::COLUMN,
    version: "20.",
};

#[tokio::test]
async fn every_host_call_of_wasi_on_wasmtime_does_what_the_book_says() {
    check(&WASMTIME).await;
}

#[tokio::test]
async fn every_host_call_of_wasi_on_wasmi_does_what_the_book_says() {
    check(&WASMI).await;
}

#[tokio::test]
async fn every_host_call_of_wasi_on_node_does_what_the_book_says() {
    check(&NODE).await;
}

#[test]
fn the_book_has_no_column_for_wazero() {
    untold("wazero");
}

#[test]
fn the_book_has_no_column_for_iwasm() {
    untold("iwasm");
}

#[test]
fn the_book_has_no_column_for_wasmer() {
    untold("wasmer");
}

/// One after the other, because they write the same file.
#[tokio::test]
#[ignore = "writes docs/book/wasi.md anew"]
async fn the_book_is_told_what_every_host_call_of_wasi_does() {
    for told in [WASMTIME, WASMI, NODE] {
        if let Some(runtime) = told.start() {
            let outcomes = wasi::outcomes(runtime, &told.column).await;
            page::write(&told.column, &outcomes);
        }
    }
}

async fn check(told: &Told) {
    if let Some(runtime) = told.start() {
        let outcomes = wasi::outcomes(runtime, &told.column).await;
        page::check(&told.column, &outcomes);
    }
}

/// Records that nobody has run the cases on a runtime that only the machines of others have.
fn untold(name: &str) {
    if find(name).is_some() {
        skipped(&format!("docs/book/wasi.md has no column for {name}"));
    }
}

impl Told {
    /// The runtime, or a record that it could not be tested.
    fn start(&self) -> Option<Arc<dyn Runtime>> {
        let (name, version) = (self.column.name, self.version);
        let program = find(name)?;
        let runtime = ExternalRuntime::new(config(&program, None)).expect("the runtime starts");
        let described = runtime.description();
        if !described.starts_with(&format!("{name} {version}")) {
            skipped(&format!(
                "docs/book/wasi.md is about {name} {version}, and this is {described}"
            ));
            return None;
        }
        Some(Arc::new(runtime))
    }
}
