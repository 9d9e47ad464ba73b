//! `propeller up`: broker, manager, proxy and one proplet, until Ctrl-C or SIGTERM.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use propeller_broker::Broker;
use propeller_envelope::WorkloadKey;
use propeller_manager::Manager;
use propeller_proplet::Proplet;
use propeller_proxy::Proxy;
use propeller_settings::service::{rekey, section, until_stopped};
use propeller_settings::{Schema, Settings, Sources, log};

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
    /// Start no proxy: proplets elsewhere get no images from here
    #[arg(long)]
    no_proxy: bool,
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
        proxy,
        proplet,
    } = prepare(args, Missing::IsMade)?;
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
    let proxy = match args.no_proxy {
        true => None,
        false => Some(Proxy::start(proxy).await.map_err(|e| chain(&e))?),
    };
    let proplet = Proplet::start(proplet).map_err(|e| chain(&e))?;
    show(&welcome(
        &manager,
        &proplet,
        &broker_address,
        &key_file,
        &key_id,
    ))?;
    tokio::select! {
        stopped = until_stopped(|| reload(args, &manager, proxy.as_ref(), &proplet)) => stopped?,
        () = manager.failed() => return Err(DISPATCHER_FAILED.to_owned()),
    }
    stop(broker, manager, proxy, proplet).await;
    Ok(())
}

/// All parts get their keys, or none does.
fn reload(args: &Args, manager: &Manager, proxy: Option<&Proxy>, proplet: &Proplet) {
    match prepare(args, Missing::IsAnError) {
        Ok(prepared) => {
            rekey(Ok(prepared.manager.keys), |keys| manager.rekey(keys));
            if let Some(proxy) = proxy {
                proxy.rekey(prepared.proxy.keys);
            }
            if let Some(keys) = prepared.proplet.keys {
                proplet.rekey(keys);
            }
        }
        Err(error) => rekey(Err(error), |_| ()),
    }
}

/// The proplet first: it tells the manager that it leaves, and its attempts wait for its return.
async fn stop(broker: Option<Broker>, manager: Manager, proxy: Option<Proxy>, proplet: Proplet) {
    proplet.stop().await;
    if let Some(proxy) = proxy {
        proxy.stop().await;
    }
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
    proxy: propeller_proxy::Config,
    proplet: propeller_proplet::Config,
}

/// What becomes of a key file that is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsMade,
    /// Somebody is about to replace it: under another one nothing that was stored can be read.
    IsAnError,
}

fn prepare(args: &Args, missing: Missing) -> Result<Prepared, String> {
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
        vec![
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
    let mut for_proxy = given("proxy");
    // Nobody asks a process with a REST API for the health of one of its parts.
    for_proxy.push(("http_port", "0".to_owned(), false));
    let mut for_proplet = given("proplet");
    if !load(args, propeller_proplet::config::SCHEMA, &for_proplet)?.flag("plaintext") {
        // The proxy is for proplets elsewhere: this one reaches whatever the proxy does.
        for_proplet.push(("pull_from", "registry".to_owned(), false));
    }
    let mut manager = (propeller_manager::config::SCHEMA, given("manager"));
    let proxy = (propeller_proxy::config::SCHEMA, for_proxy);
    let mut proplet = (propeller_proplet::config::SCHEMA, for_proplet);
    // Not the proxy's: one that serves somebody else's proplets has their key.
    let mut loaded = [&manager, &proplet].map(|(schema, given)| load(args, *schema, given));
    if let Some(store) = common_store(&mut loaded, &home)? {
        for (_, given) in [&mut manager, &mut proplet] {
            given.push(("object_store", store.clone(), false));
        }
    }
    let key = common_key(loaded, &key_file, missing)?;
    let keyed = |(schema, given)| with_key(args, schema, given, &key);
    let (mut manager, mut proxy, proplet) = (keyed(manager)?, keyed(proxy)?, keyed(proplet)?);
    let filter = manager.text("log_level").unwrap_or("info").to_owned();
    let mut warnings = std::mem::take(&mut manager.warnings);
    warnings.append(&mut proxy.warnings);
    warnings.append(&mut broker.warnings);
    let options = broker.finish(options).map_err(|e| e.to_string())?;
    let manager = propeller_manager::Config::from_settings(manager).map_err(|e| e.to_string())?;
    let proxy = propeller_proxy::Config::from_settings(proxy).map_err(|e| e.to_string())?;
    let mut proplet =
        propeller_proplet::Config::from_settings(proplet).map_err(|e| e.to_string())?;
    warnings.append(&mut proplet.warnings);
    Ok(Prepared {
        filter,
        warnings,
        key_file,
        broker_address,
        options,
        manager,
        proxy,
        proplet,
    })
}

/// Where large inputs and outputs lie: where manager or proplet was told, else in a folder that is
/// both parts' owner's alone. In plain mode there is no place for them.
fn common_store(
    parts: &mut [Result<Settings, String>; 2],
    home: &Path,
) -> Result<Option<String>, String> {
    use std::os::unix::fs::DirBuilderExt as _;
    for settings in parts.iter_mut().flatten() {
        if let Some(store) = settings.text("object_store") {
            return Ok(Some(store.to_owned()));
        }
        if settings.flag("plaintext") {
            return Ok(None);
        }
    }
    let folder = std::path::absolute(home.join("objects"));
    let made = folder.and_then(|folder| {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder)?;
        Ok(folder)
    });
    let wrong = |error| format!("cannot make {}/objects: {error}", home.display());
    Ok(Some(made.map_err(wrong)?.display().to_string()))
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

/// The key that all parts use: the one that manager or proplet was given, else the one in the file,
/// which is made at the first start.
fn common_key(
    parts: [Result<Settings, String>; 2],
    key_file: &Path,
    missing: Missing,
) -> Result<(&'static str, String), String> {
    for settings in parts {
        let settings = settings?;
        for name in ["workload_key", "workload_key_file"] {
            if let Some(value) = settings.text(name) {
                return Ok((name, value.to_owned()));
            }
        }
    }
    if missing == Missing::IsAnError && !key_file.exists() {
        return Err(format!("there is no workload key {}", key_file.display()));
    }
    make_key(key_file).map_err(|error| {
        format!(
            "cannot make the workload key {}: {error}",
            key_file.display()
        )
    })?;
    Ok(("workload_key_file", key_file.display().to_string()))
}

/// The settings of a part, with the common key if it has none of its own.
fn with_key(
    args: &Args,
    schema: Schema,
    mut given: Vec<Given>,
    key: &(&'static str, String),
) -> Result<Settings, String> {
    let settings = load(args, schema, &given)?;
    if settings.is_set("workload_key") || settings.is_set("workload_key_file") {
        return Ok(settings);
    }
    let (name, value) = key;
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
