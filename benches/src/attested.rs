//! Encrypted tasks: from the start message to the first instruction of the guest, step by step, with
//! a key broker, Debian's registry and `sample` evidence, all on this machine; and how much memory
//! larger images take.

mod memory;
mod processes;

use std::path::Path;
use std::time::{Duration, Instant};

use propeller::stack::{Part, Scratch, broker};
use propeller_api::{Attempt, TaskRequest};
use propeller_attest::rcar::KbsAddress;
use propeller_attest::rcar::admin::{Admin, AdminKey};
use propeller_broker::Broker;
use propeller_envelope::WorkloadKey;
use propeller_keybroker::KeyBroker;
use propeller_manager::Manager;
use propeller_oci::artifact::{Form, Interfaces, build, push};
use propeller_oci::crypt::{PrivateKey, PublicKey, decrypt, encrypt};
use propeller_oci::registry::silently;
use propeller_oci::{Reference, Registry, RegistryOptions};
use propeller_sdk::{Client, ClientOptions};

use crate::processes::binary;
use crate::registry::payload;
use crate::registry::server::Server;

const IMAGE_BYTES: usize = 1_000_000;
/// What is decrypted in memory, for the speed of that alone.
const LAYER_BYTES: usize = 64_000_000;
const PATIENCE: Duration = Duration::from_secs(60);
const POLICY: &str = "[[allow]]\nname = 'bench'\nresources = ['default/key/*']\ntee = ['sample']\n";

/// What is told of a run.
type Step = fn(&Run) -> u64;

/// How to measure
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Proplets that are started, each with a first run
    #[arg(long, default_value_t = 11)]
    firsts: usize,
    /// Later runs of each of them
    #[arg(long, default_value_t = 20)]
    later: usize,
    /// Only the memory that larger images take
    #[arg(long)]
    memory: bool,
}

type Failure = Box<dyn std::error::Error>;

/// One run, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    evidence: u64,
    token: u64,
    key: u64,
    image: u64,
    decrypt: u64,
    compile: u64,
    /// Opening the input, the child's start, and whatever else there is.
    rest: u64,
    /// From the start message to the guest's first instruction.
    total: u64,
    /// From the request to its result.
    seen: u64,
}

/// What runs for as long as there is something to measure.
struct Stage {
    client: Client,
    key: WorkloadKey,
    keeper: KeyBroker,
    mqtt: Broker,
    pair: Pair,
    registry: Registry,
    server: Server,
    _manager: Manager,
    /// The last to go: the others have folders in it.
    scratch: Scratch,
}

impl Stage {
    async fn new() -> Result<Self, Failure> {
        let scratch = Scratch::new()?;
        let pair = Pair::make(&scratch.path(""))?;
        let keeper = keeper(&scratch, &pair).await?;
        let mqtt = broker().await?;
        let key = WorkloadKey::generate()?;
        let manager = Part::new(mqtt.address(), &scratch.path("manager")).key(&key);
        let manager = manager.manager().await?;
        let client = Client::new(ClientOptions {
            base_url: manager.url().to_owned(),
            token: None,
            ca_cert: None,
            insecure_skip_verify: false,
            timeout: PATIENCE,
        })?;
        Ok(Self {
            client,
            key,
            keeper,
            mqtt,
            pair,
            registry: Registry::new(RegistryOptions::default())?,
            server: Server::start()?,
            _manager: manager,
            scratch,
        })
    }

    /// Pushes a module, encrypted, and gives its image by digest.
    async fn push(&self, tag: &str, wasm: &[u8], form: Form) -> Result<String, Failure> {
        let public = PublicKey::from_bytes(&self.pair.public)?;
        let built = build(wasm, form, &Interfaces::default(), &[public])?;
        let image: Reference = format!("http://{}/bench:{tag}", self.server.address).parse()?;
        push(&self.registry, &image, &built, silently()).await?;
        Ok(image.pinned(built.digest).to_string())
    }
}

/// Measures and prints.
pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let binary = binary().ok_or("no propeller beside this program: build it, or name it")?;
    let stage = Stage::new().await?;
    if !args.memory {
        speed(&stage, &binary, args).await?;
        tell_decryption(&stage.pair)?;
    }
    memory::tell(&stage, &binary).await?;
    stage.keeper.stop().await;
    Ok(())
}

async fn speed(stage: &Stage, binary: &Path, args: &Args) -> Result<(), Failure> {
    let wasm = payload::module(IMAGE_BYTES);
    let image = stage.push("1", &wasm, Form::Artifact).await?;
    let (mut firsts, mut later) = (Vec::new(), Vec::new());
    for number in 0..args.firsts {
        let id = format!("p{number}");
        let proplet = Part::new(stage.mqtt.address(), &stage.scratch.path(&id))
            .key(&stage.key)
            .program(binary)
            .with("attester", "sample")
            .with("kbs_uri", stage.keeper.url())
            .with("isolation_allow_missing", "landlock,namespaces")
            .proplet(&id)?;
        for run in 0..=args.later {
            let measured = task(&stage.client, &image, &id).await?;
            match run {
                0 => firsts.push(measured),
                _ => later.push(measured),
            }
        }
        proplet.stop().await;
    }
    tell(&firsts, &later);
    Ok(())
}

async fn task(client: &Client, image: &str, proplet: &str) -> Result<Run, Failure> {
    let request = TaskRequest {
        name: Some("main".to_owned()),
        image_url: Some(image.to_owned()),
        encrypted: Some(true),
        kbs_resource_path: Some("default/key/bench".to_owned()),
        proplet_id: Some(proplet.to_owned()),
        ..TaskRequest::default()
    };
    let begun = Instant::now();
    let task = client.task_create(&request, true).await?;
    let task = client.task_wait(&task.id, Some(PATIENCE)).await?;
    let seen = micros(begun.elapsed());
    let attempt = task.attempts.last().cloned().unwrap_or_default();
    let Attempt {
        usage: Some(usage),
        proof: Some(proof),
        ..
    } = attempt
    else {
        return Err(format!("the task came to nothing: {}", task.error).into());
    };
    let steps = proof.steps;
    let image = steps.image_us + steps.decrypt_us;
    let known = steps.evidence_us + steps.token_us + steps.key_us + image;
    Ok(Run {
        evidence: steps.evidence_us,
        token: steps.token_us,
        key: steps.key_us,
        image: steps.image_us,
        decrypt: steps.decrypt_us,
        compile: usage.compile_us,
        rest: usage.prepare_us.saturating_sub(known),
        total: usage.prepare_us + usage.compile_us,
        seen,
    })
}

/// The image's key pair, in PEM.
struct Pair {
    private: Vec<u8>,
    public: Vec<u8>,
    admin: (Vec<u8>, std::path::PathBuf),
}

impl Pair {
    fn make(folder: &Path) -> Result<Self, Failure> {
        let (image, admin) = (rcgen::KeyPair::generate()?, rcgen::KeyPair::generate()?);
        let path = folder.join("admin.pub");
        std::fs::write(&path, admin.public_key_pem())?;
        Ok(Self {
            private: image.serialize_pem().into_bytes(),
            public: image.public_key_pem().into_bytes(),
            admin: (admin.serialize_pem().into_bytes(), path),
        })
    }
}

async fn keeper(scratch: &Scratch, pair: &Pair) -> Result<KeyBroker, Failure> {
    let (key, public) = &pair.admin;
    let roles = format!(
        "[[role]]\nname = 'admin'\npublic_key = '{}'\nresources = ['*']\nmay = ['write']\n",
        public.display()
    );
    let file = |name: &str, text: &str| -> std::io::Result<String> {
        let path = scratch.path(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let mut sources = propeller_settings::Sources::default();
    for (name, value) in [
        ("data_dir", scratch.path("keybroker").display().to_string()),
        ("http_port", "0".to_owned()),
        ("key", WorkloadKey::generate()?.to_hex().to_string()),
        ("policy", file("policy.toml", POLICY)?),
        ("admins", file("admins.toml", &roles)?),
        ("rate_per_peer", "100000".to_owned()),
        ("rate_per_token", "100000".to_owned()),
    ] {
        sources.flags.insert(name.to_owned(), value);
    }
    let schema = propeller_keybroker::config::SCHEMA;
    let settings = propeller_settings::Settings::load(schema, schema.section, &sources);
    let keeper = KeyBroker::start(propeller_keybroker::Config::from_settings(settings)?).await?;
    let address = KbsAddress::parse(keeper.url(), false, "")?;
    let admin = Admin::new(address, &[], AdminKey::from_pem(key)?, "admin")?;
    let path = "default/key/bench".parse()?;
    admin
        .put_resource(&path, &pair.private, now_secs()?)
        .await?;
    Ok(keeper)
}

#[allow(clippy::disallowed_methods, reason = "an administrator has a clock")]
fn now_secs() -> Result<u64, Failure> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(since.as_secs())
}

/// How fast a layer is decrypted, and how much memory that takes beside it.
fn tell_decryption(pair: &Pair) -> Result<(), Failure> {
    let mut took = Vec::new();
    for _ in 0..5 {
        let public = PublicKey::from_bytes(&pair.public)?;
        let encrypted = encrypt(payload::module(LAYER_BYTES), &[public])?;
        let key = PrivateKey::from_bytes(&pair.private)?;
        let begun = Instant::now();
        let opened = decrypt(encrypted.bytes, &encrypted.annotations, &[key])?;
        took.push(micros(begun.elapsed()));
        drop(opened);
    }
    took.sort_unstable();
    let speed = LAYER_BYTES as f64 / took[took.len() / 2] as f64 / 1e3;
    println!("\n| goal | measured | met |\n|---|---|---|");
    println!(
        "| decryption ≥ 1 GB/s on one core | {speed:.2} GB/s | {} |",
        met(speed >= 1.0)
    );
    Ok(())
}

fn tell(firsts: &[Run], later: &[Run]) {
    let steps: [(&str, Step); 9] = [
        ("evidence, for the broker and the proof", |run| run.evidence),
        ("token", |run| run.token),
        ("key", |run| run.key),
        ("image: fetch, hash", |run| run.image),
        ("decryption", |run| run.decrypt),
        ("compile, in a process", |run| run.compile),
        ("the rest: input, child", |run| run.rest),
        ("**start message to first instruction**", |run| run.total),
        ("request to result", |run| run.seen),
    ];
    println!("## A 1 MB encrypted image, medians\n");
    println!("| step | first run | later runs |\n|---|---|---|");
    for (name, of) in steps {
        println!(
            "| {name} | {:.2} ms | {:.2} ms |",
            median(firsts, of),
            median(later, of)
        );
    }
    let (first, again) = (
        median(firsts, |run| run.total),
        median(later, |run| run.total),
    );
    println!("\n| goal | measured | met |\n|---|---|---|");
    println!(
        "| first run ≤ 150 ms | {first:.1} ms | {} |",
        met(first <= 150.0)
    );
    println!(
        "| later runs ≤ 30 ms | {again:.1} ms | {} |",
        met(again <= 30.0)
    );
}

/// In milliseconds.
fn median(runs: &[Run], of: impl Fn(&Run) -> u64) -> f64 {
    let mut values: Vec<u64> = runs.iter().map(of).collect();
    values.sort_unstable();
    values
        .get(values.len() / 2)
        .map_or(f64::NAN, |us| *us as f64 / 1e3)
}

fn met(goal: bool) -> &'static str {
    if goal { "yes" } else { "no" }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
