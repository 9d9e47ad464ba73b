//! `propeller up`: broker, manager and one proplet, until Ctrl-C or SIGTERM.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use propeller_broker::Broker;
use propeller_envelope::WorkloadKey;
use propeller_manager::Manager;
use propeller_proplet::{Proplet, log};
use propeller_settings::{Schema, Settings, Sources};

use crate::services::{BROKER_SCHEMA, broker_options, ended, section, show, stop_signal, warn};
use crate::stack::chain;

/// How everything is started.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where everything is kept; the workload key is made here at the first start
    #[arg(long, value_name = "DIR", default_value = "propeller-data")]
    data_dir: PathBuf,
    /// Use this broker instead of the embedded one
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// The configuration file, instead of config.toml in the working directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs everything until it is told to stop.
pub async fn up(args: &Args) -> ExitCode {
    ended(serve(args).await)
}

async fn serve(args: &Args) -> Result<(), String> {
    let key_file = args.data_dir.join("workload.key");
    let mut manager = load(
        args,
        propeller_manager::config::SCHEMA,
        "manager",
        &key_file,
    )?;
    let mut proplet = load(
        args,
        propeller_proplet::config::SCHEMA,
        "proplet",
        &key_file,
    )?;
    let mut broker = load(args, BROKER_SCHEMA, "broker", &key_file)?;
    let filter = manager.text("log_level").unwrap_or("info").to_owned();
    let mut warnings = std::mem::take(&mut manager.warnings);
    warnings.append(&mut proplet.warnings);
    warnings.append(&mut broker.warnings);
    let options = broker_options(&mut broker);
    let options = broker.finish(options).map_err(|e| e.to_string())?;
    let broker_address = match &args.broker {
        Some(url) => url.clone(),
        None => format!("tcp://{}", options.listen),
    };
    let manager = propeller_manager::Config::from_settings(manager).map_err(|e| e.to_string())?;
    let proplet = propeller_proplet::Config::from_settings(proplet).map_err(|e| e.to_string())?;
    log::start(&filter)?;
    warn(&warnings);
    let key_id = manager.keys.sealing().id().to_string();
    let broker = match &args.broker {
        Some(_) => None,
        None => Some(
            propeller_broker::start(options)
                .await
                .map_err(|e| chain(&e))?,
        ),
    };
    let manager = Manager::start(manager).await.map_err(|e| chain(&e))?;
    let proplet = Proplet::start(proplet).map_err(|e| chain(&e))?;
    show(&welcome(
        &manager,
        &proplet,
        &broker_address,
        &key_file,
        &key_id,
    ));
    stop_signal().await?;
    stop(broker, manager, proplet).await;
    Ok(())
}

/// The proplet first: it tells the manager that it leaves, and its attempts wait for its return.
async fn stop(broker: Option<Broker>, manager: Manager, proplet: Proplet) {
    proplet.stop().await;
    manager.stop().await;
    if let Some(broker) = broker {
        broker.stop().await;
    }
}

/// The settings of one part. Only what nobody has set is taken from `up` itself.
fn load(args: &Args, schema: Schema, part: &str, key_file: &Path) -> Result<Settings, String> {
    let mut sources =
        Sources::from_process(schema.prefix, args.config.as_deref()).map_err(|e| e.to_string())?;
    let section = section(&sources, schema);
    let before = Settings::load(schema, &section, &sources);
    if schema.section != BROKER_SCHEMA.section {
        let has_key =
            before.text("workload_key").is_some() || before.text("workload_key_file").is_some();
        if !has_key {
            make_key(key_file).map_err(|error| {
                format!(
                    "cannot make the workload key {}: {error}",
                    key_file.display()
                )
            })?;
            flag(
                &mut sources,
                "workload_key_file",
                key_file.display().to_string(),
            );
        }
        let folder = args.data_dir.join(part);
        flag(&mut sources, "data_dir", folder.display().to_string());
        if let Some(url) = &args.broker {
            flag(&mut sources, "mqtt_address", url.clone());
        }
    }
    Ok(Settings::load(schema, &section, &sources))
}

fn flag(sources: &mut Sources, name: &str, value: String) {
    sources.flags.insert(name.to_owned(), value);
}

/// Makes the workload key at the first start: complete and synced before it has its name.
fn make_key(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let key = WorkloadKey::generate().map_err(io::Error::other)?;
    let aside = path.with_extension("part");
    let mut file = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    writeln!(file, "{}", key.to_hex().as_str())?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    std::fs::File::open(folder)?.sync_all()
}

fn welcome(
    manager: &Manager,
    proplet: &Proplet,
    broker: &str,
    key_file: &Path,
    key_id: &str,
) -> String {
    let url = manager.url();
    let option = match url {
        "http://127.0.0.1:7070" => String::new(),
        url => format!(" -m {url}"),
    };
    format!(
        "Propeller is up. Stop it with Ctrl-C; the next start goes on where it stopped.

  API       {url}
  broker    {broker}
  proplet   {}
  key       {} (id {key_id})

Run your first task in another terminal:

  propeller tasks create hello --file examples/guests/hello.wasm --wait{option}
  propeller tasks list{option}
",
        proplet.id(),
        key_file.display(),
    )
}
