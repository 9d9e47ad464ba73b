//! The binary as users start it: how soon it is ready, and what an idle proplet weighs.

use std::ffi::OsString;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use propeller::stack::Scratch;
use propeller_api::{Health, PropletPage};
use serde::Serialize;
use tokio::process::{Child, Command};

use crate::bed::Bed;
use crate::brokers::free_address;
use crate::error::{BenchError, within};
use crate::http::Connection;
use crate::samples::Samples;

/// Names the binary, if it is not beside this program.
const BINARY: &str = "PROPELLER_BIN";
/// One start takes a fraction of a second.
const UP_MAX: Duration = Duration::from_secs(20);
/// How often the port is tried: the error of what is measured.
const LOOK: Duration = Duration::from_millis(1);
/// After this, what was only needed for connecting is done.
const IDLE_AFTER: Duration = Duration::from_secs(3);

/// How soon `propeller up` is ready.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StartUp {
    pub(crate) runs: usize,
    /// From the start of the process until it is healthy and has a live proplet.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) slowest_ms: Option<f64>,
}

/// What an idle `propeller proplet` weighs.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Memory {
    pub(crate) resident_kib: u64,
}

/// The binary that is measured: the one that the environment names, or the one beside this program.
pub(crate) fn binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY) {
        // A child is started in another directory.
        return std::path::absolute(path).ok();
    }
    let beside = std::env::current_exe().ok()?.with_file_name("propeller");
    beside.is_file().then_some(beside)
}

/// Starts `propeller up` again and again, each time with an empty data directory.
pub(crate) async fn start_up(binary: &Path, runs: usize) -> Result<StartUp, BenchError> {
    let mut took = Vec::with_capacity(runs);
    for _ in 0..runs {
        took.push(within(UP_MAX, up(binary)).await?);
    }
    let took: Samples = took.into_iter().collect();
    Ok(StartUp {
        runs: took.len(),
        p50_ms: took.median_ms(),
        slowest_ms: took.percentile_ms(100),
    })
}

async fn up(binary: &Path) -> Result<Duration, BenchError> {
    let scratch = scratch()?;
    let (broker, api) = (free_address().await?, free_address().await?);
    let mut command = command(binary, &scratch)?;
    command
        .arg("up")
        .arg("--data-dir")
        .arg(scratch.path("data"));
    command.env("BROKER_LISTEN", broker.to_string());
    command.env("MANAGER_HTTP_PORT", api.port().to_string());
    command.env("MANAGER_MQTT_ADDRESS", format!("tcp://{broker}"));
    command.env("PROPLET_MQTT_ADDRESS", format!("tcp://{broker}"));
    command.env("MANAGER_LOG_LEVEL", "warn");
    let begun = Instant::now();
    let mut child = command.spawn().map_err(BenchError::io("start propeller"))?;
    let ready = ready(&mut child, api, &scratch).await;
    let took = begun.elapsed();
    let stopped = stop(child).await;
    ready.and(stopped).map(|()| took)
}

/// Waits until the manager is healthy and has a live proplet. The caller decides how long.
async fn ready(child: &mut Child, api: SocketAddr, scratch: &Scratch) -> Result<(), BenchError> {
    loop {
        if let Ok(mut connection) = Connection::open(api).await {
            while !is_ready(&mut connection).await? {
                lives(child, scratch)?;
                tokio::time::sleep(LOOK).await;
            }
            return Ok(());
        }
        lives(child, scratch)?;
        tokio::time::sleep(LOOK).await;
    }
}

async fn is_ready(connection: &mut Connection) -> Result<bool, BenchError> {
    let health: Health = serde_json::from_slice(&connection.get("/health").await?)?;
    if health.status != "pass" {
        return Ok(false);
    }
    let active = connection.get("/proplets?status=active").await?;
    let page: PropletPage = serde_json::from_slice(&active)?;
    Ok(page.proplets.iter().any(|proplet| proplet.alive))
}

/// Starts `propeller proplet` at a broker and a manager of this process, and weighs it when it has
/// nothing to do.
pub(crate) async fn idle_proplet(bed: &Bed, binary: &Path) -> Result<Memory, BenchError> {
    let mut command = command(binary, bed.scratch())?;
    let broker = bed.broker_address();
    command.arg("proplet");
    command.env("PROPLET_ID", "idle");
    command.env("PROPLET_MQTT_ADDRESS", format!("tcp://{broker}"));
    command.env("PROPLET_WORKLOAD_KEY", bed.key().to_hex().as_str());
    command.env("PROPLET_DATA_DIR", bed.scratch().path("idle"));
    command.env("PROPLET_LOG_LEVEL", "warn");
    let mut child = command.spawn().map_err(BenchError::io("start propeller"))?;
    let weighed = weigh(bed, &mut child).await;
    let stopped = stop(child).await;
    let memory = weighed?;
    stopped.map(|()| memory)
}

async fn weigh(bed: &Bed, child: &mut Child) -> Result<Memory, BenchError> {
    tokio::select! {
        connected = bed.wait_for_proplets(1) => connected?,
        ended = child.wait() => {
            let status = ended.map_err(BenchError::io("watch propeller"))?;
            return Err(ended_with(status, bed.scratch()));
        }
    }
    tokio::time::sleep(IDLE_AFTER).await;
    lives(child, bed.scratch())?;
    let pid = child.id().unwrap_or_default();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.map_err(BenchError::io("read the memory of a process"))?;
    let resident_kib = resident_kib(&status).ok_or_else(|| BenchError::Ended {
        what: "propeller",
        said: "it has no memory".to_owned(),
    })?;
    Ok(Memory { resident_kib })
}

/// `VmRSS` of `/proc/PID/status`.
fn resident_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The binary, in a directory without configuration and without our environment.
fn command(binary: &Path, scratch: &Scratch) -> Result<Command, BenchError> {
    let log = File::create(scratch.path("stderr"));
    let log = log.map_err(BenchError::io("write to the temporary directory"))?;
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("PATH", path())
        .current_dir(scratch.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

fn path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

fn scratch() -> Result<Scratch, BenchError> {
    Scratch::new().map_err(BenchError::io("make a temporary directory"))
}

/// An error if the process has ended.
fn lives(child: &mut Child, scratch: &Scratch) -> Result<(), BenchError> {
    match child
        .try_wait()
        .map_err(BenchError::io("watch propeller"))?
    {
        None => Ok(()),
        Some(status) => Err(ended_with(status, scratch)),
    }
}

fn ended_with(status: std::process::ExitStatus, scratch: &Scratch) -> BenchError {
    let said = std::fs::read_to_string(scratch.path("stderr")).unwrap_or_default();
    let last = said.lines().last().unwrap_or("and said nothing");
    BenchError::Ended {
        what: "propeller",
        said: format!("{status}, {last}"),
    }
}

/// Nothing it has is worth a proper end: its directory goes with it.
async fn stop(mut child: Child) -> Result<(), BenchError> {
    child.kill().await.map_err(BenchError::io("stop a process"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_memory_is_one_line_of_many() {
        let status = "Name:\tpropeller\nVmHWM:\t   40000 kB\nVmRSS:\t   31552 kB\nThreads:\t9\n";
        assert_eq!(resident_kib(status), Some(31552));
        assert_eq!(resident_kib("Name:\tkthreadd\n"), None);
    }
}
