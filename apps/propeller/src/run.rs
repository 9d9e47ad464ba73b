//! `propeller run`: one module through the whole encrypted path, and its result on stdout.

mod before;
mod chosen;
mod shown;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64;
use propeller_api::{Results, Task, TaskRequest, TaskState};
use propeller_broker::Broker;
use propeller_cli::tasks::{LargeError, Stdin, copy_stdout, give_stdin};
use propeller_cli::{Connection, GrantArgs, LimitArgs, printable};
use propeller_envelope::WorkloadKey;
use propeller_manager::Manager;
use propeller_proplet::Proplet;
use propeller_sdk::{Client, ClientError, ClientOptions, Upload};

use self::before::{has_header, tell_unheeded};
use self::chosen::Chosen;
use crate::stack::{Part, Scratch, StackError, broker, chain};

/// Our own failure: nothing was run, or nobody knows how it ended.
const EXIT_OURS: u8 = 125;
/// The module cannot be run, trapped or hit a limit.
const EXIT_CANNOT_RUN: u8 = 126;
/// The file is not there.
const EXIT_NOT_FOUND: u8 = 127;
/// Ctrl-C ended it.
const EXIT_INTERRUPTED: u8 = 130;
/// Modules up to this size ride in the request that creates the task.
const INLINE_LEN_MAX: usize = 1024 * 1024;
/// Longest output that a report has room for.
const OUTPUT_LEN_INLINE: u64 = 1024 * 1024;

/// What to run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module: a .wasm file
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Call this export instead of starting the module as a command
    #[arg(long, value_name = "NAME")]
    invoke: Option<String>,
    /// Standard input of the guest: a file, or - for ours
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Environment of the guest
    #[arg(long = "env", value_name = "K=V", value_parser = pair)]
    env: Vec<(String, String)>,
    #[command(flatten)]
    manager: Chosen,
    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    grants: GrantArgs,
    /// Arguments: typed values for an export, argv for a command
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot read {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("{} is no WebAssembly module: {}", .0.display(), .1)]
    NotWasm(PathBuf, &'static str),
    #[error("cannot make a temporary directory")]
    Scratch(#[source] io::Error),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the system has no randomness")]
    Random(#[from] propeller_envelope::RandomError),
    #[error("the manager sent output that is not base64")]
    Output,
    #[error("standard input was not taken")]
    Input(#[source] LargeError),
    #[error("the output cannot be opened")]
    Stored(#[source] LargeError),
    #[error("cannot write the result")]
    Write(#[source] io::Error),
    #[error("{0}")]
    Setup(String),
}

/// Runs a module and ends with the guest's exit code; 125 to 127 are ours.
pub async fn run(args: Args, connection: &Connection) -> ExitCode {
    match try_run(&args, connection).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&format!("error: {}", chain(&error)));
            match error {
                RunError::File(_, cause) if cause.kind() == io::ErrorKind::NotFound => {
                    ExitCode::from(EXIT_NOT_FOUND)
                }
                RunError::NotWasm(..) => ExitCode::from(EXIT_CANNOT_RUN),
                _ => ExitCode::from(EXIT_OURS),
            }
        }
    }
}

async fn try_run(args: &Args, connection: &Connection) -> Result<u8, RunError> {
    let begun = Instant::now();
    let wasm = std::fs::read(&args.file).map_err(|e| RunError::File(args.file.clone(), e))?;
    has_header(&args.file, &wasm)?;
    // Before anything listens for Ctrl-C: a pipe that says nothing is waited for here.
    let stdin = args.stdin.as_deref().map(read_stdin).transpose()?;
    let embedded = match &args.manager.0 {
        Some(_) => None,
        None => Some(Embedded::start(needs_store(args, stdin.as_ref())).await?),
    };
    let client = client(args, connection, embedded.as_ref())?;
    let mut left = None;
    let work = async {
        if let Some(embedded) = &embedded {
            embedded.wait(&client).await?;
            say("started broker, manager and proplet in this process");
            tell_unheeded();
        }
        let ran = submit(args, &client, wasm, stdin, begun, &mut left).await?;
        show(ran, &client, connection.json).await
    };
    let ended = tokio::select! {
        biased;
        Ok(()) = tokio::signal::ctrl_c() => Ok(EXIT_INTERRUPTED),
        ended = work => ended,
    };
    let tidy = async {
        match (embedded, left) {
            (Some(embedded), _) => embedded.stop().await,
            (None, Some(left)) => left.tidy(&client).await,
            (None, None) => {}
        }
    };
    tokio::select! {
        () = tidy => {}
        // The second one waits for nothing.
        Ok(()) = tokio::signal::ctrl_c() => {}
    }
    ended
}

/// What a manager elsewhere still has of a run that ends before its time.
enum Left {
    /// A task that lacks something, and that nobody else is going to start.
    Half(String),
    /// A task whose result nobody waits for any more.
    Started(String),
}

impl Left {
    async fn tidy(self, client: &Client) {
        let (id, done, failed, tidied) = match &self {
            Self::Half(id) => (id, "removed again", "removed", client.task_delete(id).await),
            Self::Started(id) => (
                id,
                "stopped",
                "stopped",
                client.task_stop(id).await.map(drop),
            ),
        };
        say(&match tidied {
            Ok(()) => format!("task {id} is {done}"),
            Err(error) => format!("task {id} could not be {failed}: {}", chain(&error)),
        });
    }
}

/// Whether something of the run may lie in an object store: most need none.
fn needs_store(args: &Args, stdin: Option<&Stdin>) -> bool {
    let limits = args.limits.clone().into_limits();
    let output = limits.and_then(|limits| limits.output_bytes);
    matches!(stdin, Some(Stdin::Large(_))) || output.is_some_and(|max| max > OUTPUT_LEN_INLINE)
}

/// `left` is what there is to do for whoever ends this before its time.
async fn submit(
    args: &Args,
    client: &Client,
    wasm: Vec<u8>,
    stdin: Option<Stdin>,
    begun: Instant,
    left: &mut Option<Left>,
) -> Result<(Task, Results), RunError> {
    let file_name = args.file.file_name().map_or_else(
        || "module.wasm".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    let inline = wasm.len() <= INLINE_LEN_MAX;
    let (profile, grants) = args.grants.clone().into_parts();
    let request = TaskRequest {
        name: Some(file_name.trim_end_matches(".wasm").to_owned()),
        file_name: Some(file_name.clone()),
        file: inline.then(|| BASE64.encode(&wasm)),
        inputs: (!args.args.is_empty()).then(|| args.args.clone()),
        env: (!args.env.is_empty()).then(|| args.env.iter().cloned().collect::<BTreeMap<_, _>>()),
        invoke: args.invoke.clone(),
        limits: args.limits.clone().into_limits(),
        profile,
        grants,
        ..TaskRequest::default()
    };
    say(&format!("submitting {file_name} ({} bytes)", wasm.len()));
    let (task, large) = Stdin::create_task(stdin, request, inline, client).await?;
    let id = task.id.clone();
    let is_whole = inline && large.is_none();
    *left = Some(match is_whole {
        true => Left::Started(id.clone()),
        false => Left::Half(id.clone()),
    });
    if let Some(large) = large {
        let sent = give_stdin(large, &id, client)
            .await
            .map_err(RunError::Input)?;
        say(&format!("sealed {} bytes of standard input", sent.length));
    }
    if !inline {
        let upload = Upload::from_bytes(file_name, Bytes::from(wasm));
        client.task_upload(&id, upload).await?;
    }
    if !is_whole {
        client.task_start(&id).await?;
        *left = Some(Left::Started(id.clone()));
    }
    let task = client.task_wait(&id, None).await?.into_value();
    *left = None;
    let results = client.task_results(&id).await?.into_value();
    let attempt = task.attempts.last();
    let on = attempt.map_or("nobody", |attempt| attempt.proplet_id.as_str());
    say(&format!(
        "{} on {on}, {}, {} ms in all",
        TaskState::from_number(task.state).map_or("ended", TaskState::word),
        task.protection,
        begun.elapsed().as_millis()
    ));
    Ok((task, results))
}

/// Prints the result alone on stdout; what the guest said on stderr goes there.
async fn show(ran: (Task, Results), client: &Client, json: bool) -> Result<u8, RunError> {
    let (task, mut results) = ran;
    let mut stdout = BASE64
        .decode(results.stdout_base64.as_bytes())
        .map_err(|_| RunError::Output)?;
    if let Some(sealed) = &results.stdout_object {
        // As a whole: who asked for so much has room for it, and nothing is printed of half of it.
        match copy_stdout(&task.id, sealed, client, &mut stdout).await {
            Ok(()) => {
                results.stdout_base64 = BASE64.encode(&stdout);
                results.stdout_object = None;
            }
            Err(error) if task.state == TaskState::Completed as u8 => {
                return Err(RunError::Stored(error));
            }
            // Why the task failed, and with which exit code, is told all the same.
            Err(error) => {
                say(&format!("note: {}", chain(&RunError::Stored(error))));
                stdout.clear();
            }
        }
    }
    // On a thread of its own: who reads may be slow, and Ctrl-C is to be heard meanwhile.
    let printed = tokio::task::spawn_blocking(move || shown::print(&task, &results, &stdout, json));
    let gone = |error| RunError::Write(io::Error::other(error));
    printed.await.map_err(gone)?
}

fn read_stdin(path: &Path) -> Result<Stdin, RunError> {
    Stdin::read(path).map_err(|cause| RunError::File(path.to_owned(), cause))
}

fn client(
    args: &Args,
    connection: &Connection,
    embedded: Option<&Embedded>,
) -> Result<Client, RunError> {
    let local = match (embedded, &args.manager.0) {
        (Some(embedded), _) => local_client(embedded.manager.url())?,
        (None, Some(url)) => return connection.client_of(url).map_err(RunError::Setup),
        (None, None) => local_client(&connection.manager_url)?,
    };
    Ok(local.in_trace(connection.traceparent.as_deref()))
}

/// A client of a manager in this process.
pub(crate) fn local_client(url: &str) -> Result<Client, ClientError> {
    /// Everything is on loopback: a request that takes longer will not be answered.
    const TIMEOUT: Duration = Duration::from_secs(30);
    Client::new(ClientOptions {
        base_url: url.to_owned(),
        token: None,
        ca_cert: None,
        insecure_skip_verify: false,
        timeout: TIMEOUT,
    })
}

/// Waits until `count` proplets are there.
pub(crate) async fn wait_for_proplets(client: &Client, count: usize) -> Result<(), ClientError> {
    /// Connecting takes milliseconds; whoever is not there by then is not coming.
    const PATIENCE: Duration = Duration::from_secs(10);
    const LOOK: Duration = Duration::from_millis(2);
    let begun = Instant::now();
    loop {
        let page = propeller_sdk::Page {
            offset: 0,
            limit: 100,
        };
        let list = client
            .proplet_list(page, Some(propeller_sdk::PropletStatus::Active))
            .await?;
        if list.proplets.len() >= count || begun.elapsed() > PATIENCE {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Everything in this process, with a key that nobody else ever sees.
struct Embedded {
    broker: Broker,
    manager: Manager,
    proplet: Proplet,
    _scratch: Scratch,
}

impl Embedded {
    async fn start(with_store: bool) -> Result<Self, RunError> {
        let scratch = Scratch::new().map_err(RunError::Scratch)?;
        let key = WorkloadKey::generate()?;
        let broker = broker().await?;
        let mut manager = Part::new(broker.address(), &scratch.path("manager")).key(&key);
        let mut proplet = Part::new(broker.address(), &scratch.path("proplet")).key(&key);
        if with_store {
            let folder = scratch.path("objects");
            std::fs::create_dir(&folder).map_err(RunError::Scratch)?;
            let folder = folder.display().to_string();
            manager = manager.with("object_store", folder.clone());
            proplet = proplet.with("object_store", folder);
        }
        let manager = manager.manager().await?;
        let proplet = proplet.proplet("embedded")?;
        Ok(Self {
            broker,
            manager,
            proplet,
            _scratch: scratch,
        })
    }

    async fn wait(&self, client: &Client) -> Result<(), RunError> {
        Ok(wait_for_proplets(client, 1).await?)
    }

    async fn stop(self) {
        self.proplet.stop().await;
        self.manager.stop().await;
        self.broker.stop().await;
    }
}

/// Tells whoever watches; nobody may.
fn say(text: &str) {
    // A manager may say what a guest said.
    writeln!(io::stderr(), "{}", printable(text.as_bytes())).ok();
}
