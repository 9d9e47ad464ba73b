//! Keeps a zygote alive and some of its children warm.
//!
//! Warm children wait in a channel of bounded length: taking one makes room, and room is what the
//! next fork waits for. None of that is on the path of a job that finds one.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as OsProcess, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex as Turns, mpsc, oneshot};
use tracing::{debug, error, info};

use super::mechanism::{AllowMissing, Mechanism, Mechanisms};
use super::socket::{receive_when_there, send_when_possible};
use super::wire::{
    Ended, FromChild, FromZygote, MESSAGE_BYTES_MAX, ToZygote, decode, encode, frame,
};
use super::zygote::ARGUMENT;
use super::{ProcessConfig, StartError, socket, sys};
use crate::config::Metering;
use crate::runtime::RunError;

/// How long a zygote or a child may take to be ready. It takes a few milliseconds; a machine that
/// swaps takes longer.
const READY_MAX: Duration = Duration::from_secs(10);

/// How long a fork waits while there are other children: the job that has just taken one is not to
/// share the processor with it.
const REST: Duration = Duration::from_millis(2);

/// The pause before a zygote is started again, and what repeated failures make of it.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The part of the pool that jobs see.
pub(super) struct Keeper {
    warm: Turns<mpsc::Receiver<Child>>,
    shared: Arc<Shared>,
}

/// A locked child that waits for a job. Dropping it ends it.
pub(super) struct Child {
    pub(super) socket: AsyncFd<OwnedFd>,
    /// Says how it ended; closed if its zygote is gone.
    pub(super) ended: oneshot::Receiver<Ended>,
    process: OwnedFd,
    zygote: u64,
}

struct Shared {
    /// Which zygote serves; children of earlier ones are dead.
    zygote: AtomicU64,
    /// Whom to tell how a child ended.
    children: Mutex<HashMap<u64, oneshot::Sender<Ended>>>,
    config: Config,
}

struct Config {
    program: PathBuf,
    stack_bytes: u64,
    metering: Metering,
    allow_missing: AllowMissing,
    warm: [OwnedFd; 2],
}

impl Keeper {
    /// Starts the first zygote and its first child. The future keeps them, and has to be polled.
    pub(super) fn start(
        config: ProcessConfig,
        warm: [OwnedFd; 2],
    ) -> Result<(Self, Mechanisms, impl Future<Output = ()> + Send + 'static), StartError> {
        let (sender, receiver) = mpsc::channel(config.pool.max(1));
        let shared = Arc::new(Shared {
            zygote: AtomicU64::new(0),
            children: Mutex::default(),
            config: Config {
                program: config.program,
                stack_bytes: config.engine.stack_bytes_max,
                metering: config.metering,
                allow_missing: config.allow_missing,
                warm,
            },
        });
        let zygote = Zygote::start(&shared.config)?;
        let mechanisms = zygote.probe(shared.config.allow_missing)?;
        let keep = keep(Arc::clone(&shared), zygote, sender);
        let warm = Turns::new(receiver);
        Ok((Self { warm, shared }, mechanisms, keep))
    }

    /// A child that waits for a job.
    pub(super) async fn take(&self) -> Result<Child, RunError> {
        let take = async {
            let mut warm = self.warm.lock().await;
            loop {
                let child = warm.recv().await.ok_or(RunError::Stopped)?;
                if child.zygote == self.shared.zygote.load(Ordering::SeqCst) {
                    return Ok(child);
                }
            }
        };
        // While no zygote starts, jobs are given back rather than kept waiting for ever.
        let taken = tokio::time::timeout(READY_MAX, take).await;
        taken.unwrap_or(Err(RunError::Lost))
    }
}

impl Child {
    /// Ends it, whatever it is doing.
    pub(super) fn kill(&self) {
        // It may have ended by itself.
        pidfd_send_signal(&self.process, Signal::KILL).ok();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Shared {
    fn children(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Ended>>> {
        self.children
            .lock()
            .expect("keeping the books does not panic")
    }
}

/// Serves with one zygote after the other.
async fn keep(shared: Arc<Shared>, first: Zygote, warm: mpsc::Sender<Child>) {
    let mut pause = PAUSE;
    let mut next = Some(first);
    let mut child = 0;
    loop {
        let begun = Instant::now();
        match next
            .take()
            .map_or_else(|| Zygote::start(&shared.config), Ok)
        {
            Ok(zygote) => {
                let why = serve(&shared, zygote, &warm, &mut child).await;
                error!("the process that guests' processes are forked from is gone: {why}");
            }
            Err(error) => error!("no process to fork guests' processes from: {error}"),
        }
        // The children died with their zygote: whoever waits for them learns it.
        shared.zygote.fetch_add(1, Ordering::SeqCst);
        shared.children().clear();
        if begun.elapsed() > PAUSE_MAX {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = PAUSE_MAX.min(pause * 2);
        info!("starting another one");
    }
}

/// Forks children until something goes wrong, and says what.
async fn serve(
    shared: &Shared,
    zygote: Zygote,
    warm: &mpsc::Sender<Child>,
    child: &mut u64,
) -> String {
    let Zygote {
        control,
        mechanisms,
        launcher: _launcher,
    } = zygote;
    let control = match sys::watch(control) {
        Ok(control) => control,
        Err(error) => return error.to_string(),
    };
    let (forked, mut forks) = mpsc::channel(1);
    let fork = async {
        loop {
            let Ok(room) = warm.reserve().await else {
                return "the runtime stopped".to_owned();
            };
            let waiting = warm.max_capacity() - warm.capacity() - 1;
            if waiting > 0 {
                tokio::time::sleep(REST).await;
            }
            *child += 1;
            match fork(shared, &control, *child, &mut forks, &mechanisms).await {
                Ok(child) => room.send(child),
                Err(why) => return why,
            }
        }
    };
    tokio::select! {
        why = listen(shared, &control, forked) => why,
        why = fork => why,
    }
}

/// Makes one child and waits until it is locked.
async fn fork(
    shared: &Shared,
    control: &AsyncFd<OwnedFd>,
    id: u64,
    forks: &mut mpsc::Receiver<(u64, OwnedFd)>,
    mechanisms: &[Mechanism],
) -> Result<Child, String> {
    let text = |error: io::Error| error.to_string();
    let (ours, theirs) = socket::pair().map_err(text)?;
    rustix::io::ioctl_fionbio(&ours, true).map_err(|error| error.to_string())?;
    let (gone, ended) = oneshot::channel();
    shared.children().insert(id, gone);
    send_when_possible(control, &encode(&ToZygote::Fork { id }), &[theirs.as_fd()])
        .await
        .map_err(text)?;
    drop(theirs);
    let forked = tokio::time::timeout(READY_MAX, forks.recv()).await;
    let forked = forked.map_err(|_| "it does not answer")?;
    let (forked, process) = forked.ok_or("it forks no more")?;
    if forked != id {
        return Err("it forked another child than it was asked for".to_owned());
    }
    let child = Child {
        socket: sys::watch(ours).map_err(text)?,
        ended,
        process,
        zygote: shared.zygote.load(Ordering::SeqCst),
    };
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let said = tokio::time::timeout(READY_MAX, receive_when_there(&child.socket, &mut buffer));
    let len = said
        .await
        .map_err(|error| error.to_string())?
        .map_err(text)?;
    let all = ready(&buffer[..len], mechanisms)?;
    Mechanisms::checked(all, shared.config.allow_missing).map_err(|missing| missing.to_string())?;
    Ok(child)
}

/// All mechanisms of a child, from the first thing it says.
fn ready(said: &[u8], mechanisms: &[Mechanism]) -> Result<Vec<Mechanism>, String> {
    match frame(said) {
        Some(FromChild::Ready { mechanisms: own }) => Ok([mechanisms, &own].concat()),
        Some(FromChild::Failed { reason }) => Err(reason),
        _ => Err("a child ended before it was ready".to_owned()),
    }
}

/// Reads what the zygote says, until it says no more.
async fn listen(
    shared: &Shared,
    control: &AsyncFd<OwnedFd>,
    forked: mpsc::Sender<(u64, OwnedFd)>,
) -> String {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let mut with = Vec::new();
        let heard = control.async_io(Interest::READABLE, |control| {
            socket::receive(control, &mut buffer, &mut with)
        });
        let len = match heard.await {
            Ok(0) => return "it ended".to_owned(),
            Ok(len) => len,
            Err(error) => return error.to_string(),
        };
        match (decode(&buffer[..len]), with.pop()) {
            (Some(FromZygote::Forked { id }), Some(process)) => {
                if forked.send((id, process)).await.is_err() {
                    return "nobody asked for a child".to_owned();
                }
            }
            (Some(FromZygote::Gone { id, ended }), None) => {
                debug!(id, ?ended, "a guest's process ended");
                if let Some(waiting) = shared.children().remove(&id) {
                    // Mostly nobody waits: the guest had said how it ended.
                    waiting.send(ended).ok();
                }
            }
            (Some(FromZygote::Refused { reason }), _) => return reason,
            _ => return "it said what means nothing here".to_owned(),
        }
    }
}

/// A zygote that is locked and warm, and what holds it.
struct Zygote {
    control: OwnedFd,
    mechanisms: Vec<Mechanism>,
    launcher: Launcher,
}

/// The process that was executed; it waits for the zygote and is ended with it.
struct Launcher(OsProcess);

impl Drop for Launcher {
    fn drop(&mut self) {
        // It ends by itself with the zygote; this is for one that hangs before there is a zygote.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Zygote {
    /// Starts one and waits until it is up.
    fn start(config: &Config) -> Result<Self, StartError> {
        let (control, theirs) = socket::pair().map_err(StartError::Process)?;
        let launcher = launch(&config.program, theirs).map_err(StartError::Process)?;
        let warm = ToZygote::Warm {
            stack_bytes: config.stack_bytes,
            metering: config.metering,
        };
        let code = config.warm.each_ref().map(AsFd::as_fd);
        socket::send(&control, &encode(&warm), &code).map_err(|_| StartError::Silent)?;
        let said = next(&control)?;
        let mechanisms = match decode(&said) {
            Some(FromZygote::Up { mechanisms }) => mechanisms,
            Some(FromZygote::Refused { reason }) => return Err(StartError::Refused(reason)),
            _ => return Err(StartError::Silent),
        };
        rustix::io::ioctl_fionbio(&control, true)
            .map_err(|error| StartError::Process(error.into()))?;
        Ok(Self {
            control,
            mechanisms,
            launcher,
        })
    }

    /// Forks a child only to see what holds it.
    fn probe(&self, allowed: AllowMissing) -> Result<Mechanisms, StartError> {
        let (ours, theirs) = socket::pair().map_err(StartError::Process)?;
        // No other child has this number.
        let fork = encode(&ToZygote::Fork { id: 0 });
        socket::send(&self.control, &fork, &[theirs.as_fd()]).map_err(StartError::Process)?;
        drop(theirs);
        let said = next(&ours)?;
        let all = ready(&said, &self.mechanisms).map_err(StartError::Refused)?;
        let checked = Mechanisms::checked(all, allowed)?;
        // The process that it is; nobody has to end what ends with its socket.
        next(&self.control)?;
        Ok(checked)
    }
}

/// Executes `program`. Without anything to run between fork and exec the standard library takes a
/// way that does not copy this process's page tables.
fn launch(program: &Path, control: OwnedFd) -> io::Result<Launcher> {
    // To be read, so that it takes nothing: the filters let a child write to it.
    let nothing = File::open("/dev/null")?;
    Command::new(program)
        .arg0("proplet-guests")
        .arg(ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        .stderr(Stdio::from(nothing))
        .spawn()
        .map(Launcher)
}

/// The next message, waited for on this thread.
fn next(from: &OwnedFd) -> Result<Vec<u8>, StartError> {
    let patience = Timespec {
        tv_sec: READY_MAX.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    let mut ready = [PollFd::new(from, PollFlags::IN)];
    poll(&mut ready, Some(&patience)).map_err(|error| StartError::Process(error.into()))?;
    if ready[0].revents().is_empty() {
        return Err(StartError::Silent);
    }
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let len = socket::receive_bytes(from, &mut buffer).map_err(|_| StartError::Silent)?;
    if len == 0 {
        return Err(StartError::Silent);
    }
    buffer.truncate(len);
    Ok(buffer)
}
