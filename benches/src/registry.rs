//! Images by way of a proxy: from Debian's registry, across mosquitto, to checked bytes in the memory
//! of a proplet; each part a process of its own.
//!
//! Beside it, in the same rounds: the proplet itself from the registry, `skopeo copy` to a folder,
//! and what mosquitto carries from one publisher to one subscriber.

mod parts;
mod raw;
mod tell;

#[path = "../../crates/oci/benches/pull/payload.rs"]
pub(crate) mod payload;
#[path = "../../crates/oci/benches/pull/registry.rs"]
pub(crate) mod server;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use propeller_api::{Results, TaskRequest};
use propeller_oci::artifact::{Form, Interfaces, build, push};
use propeller_oci::registry::silently;
use propeller_oci::{Reference, Registry, RegistryOptions};

use crate::bed::Bed;
use crate::brokers::Kind;
use crate::processes::binary;
use crate::round::{round, usage};

use parts::{Cost, Part};
use server::Server;

/// What the module of the large image has, which nothing compresses.
const LARGE_BYTES: usize = 100_000_000;
const SMALL_BYTES: usize = 1_000_000;
/// As `PROXY_CHUNK_SIZE` is by default.
const CHUNK_BYTES: usize = 512_000;

/// How to measure
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each way is taken
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(crate) type Failure = Box<dyn std::error::Error>;

/// One way from a registry, or from a publisher: all that was measured of it.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) times: Vec<Duration>,
    pub(crate) costs: Vec<Cost>,
}

/// All ways, in the order in which they were first taken.
#[derive(Debug, Default)]
pub(crate) struct Ways(pub(crate) Vec<Way>);

impl Ways {
    fn note(&mut self, name: &'static str, time: Duration, cost: Cost) {
        let known = self.0.iter_mut().position(|way| way.name == name);
        let at = known.unwrap_or_else(|| {
            self.0.push(Way {
                name,
                times: Vec::new(),
                costs: Vec::new(),
            });
            self.0.len() - 1
        });
        self.0[at].times.push(time);
        self.0[at].costs.push(cost);
    }
}

pub(crate) const RAW: &str = "mosquitto: one publisher, one subscriber";
pub(crate) const COLD: &str = "proxy, which fetches it";
pub(crate) const CACHED: &str = "proxy, which has it";
pub(crate) const DIRECT: &str = "proplet, from the registry";
pub(crate) const SKOPEO: &str = "skopeo copy, to a folder";
pub(crate) const SEALED: &str = "proxy, which has it, request to result";
pub(crate) const JSON: &str = "the same in upstream's JSON chunks, request to result";
pub(crate) const SMALL_COLD: &str = "1 MB, request to result, first by way of the proxy";
pub(crate) const SMALL_CACHED: &str = "1 MB, request to result, which the proxy has";
pub(crate) const SMALL_WARM: &str = "1 MB, request to result, which the proplet has";

/// Measures and prints.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let binary = binary().ok_or("no propeller beside this program: build it, or name it")?;
    let server = Server::start()?;
    let registry = Registry::new(RegistryOptions::default())?;
    let mut images = Vec::new();
    for (tag, bytes) in [("large", LARGE_BYTES), ("small", SMALL_BYTES)] {
        let wasm = payload::module(bytes);
        let built = build(&wasm, Form::Artifact, &Interfaces::default(), &[])?;
        let image: Reference = format!("http://{}/bench:{tag}", server.address).parse()?;
        push(&registry, &image, &built, silently()).await?;
        images.push(image.to_string());
    }
    let bed = Bed::for_plain(Kind::Mosquitto).await?;
    let mut ways = Ways::default();
    for number in 0..args.rounds {
        eprintln!("round {} of {}", number + 1, args.rounds);
        one(&bed, &binary, &server, [&images[0], &images[1]], &mut ways).await?;
    }
    bed.stop().await;
    tell::tell(&ways, LARGE_BYTES);
    Ok(())
}

/// One round of everything.
async fn one(
    bed: &Bed,
    binary: &Path,
    server: &Server,
    [large, small]: [&str; 2],
    ways: &mut Ways,
) -> Result<(), Failure> {
    let broker = bed.broker_pid();
    // Beside it this process has a manager, which has nothing to do.
    let raw = Cost::of(&[
        ("mosquitto", broker),
        ("publisher and subscriber", std::process::id()),
    ]);
    let time = raw::carry(bed.broker_address(), LARGE_BYTES, CHUNK_BYTES).await?;
    ways.note(RAW, time, raw.until_now());

    let mut proxy = Part::proxy(bed, binary, &server.address)?;
    for name in [COLD, CACHED] {
        let mut proplet = Part::proplet(bed, binary, "proxy").await?;
        let watched = [
            ("mosquitto", broker),
            ("proxy", proxy.pid()),
            ("proplet", proplet.pid()),
        ];
        let cost = Cost::of(&watched);
        let (time, total) = task(bed, large, None).await?;
        ways.note(name, time, cost.until_now());
        if name == CACHED {
            ways.note(SEALED, total, cost.until_now());
        }
        proplet.stop(bed).await?;
    }
    let mut proplet = Part::plain_proplet(bed, binary).await?;
    let watched = [
        ("mosquitto", broker),
        ("proxy", proxy.pid()),
        ("proplet", proplet.pid()),
    ];
    let cost = Cost::of(&watched);
    let (_, total) = task(bed, large, Some(proplet.name())).await?;
    ways.note(JSON, total, cost.until_now());
    proplet.stop(bed).await?;
    for (names, restarts) in [([SMALL_COLD, SMALL_WARM], 1), ([SMALL_CACHED, ""], 1)] {
        let mut proplet = Part::proplet(bed, binary, "proxy").await?;
        for name in names
            .into_iter()
            .filter(|name| !name.is_empty())
            .take(1 + restarts)
        {
            let (_, total) = task(bed, small, None).await?;
            ways.note(name, total, Cost::default());
        }
        proplet.stop(bed).await?;
    }
    proxy.kill().await?;

    let mut proplet = Part::proplet(bed, binary, "registry").await?;
    let cost = Cost::of(&[("proplet", proplet.pid())]);
    let (time, _) = task(bed, large, None).await?;
    ways.note(DIRECT, time, cost.until_now());
    proplet.stop(bed).await?;

    if let Some(time) = skopeo(server, large)? {
        ways.note(SKOPEO, time, Cost::default());
    }
    Ok(())
}

/// Runs a task of an image: how long the proplet prepared, and how long everything took.
async fn task(
    bed: &Bed,
    image: &str,
    proplet: Option<&str>,
) -> Result<(Duration, Duration), Failure> {
    let request = TaskRequest {
        name: Some("main".to_owned()),
        image_url: Some(image.to_owned()),
        proplet_id: proplet.map(ToOwned::to_owned),
        ..TaskRequest::default()
    };
    let mut connection = bed.connect().await?;
    let right = |_: &Results| true;
    let round = round(&mut connection, &request, right).await?;
    // In plain mode nothing is told of it.
    let prepared = match proplet {
        None => usage(&mut connection, &round.id).await?.prepare_us,
        Some(_) => 0,
    };
    Ok((Duration::from_micros(prepared), round.total()))
}

/// The same image by another tool; nothing where that is not.
fn skopeo(server: &Server, image: &str) -> Result<Option<Duration>, Failure> {
    let folder = server.folder.path().join("copy");
    std::fs::remove_dir_all(&folder).ok();
    let begun = Instant::now();
    let image = image.trim_start_matches("http://");
    let copied = Command::new("skopeo")
        .args([
            "--insecure-policy",
            "copy",
            "--quiet",
            "--src-tls-verify=false",
        ])
        .arg(format!("docker://{image}"))
        .arg(format!("dir:{}", folder.display()))
        .status();
    match copied {
        Ok(status) if status.success() => Ok(Some(begun.elapsed())),
        Ok(status) => Err(format!("skopeo ended with {status}").into()),
        Err(_) => Ok(None),
    }
}
