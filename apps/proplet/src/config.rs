//! The proplet's settings.

#[cfg(feature = "tee")]
pub mod attested;
mod ceilings;
mod defaults;
mod images;
mod keys;
mod sandbox;
mod tee;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use propeller_depot::Location;
use propeller_envelope::Keyring;
use propeller_model::PropletId;
use propeller_sandbox::EngineConfig;
use propeller_settings::{Schema, Settings, SettingsError, program, shared};
use propeller_wire::mqtt::Options;

use crate::engine::{BUILT_IN, Engine};
use crate::images::ImagesConfig;
use crate::isolation::{External, Isolation, Template};
use crate::limits::Ceilings;
use crate::policy::Policy;
use crate::work::chain;

#[cfg(test)]
pub(crate) use images::tests::configured;
pub use words::Words;

/// Every setting of the proplet.
pub const SCHEMA: Schema = Schema {
    section: "proplet",
    prefix: "PROPLET",
    shared: shared::KEYS,
    own: keys::KEYS,
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
    /// Where guests run whose module only a TEE may open.
    pub attested_isolation: Option<Isolation>,
    /// Where images come from.
    pub images: ImagesConfig,
    /// Below which folder their blobs are kept, if not in the data directory.
    pub layer_store: Option<PathBuf>,
    /// What to do for work that only a TEE may open.
    #[cfg(feature = "tee")]
    pub attested: attested::AttestedConfig,
    /// Where large inputs and outputs lie.
    pub object_store: Option<Location>,
    /// Longest standard output that is reported in a message, in bytes.
    pub inline_max: usize,
    /// What its operator says about it.
    pub about: Words,
    /// What its operator should know, one sentence each.
    pub warnings: Vec<String>,
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
        let engine = s.parse("engine", str::parse).unwrap_or(BUILT_IN[0]);
        let (isolation, attested_isolation) = sandbox::isolation(s, engine);
        let external = external(s, engine);
        tee::check(s, plaintext);
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
            ceilings: ceilings::read(s),
            policy: policy(s),
            engine,
            sandbox: sandbox::read(s, engine),
            isolation,
            attested_isolation: attested_isolation.filter(|_| external.is_none()),
            external,
            images: images::read(s, plaintext),
            layer_store: s.path("layer_store_path"),
            #[cfg(feature = "tee")]
            attested: attested::read(s),
            object_store: object_store(s, plaintext),
            inline_max: inline_max(s),
            about: words::read(s),
            warnings: std::mem::take(&mut s.warnings),
        };
        settings.finish(config)
    }
}

fn object_store(settings: &mut Settings, plaintext: bool) -> Option<Location> {
    if settings.is_set("object_store") && plaintext {
        let why = "in plain mode there are no keys for objects: unset PROPLET_PLAINTEXT";
        settings.invalid("object_store", why.to_owned());
    }
    settings.text("object_store")?;
    settings.parse("object_store", str::parse)
}

fn inline_max(settings: &mut Settings) -> usize {
    let longest = settings.bytes("inline_max");
    if longest > OUTPUT_BYTES_MAX {
        settings.invalid("inline_max", "0 to 1MiB".to_owned());
    }
    usize::try_from(longest).unwrap_or(usize::MAX)
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

fn external(settings: &mut Settings, engine: Engine) -> Option<External> {
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
    if settings.is_set("engine") && engine == Engine::Interpreter {
        let why = "an external runtime runs every task, in place of the engine: unset this, or \
                   PROPLET_ENGINE=interpreter";
        settings.invalid("external_wasm_runtime", why.to_owned());
    }
    if settings.is_set("allocator") {
        let why = "guests of an external runtime have their memory from it: unset this, or \
                   PROPLET_EXTERNAL_WASM_RUNTIME";
        settings.invalid("allocator", why.to_owned());
    }
    let Some(program) = program(&name) else {
        let why = format!("there is no program called `{}` in PATH", name.display());
        settings.invalid("external_wasm_runtime", why);
        return None;
    };
    Some(External { program, template })
}
