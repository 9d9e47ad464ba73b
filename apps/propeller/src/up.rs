//! `propeller up`: broker, manager and one proplet, until Ctrl-C or SIGTERM.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use propeller_broker::Broker;
use propeller_envelope::WorkloadKey;
use propeller_manager::Manager;
use propeller_proplet::{Proplet, log};
use propeller_settings::service::{rekey, section, until_stopped};
use propeller_settings::{Schema, Settings, Sources};

use crate::services::{BROKER_SCHEMA, DISPATCHER_FAILED, broker_options, ended, show, warn};
use crate::stack::chain;

/// How everything is started.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where everything is kept [default: propeller-data]; the workload key is made here at the
    /// first start
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
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
    let Prepared {
        filter,
        warnings,
        key_file,
        broker_address,
        options,
        manager,
        proplet,
    } = prepare(args)?;
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
    tokio::select! {
        stopped = until_stopped(|| reload(args, &manager, &proplet)) => stopped?,
        () = manager.failed() => return Err(DISPATCHER_FAILED.to_owned()),
    }
    stop(broker, manager, proplet).await;
    Ok(())
}

/// Both parts get their keys, or neither does.
fn reload(args: &Args, manager: &Manager, proplet: &Proplet) {
    match prepare(args) {
        Ok(prepared) => {
            rekey(Ok(prepared.manager.keys), |keys| manager.rekey(keys));
            if let Some(keys) = prepared.proplet.keys {
                proplet.rekey(keys);
            }
        }
        Err(error) => rekey(Err(error), |_| ()),
    }
}

/// The proplet first: it tells the manager that it leaves, and its attempts wait for its return.
async fn stop(broker: Option<Broker>, manager: Manager, proplet: Proplet) {
    proplet.stop().await;
    manager.stop().await;
    if let Some(broker) = broker {
        broker.stop().await;
    }
}

/// Everything that is read before anything is started.
struct Prepared {
    filter: String,
    warnings: Vec<String>,
    key_file: PathBuf,
    broker_address: String,
    options: propeller_broker::Options,
    manager: propeller_manager::Config,
    proplet: propeller_proplet::Config,
}

fn prepare(args: &Args) -> Result<Prepared, String> {
    let home = args
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from("propeller-data"));
    let key_file = home.join("workload.key");
    let mut broker = load(args, BROKER_SCHEMA, &[])?;
    let options = broker_options(&mut broker);
    let broker_address = match &args.broker {
        Some(url) => url.clone(),
        None => format!("tcp://{}", options.listen),
    };
    let given = |part: &str| {
        [
            (
                "mqtt_address",
                broker_address.clone(),
                args.broker.is_some(),
            ),
            (
                "data_dir",
                home.join(part).display().to_string(),
                args.data_dir.is_some(),
            ),
        ]
    };
    let manager = load(args, propeller_manager::config::SCHEMA, &given("manager"))?;
    let proplet = load(args, propeller_proplet::config::SCHEMA, &given("proplet"))?;
    let key = common_key(&manager, &proplet, &key_file)?;
    let mut manager = with_key(
        args,
        manager,
        propeller_manager::config::SCHEMA,
        &given("manager"),
        &key,
    )?;
    let mut proplet = with_key(
        args,
        proplet,
        propeller_proplet::config::SCHEMA,
        &given("proplet"),
        &key,
    )?;
    let filter = manager.text("log_level").unwrap_or("info").to_owned();
    let mut warnings = std::mem::take(&mut manager.warnings);
    warnings.append(&mut proplet.warnings);
    warnings.append(&mut broker.warnings);
    let options = broker.finish(options).map_err(|e| e.to_string())?;
    let manager = propeller_manager::Config::from_settings(manager).map_err(|e| e.to_string())?;
    let proplet = propeller_proplet::Config::from_settings(proplet).map_err(|e| e.to_string())?;
    Ok(Prepared {
        filter,
        warnings,
        key_file,
        broker_address,
        options,
        manager,
        proplet,
    })
}

/// A value that `up` gives to a part: its name, the value, and whether it goes before what the
/// environment or a file says.
type Given = (&'static str, String, bool);

/// The settings of one part, with what `up` gives to it.
fn load(args: &Args, schema: Schema, given: &[Given]) -> Result<Settings, String> {
    let mut sources =
        Sources::from_process(schema.prefix, args.config.as_deref()).map_err(|e| e.to_string())?;
    let section = section(&sources, schema);
    let before = Settings::load(schema, &section, &sources);
    for (name, value, first) in given {
        if *first || !before.is_set(name) {
            sources.flags.insert((*name).to_owned(), value.clone());
        }
    }
    Ok(Settings::load(schema, &section, &sources))
}

/// The key that both parts use: the one that either was given, else the one in the file, which is
/// made at the first start.
fn common_key(
    manager: &Settings,
    proplet: &Settings,
    key_file: &Path,
) -> Result<(&'static str, String), String> {
    for settings in [manager, proplet] {
        for name in ["workload_key", "workload_key_file"] {
            if let Some(value) = settings.text(name) {
                return Ok((name, value.to_owned()));
            }
        }
    }
    make_key(key_file).map_err(|error| {
        format!(
            "cannot make the workload key {}: {error}",
            key_file.display()
        )
    })?;
    Ok(("workload_key_file", key_file.display().to_string()))
}

/// The settings of a part that has no key of its own yet.
fn with_key(
    args: &Args,
    settings: Settings,
    schema: Schema,
    given: &[Given],
    key: &(&'static str, String),
) -> Result<Settings, String> {
    if settings.is_set("workload_key") || settings.is_set("workload_key_file") {
        return Ok(settings);
    }
    let (name, value) = key;
    let mut given = given.to_vec();
    given.push((name, value.clone(), true));
    load(args, schema, &given)
}

/// Makes the workload key at the first start: complete and synced before it has its name.
fn make_key(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
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
    // Not renamed: a key that another process has made in the meantime must win.
    match std::fs::hard_link(&aside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::remove_file(&aside)?;
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
