//! Every host call of WASI preview 1 that files have, tried by guests with one directory;
//! docs/book/wasi.md has the outcome.
//!
//! A guest is a file of functions as in `conformance`, with a prelude of its own and texts in their
//! places, such as `@"file"`. Every function that it exports is a case, which runs twice: in a
//! directory that it may change and in one that it may only read. What begins with `changes: ` asks
//! for a change, and where there may be none it has to be refused.

mod changes;
mod differences;
mod folder;
mod guest;

use std::sync::Arc;

use propeller_model::Access;
use propeller_sandbox::{Capabilities, Entry, Exit, Job, RunError, Runtime, Status};

use crate::conformance::Column;
use crate::conformance::host_calls::{self, REFUSED};
use crate::conformance::page::Tables;
use crate::conformance::wasi::{self, Outcome};
use crate::support::{job_of, line, runtime};

use folder::Folder;
use guest::Guest;

/// What the page calls the tables of these guests.
const TABLES: Tables = Tables {
    summary: "granted-summary",
    cases: "granted-cases",
    differences: "granted-differences",
};

/// What begins the name of a case that asks for a change. The page does without it.
const CHANGES: &str = "changes: ";

/// What a guest that asks for a change is answered where it may only read.
const PERM: u32 = 63;

const READ_WRITE: Column = Column {
    name: "read-write",
    differences: differences::READ_WRITE,
};

const READ: Column = Column {
    name: "read",
    differences: differences::READ,
};

#[tokio::test]
async fn every_host_call_does_with_a_granted_directory_what_the_book_says() {
    for (column, access) in [(READ_WRITE, Access::ReadWrite), (READ, Access::Read)] {
        TABLES.check(&column, &outcomes(&column, access).await);
    }
}

#[tokio::test]
#[ignore = "writes docs/book/wasi.md anew"]
async fn the_book_is_told_what_every_host_call_does_with_a_granted_directory() {
    for (column, access) in [(READ_WRITE, Access::ReadWrite), (READ, Access::Read)] {
        TABLES.write(&column, &outcomes(&column, access).await);
    }
}

#[test]
fn every_change_that_is_expected_is_that_of_a_case() {
    let cases: Vec<_> = guest::ALL
        .iter()
        .flat_map(|of| cases(of, Access::Read))
        .collect();
    for (call, name, _) in changes::ALL {
        let known = cases.iter().any(|of| of.call == *call && of.name == *name);
        assert!(known, "{call}: {name}");
    }
}

async fn outcomes(column: &Column, access: Access) -> Vec<Outcome> {
    let runtime = Arc::new(runtime());
    let cases = guest::ALL.iter().flat_map(|guest| cases(guest, access));
    let cases = cases.map(|case| {
        let runtime = Arc::clone(&runtime);
        async move { case.outcome(&*runtime).await }
    });
    wasi::compared(wasi::ran(cases).await, column)
}

/// One function of a guest, with the directory that it is given.
struct Case {
    call: &'static str,
    /// Without `CHANGES`.
    name: String,
    changes: bool,
    access: Access,
    job: Job,
}

fn cases(guest: &Guest, access: Access) -> Vec<Case> {
    let text = guest.text();
    let wasm = host_calls::module(guest.name, &text);
    let exports = host_calls::exports(&text);
    let cases = exports.map(|export| {
        let name = export.strip_prefix(CHANGES);
        Case {
            call: guest.name,
            name: name.unwrap_or(export).to_owned(),
            changes: name.is_some(),
            access,
            job: Job {
                entry: Entry::Named(export.to_owned()),
                ..job_of(wasm.clone())
            },
        }
    });
    cases.collect()
}

impl Case {
    async fn outcome(mut self, runtime: &dyn Runtime) -> Outcome {
        let folder = Folder::new();
        self.job.capabilities = Capabilities {
            directories: vec![folder.opened(self.access)],
            ..Capabilities::default()
        };
        let before = folder.inside();
        let end = runtime.run(self.job.clone()).await;
        let Self { call, name, .. } = &self;
        assert_eq!(folder.outside(), folder::OUTSIDE, "{call}: {name}");
        if self.access == Access::Read {
            // Not even a time of a file is another one.
            assert_eq!(folder.inside(), before, "{call}: {name}");
        } else {
            let changed = before.changes_to(&folder.inside());
            assert_eq!(changed, changes::of(call, name), "{call}: {name}");
        }
        let cell = self.cell(&end);
        Outcome {
            call: self.call,
            case: self.name,
            cell,
        }
    }

    /// What the page says of `end`.
    fn cell(&self, end: &Result<Exit, RunError>) -> String {
        let got = line(end);
        let trapped = end
            .as_ref()
            .is_ok_and(|exit| matches!(exit.status, Status::Trapped { .. }));
        let is_refusal = self.changes && self.access == Access::Read;
        let as_named = match got.parse::<u32>() {
            _ if self.name.ends_with("traps") => trapped,
            _ if self.name.ends_with("ends the guest") => got.starts_with("limit: open handles"),
            Ok(number) if is_refusal => number > 1000 && number % 1000 == PERM,
            Ok(number) => number == 0,
            Err(_) => false,
        };
        if !as_named {
            return format!("differs: {}", wasi::came(end, &got, trapped));
        }
        let cell = if is_refusal || self.name.starts_with(REFUSED) {
            "refuses"
        } else {
            "passes"
        };
        cell.to_owned()
    }
}
