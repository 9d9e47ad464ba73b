//! The process between a proplet and a runtime.
//!
//! ```text
//!  proplet ──spawn──► launcher ──fork, exec──► runtime
//!     ▲  socket: order, end   │ waits for it, says what it used
//!     └───────────────────────┘ ends it and all of its session when the socket ends
//! ```
//!
//! It is our own program, executed with an empty environment, so it has one thread, which makes
//! forking safe, and little memory, which makes the kernel's account of the runtime's right.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{SeekFrom, seek};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getpid, getppid, kill_process_group, pidfd_open,
    pidfd_send_signal, set_parent_process_death_signal, setrlimit, setsid,
};
use rustix::thread::set_no_new_privs;

use super::order::{MESSAGE_BYTES_MAX, MODULE, ORDER, Order, REPLY, REQUEST, STDIN, Said};
use crate::process::lock::no_capabilities;
use crate::process::memfd::contents;
use crate::process::wire::{decode, encode};
use crate::process::zygote::started_by_a_proplet;
use crate::process::{priority, socket, sys};

/// The hidden first argument.
pub(super) const ARGUMENT: &str = "--external-runtime";

/// The most descriptors that a runtime has open. Node opens some twenty.
const DESCRIPTORS_MAX: u64 = 256;

/// When the kernel may take the next wish for a lower priority: see [`priority`].
const ASK_AGAIN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 110_000_000,
};

/// How a shell says that a program could not be executed.
const NOT_EXECUTED: i32 = 126;

/// Becomes a launcher, if that is what this process was started for, and then never returns.
pub(crate) fn enter() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|argument| argument != ARGUMENT) {
        return;
    }
    if !started_by_a_proplet() {
        turn_away();
    }
    if let Err(reason) = launch() {
        say(&Said::Failed(reason));
    }
    // Whatever the runtime has left behind goes, and this process with it.
    kill_process_group(getpid(), Signal::KILL).ok();
    sys::exit(1)
}

#[allow(clippy::print_stderr, reason = "somebody has started this by hand")]
fn turn_away() -> ! {
    eprintln!("error: {ARGUMENT} is how a proplet starts an external runtime");
    sys::exit(2)
}

fn launch() -> Result<(), String> {
    die_with_the_proplet()?;
    sys::close_from(3).map_err(|error| format!("close_range: {error}"))?;
    let Some((order, streams)) = receive()? else {
        return Ok(());
    };
    // While there are rights that are given up below.
    let urgent = priority::session_gives_way().is_err();
    let held = restrict(&order)?;
    match sys::fork().map_err(|error| format!("fork: {error}"))? {
        sys::Fork::Child => execute(&order, &streams, held),
        sys::Fork::Parent(child) => {
            // The ends of the pipes are the runtime's alone, so that they close with it.
            drop(streams);
            let socket = rustix::stdio::stdin();
            let closed = rustix::stdio::dup2_stdout(socket);
            let closed = closed.and_then(|()| rustix::stdio::dup2_stderr(socket));
            closed.map_err(|error| format!("dup2: {error}"))?;
            wait(child, urgent)
        }
    }
}

fn die_with_the_proplet() -> Result<(), String> {
    let proplet = getppid();
    let death = set_parent_process_death_signal(Some(Signal::KILL));
    death.map_err(|error| format!("PR_SET_PDEATHSIG: {error}"))?;
    if getppid() != proplet {
        // It died before it could take this process with it.
        sys::exit(0);
    }
    setsid()
        .map(drop)
        .map_err(|error| format!("setsid: {error}"))
}

/// What came with an order, but for itself.
struct Streams {
    stdin: OwnedFd,
    /// Only held, under the numbers that the runtime knows.
    _module: OwnedFd,
    _request: OwnedFd,
    _reply: OwnedFd,
}

/// The order; nothing if the proplet has changed its mind.
fn receive() -> Result<Option<(Order, Streams)>, String> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let mut with: Vec<OwnedFd> = Vec::new();
    let len = socket::receive(rustix::stdio::stdin(), &mut buffer, &mut with);
    if len.map_err(|error| format!("recvmsg: {error}"))? == 0 {
        return Ok(None);
    }
    let numbers: Vec<i32> = with.iter().map(AsRawFd::as_raw_fd).collect();
    if numbers != [MODULE, REQUEST, REPLY, STDIN, ORDER] {
        return Err("an order came with other descriptors than it has".to_owned());
    }
    let Ok([module, request, reply, stdin, order]) = <[OwnedFd; 5]>::try_from(with) else {
        return Err("an order came without its descriptors".to_owned());
    };
    let len = seek(&order, SeekFrom::End(0)).map_err(|error| error.to_string())?;
    let len = usize::try_from(len).map_err(|error| error.to_string())?;
    let bytes = contents(&order, len).map_err(|error| error.to_string())?;
    let order: Option<Order> = decode(&bytes);
    let order = order.ok_or("an order that means nothing here")?;
    let scripted = order.scripted.then_some([&request, &reply]);
    for kept in scripted.into_iter().flatten().chain([&module]) {
        let kept = fcntl_setfd(kept, FdFlags::empty());
        kept.map_err(|error| format!("fcntl: {error}"))?;
    }
    let streams = Streams {
        stdin,
        _module: module,
        _request: request,
        _reply: reply,
    };
    Ok(Some((order, streams)))
}

/// Closes what needs no knowledge of the runtime, for this process and so for the runtime; says
/// what it could not.
fn restrict(order: &Order) -> Result<String, String> {
    let must =
        |name: &str, done: rustix::io::Result<()>| done.map_err(|error| format!("{name}: {error}"));
    must("capset", no_capabilities())?;
    must("PR_SET_NO_NEW_PRIVS", set_no_new_privs(true))?;
    must("RLIMIT_CORE", limit(Resource::Core, 0))?;
    must("RLIMIT_NOFILE", limit(Resource::Nofile, DESCRIPTORS_MAX))?;
    if order.writes {
        return Ok("may write files".to_owned());
    }
    must("RLIMIT_FSIZE", limit(Resource::Fsize, 0))?;
    Ok(match landlock() {
        Ok(extent) => format!("landlock {extent}, no files written"),
        Err(missing) => format!("no files written; without landlock ({missing})"),
    })
}

fn limit(resource: Resource, value: u64) -> rustix::io::Result<()> {
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, limit)
}

/// Leaves the reading and executing of files, and nothing else that landlock knows.
fn landlock() -> Result<String, String> {
    let abi = ABI::V9;
    let open = |path| PathFd::new(path).map_err(|error| error.to_string());
    let (root, null) = (open("/")?, open("/dev/null")?);
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.add_rule(PathBeneath::new(root, AccessFs::from_read(abi))))
        .and_then(|rules| {
            let access = AccessFs::ReadFile | AccessFs::WriteFile;
            rules.add_rule(PathBeneath::new(null, access))
        })
        .and_then(|rules| rules.restrict_self())
        .map_err(|error| error.to_string())?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => Err("not in this kernel".to_owned()),
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(format!("ABI {}", effective_abi as i32))
        }
        (_, _) => Err("nothing enforced".to_owned()),
    }
}

/// In the child: becomes the runtime, or says why not.
fn execute(order: &Order, streams: &Streams, held: String) -> ! {
    let launcher = getppid();
    // Here and not in the launcher, which has to hear of a stop.
    say(&Said::Held(match priority::give_way() {
        Ok(()) => held,
        Err(error) => format!("{held}; at the proplet's own priority ({error})"),
    }));
    // Closes when the program is there.
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), STDIN);
    let prepared = || -> rustix::io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        limit(Resource::Data, order.data_bytes_max)?;
        rustix::stdio::dup2_stdin(&streams.stdin)
    };
    let reason = match prepared() {
        Ok(()) if getppid() != launcher => sys::exit(NOT_EXECUTED),
        Ok(()) => {
            let mut command = Command::new(OsStr::from_bytes(&order.program));
            command.args(&order.words).env_clear().current_dir("/");
            format!("cannot execute it: {}", command.exec())
        }
        Err(error) => error.to_string(),
    };
    if let Ok(socket) = socket {
        socket::send(&socket, &encode(&Said::Failed(reason)), &[]).ok();
    }
    sys::exit(NOT_EXECUTED)
}

/// Waits until the runtime ends or the proplet has had enough of it, and says what it used. As long
/// as its session is `urgent`, asks again that it be not.
fn wait(child: Pid, mut urgent: bool) -> Result<(), String> {
    let process = pidfd_open(child, PidfdFlags::empty());
    let process = process.map_err(|error| format!("pidfd_open: {error}"))?;
    let stdin = rustix::stdio::stdin();
    loop {
        let mut ready = [
            PollFd::new(&process, PollFlags::IN),
            PollFd::from_borrowed_fd(stdin, PollFlags::IN),
        ];
        let pause = urgent.then_some(&ASK_AGAIN);
        if poll(&mut ready, pause).map_err(|error| format!("poll: {error}"))? == 0 {
            urgent = priority::session_gives_way()
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        }
        if !ready[0].revents().is_empty() {
            break;
        }
        // The proplet says nothing more after its order, so what there is to read is the end.
        if !ready[1].revents().is_empty() {
            pidfd_send_signal(&process, Signal::KILL).ok();
            break;
        }
    }
    let ended = sys::wait(child).map_err(|error| format!("wait4: {error}"))?;
    say(&Said::Ended(ended));
    Ok(())
}

fn say(said: &Said) {
    // Without anybody who listens there is nothing left to say.
    socket::send(rustix::stdio::stdin(), &encode(said), &[]).ok();
}
