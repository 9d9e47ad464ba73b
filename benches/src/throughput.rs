//! How many tasks a second, with many in flight, and whether every one comes back right.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use propeller::stack::chain;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::bed::Bed;
use crate::brokers::Kind;
use crate::e2e::Plan;
use crate::error::BenchError;
use crate::http::Connection;
use crate::latency::ADD;
use crate::round::{add_request, round};
use crate::samples::Samples;

/// How long one level may take; whatever has not come back by then counts as lost.
const LEVEL_MAX: Duration = Duration::from_secs(120);
/// Tasks before the clock starts: the module is fetched and compiled, connections are warm.
const WARM_UP: usize = 64;
/// Files that this process needs besides one socket for each client and its server.
const OPEN_FILES_BASE: usize = 512;

/// So many tasks, so many of them in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) in_flight: usize,
    pub(crate) tasks: usize,
}

/// What one level gave.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Throughput {
    pub(crate) broker: Kind,
    pub(crate) in_flight: usize,
    pub(crate) tasks: usize,
    /// Tasks that gave the result of their own inputs.
    pub(crate) right: usize,
    /// All the others, whatever became of them.
    pub(crate) lost: usize,
    pub(crate) seconds: f64,
    pub(crate) tasks_per_second: f64,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// The first thing that went wrong.
    pub(crate) error: Option<String>,
}

/// What all clients share.
#[derive(Debug)]
struct Work {
    module: String,
    tasks: usize,
    next: AtomicUsize,
    deadline: tokio::time::Instant,
}

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    took: Vec<Duration>,
    error: Option<String>,
}

/// Measures one level: `in_flight` clients, each with one task at a time.
pub(crate) async fn measure(bed: &Bed, kind: Kind, level: Level) -> Result<Throughput, BenchError> {
    let module = bed.upload("add", ADD).await?;
    let mut connections = Vec::with_capacity(level.in_flight);
    for _ in 0..level.in_flight {
        connections.push(bed.connect().await?);
    }
    let warm_up = WARM_UP.min(level.tasks);
    for (number, connection) in connections.iter_mut().enumerate().take(warm_up) {
        add(connection, &module, number).await?;
    }
    let begun = Instant::now();
    let work = Arc::new(Work {
        module,
        tasks: level.tasks,
        next: AtomicUsize::new(0),
        deadline: tokio::time::Instant::now() + LEVEL_MAX,
    });
    let mut clients = JoinSet::new();
    for connection in connections {
        clients.spawn(drive(connection, Arc::clone(&work)));
    }
    let seen = clients.join_all().await;
    Ok(throughput(kind, level, begun.elapsed(), seen))
}

fn throughput(kind: Kind, level: Level, elapsed: Duration, seen: Vec<Seen>) -> Throughput {
    let took: Samples = seen
        .iter()
        .flat_map(|seen| seen.took.iter().copied())
        .collect();
    let right = u32::try_from(took.len()).unwrap_or(u32::MAX);
    Throughput {
        broker: kind,
        in_flight: level.in_flight,
        tasks: level.tasks,
        right: took.len(),
        lost: level.tasks - took.len(),
        seconds: elapsed.as_secs_f64(),
        tasks_per_second: f64::from(right) / elapsed.as_secs_f64(),
        p50_ms: took.percentile_ms(50),
        p99_ms: took.percentile_ms(99),
        error: seen.into_iter().find_map(|seen| seen.error),
    }
}

/// One client: takes the next task until there is none, or the time is up.
async fn drive(mut connection: Connection, work: Arc<Work>) -> Seen {
    let mut seen = Seen::default();
    loop {
        let number = work.next.fetch_add(1, Ordering::Relaxed);
        if number >= work.tasks {
            return seen;
        }
        let begun = Instant::now();
        let task = add(&mut connection, &work.module, number);
        let error = match timeout_at(work.deadline, task).await {
            Ok(Ok(())) => {
                seen.took.push(begun.elapsed());
                continue;
            }
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("task {number} did not come back within {LEVEL_MAX:?}"),
        };
        seen.error.get_or_insert(error);
        // What is left in the old connection belongs to the task that failed.
        match connection.again().await {
            Ok(fresh) if tokio::time::Instant::now() < work.deadline => connection = fresh,
            _ => return seen,
        }
    }
}

/// Every task has inputs of its own, so that one task's result cannot pass for another's.
async fn add(connection: &mut Connection, module: &str, number: usize) -> Result<(), BenchError> {
    let expected = (number + 2).to_string();
    let request = add_request(module, number, 2);
    let is_right =
        |results: &propeller_api::Results| results.results.as_str() == Some(expected.as_str());
    round(connection, &request, is_right).await.map(drop)
}

/// Makes room for the sockets of the busiest level, as far as the system lets us.
pub(crate) fn raise_open_files(plan: &Plan) -> Result<(), String> {
    let busiest = plan.levels.iter().map(|level| level.in_flight).max();
    let wanted = (2 * busiest.unwrap_or_default() + OPEN_FILES_BASE) as u64;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if maximum.is_some_and(|maximum| maximum < wanted) {
        return Err(format!(
            "{wanted} open files are needed, and the hard limit of this process is lower: see ulimit -Hn"
        ));
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| format!("cannot raise the limit of open files to {wanted}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_come_back_right_is_lost() {
        let level = Level {
            in_flight: 2,
            tasks: 5,
        };
        let seen = vec![
            Seen {
                took: vec![Duration::from_millis(1); 3],
                error: None,
            },
            Seen {
                took: vec![Duration::from_millis(9)],
                error: Some("gone".to_owned()),
            },
        ];
        let given = throughput(Kind::Embedded, level, Duration::from_secs(2), seen);
        assert_eq!((given.right, given.lost), (4, 1));
        assert!((given.tasks_per_second - 2.0).abs() < 1e-9);
        assert_eq!(given.error.as_deref(), Some("gone"));
    }
}
