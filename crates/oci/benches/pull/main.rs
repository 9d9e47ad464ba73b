//! `cargo xtask bench pull`: an image of 100 MB from Debian's registry, by us, by `skopeo`, and
//! by whoever only reads it, in turns on one machine.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark speaks to whoever started it"
)]

mod payload;
mod registry;
mod report;

#[path = "../../../sandbox/benches/sandbox/environment.rs"]
mod environment;

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use propeller_oci::artifact::{Built, Form, Interfaces, build, push};
use propeller_oci::crypt::{PrivateKey, PublicKey};
use propeller_oci::image::{PullOptions, pull, resolve};
use propeller_oci::registry::silently;
use propeller_oci::{Reference, Registry, RegistryOptions, signatures};

use registry::Server;
use report::section;

/// What an image holds: a module of so many bytes that nothing compresses.
const MODULE_BYTES: usize = 100_000_000;
/// How often each way is taken.
const ROUNDS: usize = 5;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // Whoever runs all tests with their benches wants none.
    if std::env::args().any(|argument| argument == "--test") || cfg!(debug_assertions) {
        println!("pull: measured by `cargo xtask bench pull` alone");
        return ExitCode::SUCCESS;
    }
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let measured = runtime
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(measure()));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One way to get the image.
struct Way {
    name: &'static str,
    times: Vec<Duration>,
    cpu: Vec<Duration>,
}

async fn measure() -> Result<(), Failure> {
    let server = Server::start()?;
    environment::print();
    let key = rcgen::KeyPair::generate()?;
    let public = PublicKey::from_bytes(key.public_key_pem().as_bytes())?;
    let private: Arc<[PrivateKey]> =
        Arc::new([PrivateKey::from_bytes(key.serialize_pem().as_bytes())?]);
    let wasm = payload::module(MODULE_BYTES);
    let registry = Registry::new(RegistryOptions::default())?;
    let mut images: Vec<(&'static str, Reference, Built)> = Vec::new();
    for (name, tag, form, recipients) in [
        ("Wasm artifact", "artifact", Form::Artifact, vec![]),
        ("image, tar+gzip", "image", Form::Image, vec![]),
        (
            "encrypted artifact",
            "encrypted",
            Form::Artifact,
            vec![public],
        ),
    ] {
        let built = build(&wasm, form, &Interfaces::default(), &recipients)?;
        let reference = format!("http://{}/bench:{tag}", server.address).parse()?;
        images.push((name, reference, built));
    }
    let mut sent = Vec::new();
    for (name, reference, built) in &images {
        let begun = Instant::now();
        push(&registry, reference, built, silently()).await?;
        sent.push(vec![
            (*name).to_owned(),
            rate(built.layer.len(), begun.elapsed()),
        ]);
    }
    section("Pushing, once", &["what", "MB/s"], &sent);

    let mut ways: Vec<Way> = Vec::new();
    for round in 0..ROUNDS {
        let mut at = 0;
        let mut note = |name, time, cpu| {
            if round == 0 {
                ways.push(Way {
                    name,
                    times: Vec::new(),
                    cpu: Vec::new(),
                });
            }
            ways[at].times.push(time);
            ways[at].cpu.push(cpu);
            at += 1;
        };
        let (time, cpu) = raw(&server, &images[0]).await?;
        note("raw: one GET, thrown away", time, cpu);
        for (name, reference, _) in &images {
            let (time, cpu) = pulled(&registry, reference, &private, wasm.len()).await?;
            note(name, time, cpu);
        }
        if let Some((time, cpu)) = skopeo(&server, "image")? {
            note("skopeo copy of the image, to a folder", time, cpu);
        }
    }
    tell(&ways);
    Ok(())
}

/// A request for the layer whose body nobody keeps: what registry and connection can do.
async fn raw(
    server: &Server,
    (_, _, built): &(&'static str, Reference, Built),
) -> Result<(Duration, Duration), Failure> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let digest = propeller_oci::sha256(&built.layer);
    let (begun, cpu) = (Instant::now(), own_cpu());
    let mut connection = tokio::net::TcpStream::connect(&server.address).await?;
    let request =
        format!("GET /v2/bench/blobs/{digest} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; 256 << 10];
    let mut read = 0;
    loop {
        match connection.read(&mut buffer).await? {
            0 => break,
            more => read += more,
        }
    }
    assert!(read > built.layer.len(), "the registry sends the layer");
    Ok((begun.elapsed(), own_cpu() - cpu))
}

/// From a reference to verified bytes in memory.
async fn pulled(
    registry: &Registry,
    reference: &Reference,
    keys: &Arc<[PrivateKey]>,
    len: usize,
) -> Result<(Duration, Duration), Failure> {
    let options = PullOptions {
        layers_at_once: 4,
        module_bytes_max: 1 << 30,
        unpacked_bytes_max: 1 << 30,
        entries_max: 1000,
        keys: Arc::clone(keys).into(),
    };
    let (begun, cpu) = (Instant::now(), own_cpu());
    let resolved = resolve(registry, reference).await?;
    let admitted = signatures::admit(registry, resolved, &[]).await?;
    let pulled = pull(registry, &admitted, &options, &|_| {}).await?;
    assert_eq!(pulled.module.len(), len);
    Ok((begun.elapsed(), own_cpu() - cpu))
}

/// The same by another tool, to a folder; nothing where it is not.
fn skopeo(server: &Server, tag: &str) -> Result<Option<(Duration, Duration)>, Failure> {
    let folder = server.folder.path().join("copy");
    std::fs::remove_dir_all(&folder).ok();
    let (begun, cpu) = (Instant::now(), children_cpu());
    let copied = Command::new("skopeo")
        .args([
            "--insecure-policy",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
        ])
        .arg(format!("docker://{}/bench:{tag}", server.address))
        .arg(format!("dir:{}", folder.display()))
        .status();
    match copied {
        Ok(status) if status.success() => Ok(Some((begun.elapsed(), children_cpu() - cpu))),
        Ok(status) => Err(format!("skopeo ended with {status}").into()),
        Err(_) => Ok(None),
    }
}

fn tell(ways: &[Way]) {
    let raw = ways.first().map_or(Duration::MAX, |way| median(&way.times));
    let rows = ways.iter().map(|way| {
        let time = median(&way.times);
        let ratio = raw.as_secs_f64() / time.as_secs_f64();
        let cpu = median(&way.cpu).as_secs_f64() * 1e9 / MODULE_BYTES as f64;
        vec![
            way.name.to_owned(),
            format!("{:.0} ms", time.as_secs_f64() * 1e3),
            rate(MODULE_BYTES, time),
            format!("{ratio:.2}"),
            format!("{cpu:.1} ns"),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let heads = ["what", "median", "MB/s", "of raw", "processor per byte"];
    section("Pulling 100 MB, medians", &heads, &rows);
    let peak = status("VmHWM:");
    let own = [vec![
        "peak of this process, all of it".to_owned(),
        format!("{peak} KiB"),
    ]];
    section("Memory", &["what", "value"], &own);
}

fn rate(bytes: usize, time: Duration) -> String {
    format!("{:.0}", bytes as f64 / time.as_secs_f64() / 1e6)
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Time on processors, by the kernel's account in hundredths of seconds.
fn stat(fields: [usize; 2]) -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().collect::<Vec<_>>();
    let value = |at: usize| ticks.get(at).and_then(|text| text.parse::<u64>().ok());
    Duration::from_millis(
        fields
            .map(|at| value(at).unwrap_or_default())
            .iter()
            .sum::<u64>()
            * 10,
    )
}

fn own_cpu() -> Duration {
    stat([11, 12])
}

fn children_cpu() -> Duration {
    stat([13, 14])
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}
