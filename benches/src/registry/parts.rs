//! The processes that are measured, and what the kernel says of them.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use propeller_sdk::Page;
use tokio::process::{Child, Command};

use super::Failure;
use crate::bed::Bed;

/// A process of ours. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Part {
    child: Child,
    name: String,
}

impl Part {
    /// A proxy with an empty cache.
    pub(crate) fn proxy(bed: &Bed, binary: &Path, registry: &str) -> Result<Self, Failure> {
        let mut command = command(bed, binary, "PROXY", "proxy")?;
        command.env("PROXY_REGISTRIES", format!("http://{registry}"));
        command.env("PROXY_HTTP_PORT", "0");
        command.env("PROXY_ALLOW_PLAINTEXT_PROPLETS", "true");
        Ok(Self {
            child: command.spawn()?,
            name: "proxy".to_owned(),
        })
    }

    /// A proplet with nothing in its memory; when it is there, it is connected.
    pub(crate) async fn proplet(bed: &Bed, binary: &Path, from: &str) -> Result<Self, Failure> {
        let name = format!("measured-{from}");
        let mut command = command(bed, binary, "PROPLET", "proplet")?;
        command.env("PROPLET_PULL_FROM", from);
        command.env("PROPLET_ID", &name);
        let child = command.spawn()?;
        bed.wait_for_proplets(1).await?;
        Ok(Self { child, name })
    }

    /// As [`Self::proplet`], in plain compatibility mode.
    pub(crate) async fn plain_proplet(bed: &Bed, binary: &Path) -> Result<Self, Failure> {
        let name = "measured-plain".to_owned();
        let mut command = command(bed, binary, "PROPLET", "proplet")?;
        command.env_remove("PROPLET_WORKLOAD_KEY");
        command.env("PROPLET_PLAINTEXT", "true");
        command.env("PROPLET_LIVELINESS_INTERVAL", "300ms");
        command.env("PROPLET_ID", &name);
        let child = command.spawn()?;
        bed.wait_for_proplets(1).await?;
        Ok(Self { child, name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Ends a proplet, and has the manager forget it.
    pub(crate) async fn stop(&mut self, bed: &Bed) -> Result<(), Failure> {
        let raw = i32::try_from(self.pid())?;
        let pid = rustix::process::Pid::from_raw(raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        self.child.wait().await?;
        let first = Page {
            offset: 0,
            limit: 10,
        };
        loop {
            let page = bed.client.proplet_list(first, None).await?;
            let there = page
                .proplets
                .iter()
                .any(|one| one.id == self.name && one.alive);
            if !there {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }
}

fn command(bed: &Bed, binary: &Path, prefix: &str, verb: &str) -> Result<Command, Failure> {
    let folder = bed.scratch().path(verb);
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder)?;
    let log = File::create(bed.scratch().path(&format!("{verb}.log")))?;
    let mut command = Command::new(binary);
    command
        .env_clear()
        .current_dir(&folder)
        .arg(verb)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true);
    for (name, value) in [
        ("MQTT_ADDRESS", format!("tcp://{}", bed.broker_address())),
        ("WORKLOAD_KEY", bed.key().to_hex().to_string()),
        ("DATA_DIR", folder.display().to_string()),
    ] {
        command.env(format!("{prefix}_{name}"), value);
    }
    Ok(command)
}

/// Time on processors and memory of some processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cost(pub(crate) Vec<Used>);

/// What one process has used.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) name: &'static str,
    pid: u32,
    pub(crate) cpu: Duration,
    /// The most that was resident, in KiB, since it was started.
    pub(crate) peak_kib: u64,
}

impl Cost {
    /// What they have used so far.
    pub(crate) fn of(processes: &[(&'static str, u32)]) -> Self {
        let used = processes.iter().map(|(name, pid)| Used {
            name,
            pid: *pid,
            cpu: cpu(*pid),
            peak_kib: peak_kib(*pid),
        });
        Self(used.collect())
    }

    /// What they have used since then.
    pub(crate) fn until_now(&self) -> Self {
        let since = self.0.iter().map(|before| Used {
            cpu: cpu(before.pid).saturating_sub(before.cpu),
            peak_kib: peak_kib(before.pid),
            ..before.clone()
        });
        Self(since.collect())
    }
}

/// By the kernel's account in hundredths of seconds.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = [11, 12].map(|at| fields.get(at).and_then(|text| text.parse::<u64>().ok()));
    Duration::from_millis(ticks.into_iter().flatten().sum::<u64>() * 10)
}

fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}
