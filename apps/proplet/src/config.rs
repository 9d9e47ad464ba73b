//! The proplet's settings.

mod sandbox;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use propeller_envelope::Keyring;
use propeller_model::PropletId;
use propeller_sandbox::EngineConfig;
use propeller_settings::{Key, Kind, Schema, Settings, SettingsError, program, shared};
use propeller_wire::mqtt::Options;

use crate::engine::{self, BUILT_IN, Engine};
use crate::images::{ImagesConfig, PullFrom};
use crate::isolation::{External, Isolation, Template};
use crate::limits::Ceilings;
use crate::policy::Policy;
use crate::work::chain;

pub use words::Words;

/// Every setting of the proplet.
pub const SCHEMA: Schema = Schema {
    section: "proplet",
    prefix: "PROPLET",
    shared: shared::KEYS,
    own: &[
        shared::REQUIRE_SIGNATURE,
        Key::new(
            "log_level",
            &[],
            Kind::Text,
            Some("info"),
            "What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `info,propeller_wire=debug`.",
        ),
        Key::new(
            "id",
            &["instance_id"],
            Kind::Text,
            None,
            "The proplet's id: 1 to 64 letters, digits, dots, dashes or underscores. Without one, `client_id`; without that, a name that is made at the first start and kept in `data_dir`.",
        ),
        Key::new(
            "data_dir",
            &[],
            Kind::Path,
            Some("propeller-data/proplet"),
            "Where reports wait, sealed, when nobody acknowledges them.",
        ),
        Key::new(
            "liveliness_interval",
            &[],
            Kind::Duration,
            Some("10s"),
            "Interval of heartbeats, as upstream; never more than a third of the manager's lease.",
        ),
        Key::new(
            "max_tasks",
            &[],
            Kind::Number,
            Some("64"),
            "Attempts that it takes at a time; the processor's cores share them.",
        ),
        Key::new(
            "max_memory",
            &[],
            Kind::Bytes,
            Some("1GiB"),
            "Most memory of one guest, whatever its task asks for.",
        ),
        Key::new(
            "max_fuel",
            &[],
            Kind::Number,
            Some("1000000000000"),
            "Most fuel of one guest, whatever its task asks for.",
        ),
        Key::new(
            "max_wall",
            &[],
            Kind::Duration,
            Some("1h"),
            "Longest time of one guest, whatever its task asks for.",
        ),
        Key::new(
            "max_output",
            &[],
            Kind::Bytes,
            Some("1MiB"),
            "Most standard output, standard error and result of one guest, each; at most 1MiB, so that they fit into one message.",
        ),
        Key::new(
            "max_handles",
            &[],
            Kind::Number,
            Some("1024"),
            "Most streams, timers and other handles that one guest may have open.",
        ),
        Key::new(
            "max_module",
            &[],
            Kind::Bytes,
            Some("120MiB"),
            "Largest module.",
        ),
        Key::new(
            "max_compile",
            &[],
            Kind::Duration,
            Some("2m"),
            "Longest that a module may take to be compiled, and a task waits for that.",
        ),
        Key::new(
            "max_compile_memory",
            &[],
            Kind::Bytes,
            Some("4GiB"),
            "Most memory that compiling a module may take, in a process of its own; only on Linux.",
        ),
        Key::new(
            "max_daemons",
            &[],
            Kind::Number,
            Some("16"),
            "Daemons at a time: each keeps one of the slots of PROPLET_MAX_TASKS.",
        ),
        Key::new(
            "policy_file",
            &[],
            Kind::Path,
            None,
            "Rules for what tasks may be granted, in TOML; without it, nothing.",
        ),
        Key::new(
            "threads",
            &[],
            Kind::Number,
            Some("0"),
            "Threads that run guests; 0 takes one for each core.",
        ),
        Key::new(
            "code_cache",
            &[],
            Kind::Bytes,
            Some("256MiB"),
            "Memory for compiled modules.",
        ),
        Key::new(
            "code_cache_ttl",
            &[],
            Kind::Duration,
            Some("1h"),
            "How long a compiled module is kept after its last use, as it holds what its task's module holds; 0s keeps none.",
        ),
        Key::new(
            "engine",
            &[],
            Kind::Text,
            Some(engine::DEFAULT),
            "What runs guests: `wasmtime`, which compiles them, or `interpreter`, for small machines; a proplet may be built with one of them alone.",
        ),
        Key::new(
            "allocator",
            &[],
            Kind::Text,
            Some("pooling"),
            "Where the memory of guests on threads of the proplet comes from: `pooling`, a reserve of address space with places for `PROPLET_MAX_TASKS` guests, zeroed between them, or `on-demand`, from the operating system for each guest anew.",
        ),
        Key::new(
            "isolation",
            &[],
            Kind::Text,
            Some("in-process"),
            "Where guests run: `in-process`, on threads of the proplet, or `process`, each in a locked process of its own (Linux).",
        ),
        Key::new(
            "isolation_pool",
            &[],
            Kind::Number,
            Some("2"),
            "Locked processes that wait for a guest, with `isolation = process`.",
        ),
        Key::new(
            "isolation_allow_missing",
            &[],
            Kind::Text,
            Some(""),
            "What `isolation = process` may do without: `landlock`, `namespaces`, or both, separated by a comma.",
        ),
        Key::new(
            "metering",
            &[],
            Kind::Text,
            Some("full"),
            "What guests' code checks: `full`, fuel and interruption, or `time`, nothing, with `isolation = process`: loops over floats run several times faster, guests end by time alone, and only tasks that ask for fuel or are deterministic have it counted.",
        ),
        Key::new(
            "description",
            &[],
            Kind::Text,
            Some(""),
            "Free text that is shown with the proplet.",
        ),
        Key::new(
            "tags",
            &[],
            Kind::Text,
            Some(""),
            "Labels that are shown with the proplet, separated by commas.",
        ),
        Key::new(
            "location",
            &[],
            Kind::Text,
            Some(""),
            "Where the proplet stands, for people.",
        ),
        Key::new(
            "plaintext",
            &[],
            Kind::Flag,
            Some("false"),
            "Speak upstream's JSON, without any encryption, to an upstream manager.",
        ),
        Key::new(
            "pull_concurrent_limit",
            &[],
            Kind::Number,
            Some("4"),
            "Layers of an image that are fetched at a time.",
        ),
        Key::new(
            "pull_from",
            &[],
            Kind::Text,
            Some("auto"),
            "Who fetches images: `proxy`, `registry`, which is the proplet itself, or `auto`: a proxy if there is one, and else the proplet.",
        ),
        Key::new(
            "image_keys",
            &[],
            Kind::Text,
            None,
            "Files with private keys that open encrypted images, separated by commas: RSA or EC, in PEM or DER.",
        ),
        Key::new(
            "external_wasm_runtime",
            &[],
            Kind::Path,
            None,
            "A runtime's program, by its path or its name in PATH, that runs every task in place of the engine of the proplet: wasmtime, wasmi, node, wazero, iwasm, wasmer, or any other with PROPLET_EXTERNAL_WASM_RUNTIME_ARGS (Linux).",
        ),
        Key::new(
            "external_wasm_runtime_args",
            &[],
            Kind::Text,
            None,
            "The command line of that program, in place of the one that ships: words with places such as `run --env={env} -- {module} {args}`.",
        ),
    ],
};

/// How a proplet runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Log filter.
    pub log_level: String,
    /// Its id, if it was given one.
    pub id: Option<PropletId>,
    /// The broker.
    pub mqtt: Options,
    /// Workload keys; `None` in plain mode, which has no use for one.
    pub keys: Option<Keyring>,
    /// Where reports wait.
    pub data_dir: PathBuf,
    /// What becomes compilers, launchers and the zygote, because it calls
    /// [`enter_if_child`](crate::isolation::enter_if_child) first: this program.
    pub program: PathBuf,
    /// Interval of heartbeats.
    pub heartbeat: Duration,
    /// Attempts at a time.
    pub slots: u32,
    /// What no task may exceed.
    pub ceilings: Ceilings,
    /// What tasks may be granted.
    pub policy: Arc<Policy>,
    /// What runs guests.
    pub engine: Engine,
    /// How it runs them.
    pub sandbox: EngineConfig,
    /// Where guests run.
    pub isolation: Isolation,
    /// What runs them, if it is not the engine.
    pub external: Option<External>,
    /// Where images come from.
    pub images: ImagesConfig,
    /// What its operator says about it.
    pub about: Words,
}

/// The running program, also after its file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Most of each output, so that all of them fit into one message.
const OUTPUT_BYTES_MAX: u64 = 1024 * 1024;

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, SettingsError> {
        let s = &mut settings;
        let id = match s.text("id") {
            Some(_) => s.parse("id", str::parse),
            None => s.parse("client_id", str::parse),
        };
        let plaintext = s.flag("plaintext");
        let heartbeat = s.duration("liveliness_interval");
        if heartbeat.is_zero() {
            s.invalid("liveliness_interval", "more than 0".to_owned());
        }
        if !(1..=OUTPUT_BYTES_MAX).contains(&s.bytes("max_output")) {
            s.invalid("max_output", "1 to 1MiB".to_owned());
        }
        let engine = s.parse("engine", str::parse).unwrap_or(BUILT_IN[0]);
        let config = Self {
            log_level: s.text("log_level").unwrap_or("info").to_owned(),
            id,
            mqtt: shared::mqtt(s, "proplet"),
            keys: if plaintext {
                None
            } else {
                Some(shared::keys(s))
            },
            data_dir: s.path("data_dir").unwrap_or_default(),
            program: OWN_PROGRAM.into(),
            heartbeat,
            slots: u32::try_from(s.number("max_tasks", 1, 4096)).unwrap_or(1),
            ceilings: Ceilings {
                memory_bytes: s.bytes("max_memory"),
                fuel: s.number("max_fuel", 1, u64::MAX),
                wall: s.duration("max_wall"),
                output_bytes: s.bytes("max_output"),
                handles: s.number("max_handles", 1, 1_000_000),
                daemons: u32::try_from(s.number("max_daemons", 0, 4096)).unwrap_or(0),
            },
            policy: policy(s),
            engine,
            sandbox: sandbox::read(s),
            isolation: sandbox::isolation(s, engine),
            external: external(s),
            images: ImagesConfig {
                settings: propeller_settings::images(s),
                keys: propeller_settings::image_keys(s, "image_keys").into(),
                layers_at_once: usize::try_from(s.number("pull_concurrent_limit", 1, 64))
                    .unwrap_or(1),
                module_bytes_max: s.bytes("max_module"),
                from: s.parse("pull_from", str::parse).unwrap_or(PullFrom::Auto),
            },
            about: words::read(s),
        };
        settings.finish(config)
    }
}

fn policy(settings: &mut Settings) -> Arc<Policy> {
    let Some(path) = settings.path("policy_file") else {
        return Arc::default();
    };
    let own = settings.path("data_dir").unwrap_or_default();
    let read = Policy::read(&path, &own).unwrap_or_else(|error| {
        settings.invalid("policy_file", chain(&error));
        Policy::default()
    });
    Arc::new(read)
}

fn external(settings: &mut Settings) -> Option<External> {
    let args = "external_wasm_runtime_args";
    let template = settings.parse(args, Template::parse);
    let Some(name) = settings.path("external_wasm_runtime") else {
        if settings.text(args).is_some() {
            let why =
                "set PROPLET_EXTERNAL_WASM_RUNTIME as well: it is that program's command line";
            settings.invalid(args, why.to_owned());
        }
        return None;
    };
    if settings.text("isolation") == Some("process") {
        let why = "an external runtime has processes of its own, which are not locked like those of \
                   PROPLET_ISOLATION=process: unset one of the two";
        settings.invalid("external_wasm_runtime", why.to_owned());
    }
    let Some(program) = program(&name) else {
        let why = format!("there is no program called `{}` in PATH", name.display());
        settings.invalid("external_wasm_runtime", why);
        return None;
    };
    Some(External { program, template })
}
