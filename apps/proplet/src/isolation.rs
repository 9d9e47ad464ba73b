//! Where guests run: in this process, each in a locked one of its own, or on another runtime.

use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "tee")]
use std::time::Duration;

#[cfg(feature = "tee")]
use propeller_sandbox::EngineConfig;
#[cfg(feature = "wasmtime")]
use propeller_sandbox::WasmtimeRuntime;
use propeller_sandbox::{Metering, Runtime};

use crate::config::Config;
use crate::engine::Engine;
use crate::service::StartError;

#[cfg(all(target_os = "linux", feature = "wasmtime"))]
pub use propeller_sandbox::external::Template;
#[cfg(all(target_os = "linux", feature = "wasmtime"))]
pub use propeller_sandbox::process::{AllowMissing, enter_if_child};

#[cfg(not(all(target_os = "linux", feature = "wasmtime")))]
pub use elsewhere::{AllowMissing, Template, enter_if_child};

/// Where guests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// On threads of the proplet.
    InProcess,
    /// Each in a locked process of its own.
    Process {
        /// How many of them wait for a guest.
        pool: usize,
        /// What of the lock-down may be missing.
        allow_missing: AllowMissing,
        /// What guests' code checks.
        metering: Metering,
    },
}

/// Another runtime, in place of the engine.
#[derive(Debug, Clone)]
pub struct External {
    /// Its program.
    pub program: PathBuf,
    /// Its command line, if it is not the one that ships.
    pub template: Option<Template>,
}

/// What runs guests as `config` says, in a word for the log.
pub(crate) fn name(config: &Config) -> String {
    match &config.external {
        Some(external) => external.program.display().to_string(),
        None => config.engine.to_string(),
    }
}

/// What runs guests as `config` says.
pub(crate) fn runtime(config: &Config) -> Result<Arc<dyn Runtime>, StartError> {
    if let Some(chosen) = &config.external {
        return external(config, chosen);
    }
    match config.isolation {
        Isolation::InProcess => in_process(config),
        Isolation::Process {
            pool,
            allow_missing,
            metering,
        } => processes(config, pool, allow_missing, metering),
    }
}

/// What runs guests whose module only a TEE may open. Of their modules no compiled code is kept.
#[cfg(feature = "tee")]
pub(crate) fn attested(config: &Config) -> Result<Arc<dyn Runtime>, StartError> {
    let isolation = config
        .attested_isolation
        .ok_or(StartError::NoProcessForEncrypted)?;
    if isolation == Isolation::InProcess {
        tracing::warn!(
            target: "security",
            "modules of encrypted tasks run in the proplet's own process (PROPLET_ISOLATION=in-process): \
             whoever gets out of the sandbox there finds keys, and the modules of others"
        );
    }
    runtime(&Config {
        isolation,
        sandbox: EngineConfig {
            cache_ttl: Duration::ZERO,
            ..config.sandbox
        },
        ..config.clone()
    })
}

fn in_process(config: &Config) -> Result<Arc<dyn Runtime>, StartError> {
    match config.engine {
        #[cfg(feature = "wasmtime")]
        Engine::Wasmtime => {
            let runtime = threads(config)?;
            Ok(Arc::new(runtime))
        }
        #[cfg(feature = "interpreter")]
        Engine::Interpreter => {
            let runtime = propeller_sandbox::InterpreterRuntime::new(config.sandbox)?;
            Ok(Arc::new(runtime))
        }
        #[cfg(not(all(feature = "interpreter", feature = "wasmtime")))]
        other => unreachable!("only what is built in can be chosen: {other}"),
    }
}

#[cfg(all(target_os = "linux", feature = "wasmtime"))]
fn threads(config: &Config) -> Result<WasmtimeRuntime, StartError> {
    // The compiler's process may have this one's user: nobody of that user may look in here.
    propeller_settings::harden::not_dumpable().map_err(StartError::Harden)?;
    Ok(WasmtimeRuntime::with_compiler(
        config.sandbox,
        config.program.clone(),
    )?)
}

#[cfg(all(not(target_os = "linux"), feature = "wasmtime"))]
fn threads(config: &Config) -> Result<WasmtimeRuntime, StartError> {
    Ok(WasmtimeRuntime::new(config.sandbox)?)
}

#[cfg(all(target_os = "linux", feature = "wasmtime"))]
fn processes(
    config: &Config,
    pool: usize,
    allow_missing: AllowMissing,
    metering: Metering,
) -> Result<Arc<dyn Runtime>, StartError> {
    use propeller_sandbox::process::{ProcessConfig, ProcessRuntime};
    // A guest's process may have this one's user: nobody of that user may look in here.
    propeller_settings::harden::not_dumpable().map_err(StartError::Harden)?;
    let runtime = ProcessRuntime::new(ProcessConfig {
        engine: config.sandbox,
        metering,
        pool,
        guests_max: usize::try_from(config.slots).unwrap_or(usize::MAX),
        allow_missing,
        program: config.program.clone(),
    })?;
    tracing::info!("isolation process: {}", runtime.mechanisms());
    Ok(Arc::new(runtime))
}

#[cfg(all(target_os = "linux", feature = "wasmtime"))]
fn external(config: &Config, chosen: &External) -> Result<Arc<dyn Runtime>, StartError> {
    use propeller_sandbox::external::{ExternalConfig, ExternalRuntime};
    // Its processes have this one's user: nobody of that user may look in here.
    propeller_settings::harden::not_dumpable().map_err(StartError::Harden)?;
    let runtime = ExternalRuntime::new(ExternalConfig {
        program: chosen.program.clone(),
        template: chosen.template.clone(),
        module_bytes_max: config.sandbox.module_bytes_max,
        guests_max: usize::try_from(config.slots).unwrap_or(usize::MAX),
        // With a key, whatever arrives was sealed, and is never written in the clear.
        folder: match &config.keys {
            Some(_) => None,
            None => Some(config.data_dir.join("external")),
        },
        launcher: config.program.clone(),
    })?;
    tracing::info!("external runtime: {}", runtime.description());
    let unheld: Vec<String> = runtime.unheld().iter().map(ToString::to_string).collect();
    tracing::warn!(
        "the external runtime holds no limit of {}: defaults are passed over, and tasks that ask \
         for one are refused",
        unheld.join(", ")
    );
    Ok(Arc::new(runtime))
}

#[cfg(not(all(target_os = "linux", feature = "wasmtime")))]
fn external(_: &Config, _: &External) -> Result<Arc<dyn Runtime>, StartError> {
    Err(StartError::NoProcesses)
}

#[cfg(not(all(target_os = "linux", feature = "wasmtime")))]
fn processes(
    _: &Config,
    _: usize,
    _: AllowMissing,
    _: Metering,
) -> Result<Arc<dyn Runtime>, StartError> {
    Err(StartError::NoProcesses)
}

/// What other systems, and a proplet without wasmtime, have in place of it.
#[cfg(not(all(target_os = "linux", feature = "wasmtime")))]
mod elsewhere {
    /// Nothing may be missing, since nothing is there.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct AllowMissing;

    impl std::str::FromStr for AllowMissing {
        type Err = std::convert::Infallible;

        fn from_str(_: &str) -> Result<Self, Self::Err> {
            Ok(Self)
        }
    }

    /// There are no external runtimes.
    #[derive(Debug, Clone)]
    pub struct Template;

    impl Template {
        /// Takes nothing.
        ///
        /// # Errors
        /// Always.
        pub fn parse(_: &str) -> Result<Self, &'static str> {
            Err("external runtimes need Linux")
        }
    }

    /// There are no processes to become.
    pub fn enter_if_child() {}
}

#[cfg(all(test, target_os = "linux", feature = "wasmtime"))]
mod tests {
    use super::name;
    use crate::config::configured;

    #[test]
    fn the_log_names_the_runtime_that_runs() {
        let named = |flags: &[(&str, &str)]| name(&configured(flags).expect("it is a choice"));
        assert_eq!(named(&[]), "wasmtime");
        let external = [
            ("external_wasm_runtime", "/bin/sh"),
            ("external_wasm_runtime_args", "{module}"),
        ];
        assert_eq!(named(&external), "/bin/sh");
    }
}
