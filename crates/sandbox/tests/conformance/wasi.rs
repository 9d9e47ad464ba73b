//! Every host call of WASI preview 1, tried by guests; docs/book/wasi.md has the outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use propeller_model::Limits;
use propeller_sandbox::{Entry, Exit, Job, Limit, RunError, Runtime, Status};
use tokio::task::JoinSet;

use super::host_calls::{self, HostCall, REFUSED};
use super::{Column, inputs};
use crate::support::{bound, job_of, line};

/// What standard input holds in every case.
const STDIN: &[u8] = b"0123456789";

/// How long a case may take. One that waits for ever on some runtime is known to, and ends here.
const WALL_MS: u64 = 10_000;

/// How many cases run at a time: processes that begin and end leave a core idle now and then.
const AT_A_TIME: usize = 4;

/// How a case ended.
pub(crate) struct Outcome {
    pub(crate) call: &'static str,
    pub(crate) case: String,
    /// `passes`, `refuses`, `refused`, or `differs` with what came instead.
    pub(crate) cell: String,
}

/// What a guest is given and what has to come out.
struct Case {
    call: &'static str,
    name: String,
    job: Job,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Runs all cases and compares what differs with what is known to.
pub(crate) async fn outcomes(runtime: Arc<dyn Runtime>, column: &Column) -> Vec<Outcome> {
    let cases = host_calls::ALL.iter().flat_map(cases);
    let cases = cases.map(|case| {
        let runtime = Arc::clone(&runtime);
        async move { case.outcome(&*runtime).await }
    });
    compared(ran(cases).await, column)
}

/// The `outcomes`, of which those differ that are known to, and no others.
pub(crate) fn compared(outcomes: Vec<Outcome>, column: &Column) -> Vec<Outcome> {
    let known = column.differences.iter();
    let known: BTreeSet<_> = known.flat_map(|of| of.cases).copied().collect();
    let found = outcomes.iter().filter(|of| of.is_different());
    let found: BTreeMap<_, _> = found
        .map(|of| ((of.call, of.case.as_str()), of.cell.as_str()))
        .collect();
    let new: Vec<_> = found.iter().filter(|(of, _)| !known.contains(of)).collect();
    let gone: Vec<_> = known.iter().filter(|of| !found.contains_key(of)).collect();
    assert!(new.is_empty(), "not as WASI says: {new:#?}");
    assert!(gone.is_empty(), "no longer different: {gone:#?}");
    outcomes
}

/// The outcomes of all `cases`, in their order.
pub(crate) async fn ran<C>(cases: impl Iterator<Item = C>) -> Vec<Outcome>
where
    C: Future<Output = Outcome> + Send + 'static,
{
    let mut waiting = cases.enumerate();
    let (mut running, mut ended) = (JoinSet::new(), BTreeMap::new());
    loop {
        let free = AT_A_TIME - running.len();
        for (at, case) in waiting.by_ref().take(free) {
            running.spawn(async move { (at, case.await) });
        }
        let Some(one) = running.join_next().await else {
            return ended.into_values().collect();
        };
        let (at, outcome) = one.expect("a case ends");
        ended.insert(at, outcome);
    }
}

impl Outcome {
    fn is_different(&self) -> bool {
        !["passes", "refuses"].contains(&self.cell.as_str())
    }
}

/// The cases of one host call.
fn cases(call: &HostCall) -> Vec<Case> {
    let module = call.module();
    let mut cases = Vec::new();
    for export in call.exports() {
        let job = |entry: &str| Job {
            entry: Entry::Named(entry.to_owned()),
            env: environment(call.name),
            stdin: Bytes::from_static(STDIN).into(),
            limits: Limits {
                wall_ms: bound(WALL_MS),
                ..Limits::default()
            },
            ..job_of(module.clone())
        };
        if export == "_start" {
            cases.extend(inputs::of(call.name).map(|input| {
                let stdout = input.echo(call.name, &job("_start").name);
                let inputs::Input { name, args, env } = input;
                Case {
                    call: call.name,
                    name: name.to_owned(),
                    job: Job {
                        args,
                        env,
                        ..job("_start")
                    },
                    stdout,
                    stderr: Vec::new(),
                }
            }));
            continue;
        }
        let (stdout, stderr) = printed(call.name, export);
        cases.push(Case {
            call: call.name,
            name: export.to_owned(),
            job: job(export),
            stdout,
            stderr,
        });
    }
    cases
}

impl Case {
    async fn outcome(self, runtime: &dyn Runtime) -> Outcome {
        let cell = self.cell(&runtime.run(self.job.clone()).await);
        Outcome {
            call: self.call,
            case: self.name,
            cell,
        }
    }

    /// What the page says of `end`.
    fn cell(&self, end: &Result<Exit, RunError>) -> String {
        let name = self.name.as_str();
        if let Err(RunError::External { what, .. }) = end {
            return not_run(what);
        }
        let got = line(end);
        let trapped = end
            .as_ref()
            .is_ok_and(|exit| matches!(exit.status, Status::Trapped { .. }));
        let as_named = match name {
            _ if name.ends_with("trap") || name.ends_with("traps") => trapped,
            _ if name.starts_with("exit ") => got == name,
            _ if self.is_command() => got == "exit 0",
            _ => got == "0",
        };
        if !as_named {
            return format!("differs: {}", came(end, &got, trapped));
        }
        if end
            .as_ref()
            .is_ok_and(|exit| exit.stdout != self.stdout || exit.stderr != self.stderr)
        {
            return "differs: prints something else".to_owned();
        }
        let cell = if name.starts_with(REFUSED) {
            "refuses"
        } else {
            "passes"
        };
        cell.to_owned()
    }

    fn is_command(&self) -> bool {
        matches!(&self.job.entry, Entry::Named(entry) if entry == "_start")
    }
}

/// Where there is no variable there is nothing to write to a bad pointer.
fn environment(call: &str) -> Vec<(String, String)> {
    let variable = (call == "environ_get").then(|| ("KEY".to_owned(), "value".to_owned()));
    variable.into_iter().collect()
}

/// What the page says where an external runtime did not run a guest to its end.
fn not_run(what: &str) -> String {
    // What it cannot do ends with what to use instead; all else has happened to its process.
    if what.contains("use another runtime") {
        return "refused".to_owned();
    }
    format!("differs: {}", what.split(':').next().unwrap_or(what))
}

/// What came instead of what was to come.
pub(crate) fn came(end: &Result<Exit, RunError>, got: &str, trapped: bool) -> String {
    if trapped {
        return "traps".to_owned();
    }
    if let Ok(Exit {
        status: Status::LimitHit(hit),
        ..
    }) = end
        && hit.limit == Limit::WallClock
    {
        return "waits for ever".to_owned();
    }
    match got.parse::<u32>() {
        Ok(0) => "goes on".to_owned(),
        Ok(number) if number < 1000 => format!("gives {number}"),
        Ok(number) => format!("{} at step {}", number % 1000, number / 1000),
        Err(_) => got.to_owned(),
    }
}

/// What a case prints; most print nothing.
fn printed(call: &str, case: &str) -> (Vec<u8>, Vec<u8>) {
    let (stdout, stderr): (Vec<u8>, &[u8]) = match (call, case) {
        ("fd_write", "what is written is printed")
        | ("fd_write", "a write tells how much it took, and the rest may follow")
        | ("fd_write", "empty buffers are passed over") => (b"one two three".into(), b""),
        ("fd_write", "buffers may overlap") => (b"one two two three".into(), b""),
        ("fd_write", "a thousand buffers are taken") => ("one".repeat(1000).into(), b""),
        ("fd_write", "a hundred kilobytes are taken") => (vec![b'x'; 100_000], b""),
        ("fd_write", "both outputs are there") => (b"one".into(), b"one"),
        // The count, which is the last argument, is written after the bytes.
        ("fd_write", "a pointer to the count outside of memory traps") => (b"one".into(), b""),
        ("fd_renumber", case) if case.starts_with("an input") => (Vec::new(), b""),
        ("fd_renumber", _) => (b"moved".into(), b""),
        ("fd_close", "a closed stream takes and gives nothing") => (Vec::new(), b"\0\0\0\0"),
        _ => (Vec::new(), b""),
    };
    (stdout, stderr.to_vec())
}
