//! How much memory a proplet takes to fetch, open and run an encrypted image, as a multiple of the
//! image: the proplet by itself, and with the processes and memory files that go with it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use propeller_oci::artifact::Form;
use tokio::process::{Child, Command};

use super::processes::{Peak, Watch};
use super::{Failure, Stage, met, task};
use crate::registry::payload;

const MIB: usize = 1 << 20;
/// What a proplet may take beyond what it has when it is idle.
const GOAL: f64 = 2.2;
const RUNS: usize = 4;
/// After this, what was only needed for connecting is done.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// How long a proplet is looked at that has nothing to do.
const IDLE_FOR: Duration = Duration::from_millis(200);
/// How often it is asked whether a proplet is there.
const LOOK: Duration = Duration::from_millis(5);

/// Sizes of modules.
const SIZES_MIB: [usize; 2] = [16, 64];

/// What is measured of each size. Nothing in it compresses, so that an image is as large as its module.
struct Kind {
    name: &'static str,
    form: Form,
    module: fn(usize) -> Vec<u8>,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "artifact, a custom section",
        form: Form::Artifact,
        module: payload::module,
    },
    Kind {
        name: "artifact, data",
        form: Form::Artifact,
        module: data,
    },
    Kind {
        name: "tar+gzip, a custom section",
        form: Form::Image,
        module: payload::module,
    },
];

/// What one kind of image came to.
struct Measured {
    /// The first run of a new proplet.
    first: Peak,
    /// All runs: later ones find what earlier ones left behind.
    all: Peak,
}

/// Measures and prints.
pub(super) async fn tell(stage: &Stage, binary: &Path) -> Result<(), Failure> {
    println!("\n## Memory beyond an idle proplet's, at its peak\n");
    println!(
        "| image | proplet, first run | of the image | in {RUNS} runs | of the image | compiler | \
         memory files | all at one time | of the image |\n|---|---|---|---|---|---|---|---|---|"
    );
    let mut worst = 0.0_f64;
    for (number, kind) in KINDS.iter().enumerate() {
        for size in SIZES_MIB {
            let id = format!("m{number}-{size}");
            let Measured { first, all } = measured(stage, binary, kind, size, &id).await?;
            let mib = |bytes: u64| bytes as f64 / MIB as f64;
            let both = |bytes| format!("{:.1} MiB | {:.2}", mib(bytes), mib(bytes) / size as f64);
            println!(
                "| {size} MiB, {} | {} | {} | {:.1} MiB | {:.1} MiB | {} |",
                kind.name,
                both(first.own),
                both(all.own),
                mib(all.compiler),
                mib(all.files),
                both(all.together)
            );
            worst = worst.max(mib(all.own) / size as f64);
        }
    }
    println!("\n| goal | measured | met |\n|---|---|---|");
    println!(
        "| memory of the proplet ≤ {GOAL} times the image | {worst:.2} | {} |",
        met(worst <= GOAL)
    );
    Ok(())
}

/// The peak of a new proplet that runs an image again and again, beyond what it has before.
async fn measured(
    stage: &Stage,
    binary: &Path,
    kind: &Kind,
    mebibytes: usize,
    id: &str,
) -> Result<Measured, Failure> {
    let wasm = (kind.module)(mebibytes * MIB);
    let image = stage.push(id, &wasm, kind.form).await?;
    let mut proplet = proplet(stage, binary, id)?;
    let pid = proplet.id().ok_or("the proplet has ended")?;
    while !is_there(stage, id).await? {
        if let Some(status) = proplet.try_wait()? {
            return Err(format!("the proplet ended with {status}").into());
        }
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(IDLE_AFTER).await;
    let watch = Watch::start(pid)?;
    tokio::time::sleep(IDLE_FOR).await;
    let idle = watch.end()?;
    let mut peaks = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let watch = Watch::start(pid)?;
        task(&stage.client, &image, id).await?;
        peaks.push(watch.end()?.above(idle));
    }
    proplet.kill().await?;
    let first = peaks.first().copied().unwrap_or_default();
    let all = peaks.into_iter().fold(first, Peak::max);
    Ok(Measured { first, all })
}

async fn is_there(stage: &Stage, id: &str) -> Result<bool, Failure> {
    let first = propeller_sdk::Page {
        offset: 0,
        limit: 100,
    };
    let page = stage.client.proplet_list(first, None).await?;
    // In a TEE as well: until then a task for it is given up at once.
    Ok(page
        .proplets
        .iter()
        .any(|one| one.id == id && !one.tee.is_empty()))
}

/// A proplet in a process of its own.
fn proplet(stage: &Stage, binary: &Path, id: &str) -> Result<Child, Failure> {
    let folder = stage.scratch.path(id);
    std::fs::create_dir_all(&folder)?;
    let log = std::fs::File::create(folder.join("log"))?;
    let mut command = Command::new(binary);
    command
        .env_clear()
        .current_dir(&folder)
        .arg("proplet")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true);
    for (name, value) in [
        ("ID", id.to_owned()),
        ("MQTT_ADDRESS", format!("tcp://{}", stage.mqtt.address())),
        ("WORKLOAD_KEY", stage.key.to_hex().to_string()),
        ("DATA_DIR", folder.display().to_string()),
        ("ATTESTER", "sample".to_owned()),
        ("KBS_URI", stage.keeper.url().to_owned()),
        ("ISOLATION_ALLOW_MISSING", "landlock,namespaces".to_owned()),
    ] {
        command.env(format!("PROPLET_{name}"), value);
    }
    Ok(command.spawn()?)
}

/// A module with so many bytes of data that its memory begins with, and a function that does nothing.
fn data(bytes: usize) -> Vec<u8> {
    const PAGE_BYTES: usize = 64 << 10;
    let filling = payload::module(bytes);
    let filling = &filling[filling.len() - bytes + 1..];
    let section = |id: u8, content: &[u8]| [&[id][..], &leb(content.len()), content].concat();
    let pages = leb(bytes.div_ceil(PAGE_BYTES));
    // One segment, at 0.
    let segment = [&[1, 0, 0x41, 0, 0x0b][..], &leb(filling.len()), filling].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        section(5, &[&[1, 0][..], &pages].concat()),
        section(7, b"\x01\x04main\0\0"),
        section(10, &[1, 2, 0, 0x0b]),
        section(11, &segment),
    ]
    .concat()
}

/// LEB128.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 127).to_le_bytes()[0];
        number >>= 7;
        match number {
            0 => {
                bytes.push(low);
                return bytes;
            }
            _ => bytes.push(low | 128),
        }
    }
}
