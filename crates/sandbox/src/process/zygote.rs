//! The process that guests' processes are forked from.
//!
//! ```text
//!  proplet ──exec──► launcher ──fork──► zygote ──fork──► child ── one guest, then it ends
//!                    locks, then        first process    ──fork──► child ── waits
//!                    only waits         of its namespace
//! ```
//!
//! It has one thread, an empty environment, no keys and no tenant's data. It never compiles, since
//! the compiler starts threads. When the proplet goes away, its socket ends, it ends, and the kernel
//! ends whoever is left in its namespace.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SocketType;
use rustix::net::sockopt::{socket_peercred, socket_type};
use rustix::process::{Pid, PidfdFlags, getpid, getppid, pidfd_open};

use super::child::{self, Inheritance, Plan};
use super::compiler::TakenOver;
use super::lock::{self, Locks};
use super::mechanism::Mechanism;
use super::wire::{FromZygote, MESSAGE_BYTES_MAX, ToZygote, decode, encode};
use super::{socket, sys, warm};
use crate::engine::split::{Kind, Runner};
#[cfg(feature = "escaped-guest")]
use crate::job::Job;

/// The hidden first argument. It is no subcommand: whoever gives it by hand is turned away.
pub(super) const ARGUMENT: &str = "--guest-zygote";

const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Becomes the zygote, if that is what this process was started for, and then never returns.
///
/// Has to be the first thing in `main`: a zygote has one thread and has opened nothing.
pub fn enter_if_child() {
    let plan = Plan {
        locks: Locks::ALL,
        escaped: None,
    };
    enter(plan, None);
}

/// As [`enter_if_child`], in a test of the locks: closes only some of a guest's, and runs a function
/// of the test where a guest would have broken out, or where a module has taken over its compiler.
#[cfg(feature = "escaped-guest")]
pub fn enter_with(
    locks: Locks,
    escaped: fn(&Job) -> String,
    taken_over: fn(&[u8]) -> Option<String>,
) {
    let plan = Plan {
        locks,
        escaped: Some(escaped),
    };
    enter(plan, Some(taken_over));
}

fn enter(plan: Plan, taken_over: Option<TakenOver>) {
    crate::external::enter();
    super::compiler::enter(taken_over);
    if std::env::args_os()
        .nth(1)
        .is_none_or(|argument| argument != ARGUMENT)
    {
        return;
    }
    if !started_by_a_proplet() {
        turn_away(ARGUMENT);
    }
    match launch(plan) {
        Ok(()) => sys::exit(0),
        Err(reason) => {
            tell(&FromZygote::Refused { reason }, None);
            sys::exit(1)
        }
    }
}

#[allow(clippy::print_stderr, reason = "somebody has started this by hand")]
pub(super) fn turn_away(argument: &str) -> ! {
    eprintln!("error: {argument} is how a proplet starts its guests' processes");
    sys::exit(2)
}

/// Whether standard input is a socket of the kind that a proplet passes, made by our parent.
pub(crate) fn started_by_a_proplet() -> bool {
    let stdin = rustix::stdio::stdin();
    socket_type(stdin).is_ok_and(|kind| kind == SocketType::SEQPACKET)
        && socket_peercred(stdin).is_ok_and(|peer| Some(peer.pid) == getppid())
}

/// Locks this process, forks the zygote into its namespaces and waits for it.
fn launch(plan: Plan) -> Result<(), String> {
    sys::close_from(3).map_err(|error| format!("close_range: {error}"))?;
    let mechanisms = lock::zygote(plan.locks);
    match sys::fork().map_err(|error| format!("fork: {error}"))? {
        sys::Fork::Child => {
            if let Err(reason) = serve(plan, mechanisms) {
                tell(&FromZygote::Refused { reason }, None);
            }
            Ok(())
        }
        sys::Fork::Parent(zygote) => {
            // The socket ends when the zygote does, so nobody else may hold it.
            let closed = rustix::stdio::dup2_stdin(rustix::stdio::stdout());
            closed.map_err(|error| format!("dup2: {error}"))?;
            // How it ended, the proplet sees by itself.
            sys::wait(zygote).ok();
            Ok(())
        }
    }
}

/// The zygote: gets ready, then forks and reaps until its socket ends.
fn serve(plan: Plan, mechanisms: Vec<Mechanism>) -> Result<(), String> {
    let Some(inheritance) = inheritance(plan)? else {
        return Ok(());
    };
    tell(&FromZygote::Up { mechanisms }, None);
    let mut children: Vec<Running> = Vec::new();
    loop {
        for index in ended(&children).map_err(|error| format!("poll: {error}"))? {
            let Running { id, pid, .. } = children.swap_remove(index);
            let ended = sys::wait(pid).map_err(|error| format!("wait: {error}"))?;
            tell(&FromZygote::Gone { id, ended }, None);
        }
        let (message, mut with) = match hear(Patience::None) {
            Heard::Nothing => continue,
            Heard::End => return Ok(()),
            Heard::Message(message, with) => (message, with),
        };
        let (ToZygote::Fork { id }, Some(socket)) = (message, with.pop()) else {
            return Err("a message that means nothing here".to_owned());
        };
        match sys::fork() {
            Ok(sys::Fork::Child) => {
                // They are our siblings' and no business of this process.
                drop(children);
                child::live(socket, &inheritance)
            }
            Ok(sys::Fork::Parent(pid)) => {
                drop(socket);
                let process = pidfd_open(pid, PidfdFlags::empty());
                let process = process.map_err(|error| format!("pidfd_open: {error}"))?;
                tell(&FromZygote::Forked { id }, Some(&process));
                children.push(Running { id, pid, process });
            }
            Err(error) => return Err(format!("fork: {error}")),
        }
    }
}

/// A child, until it is reaped.
struct Running {
    id: u64,
    pid: Pid,
    process: OwnedFd,
}

/// What all children find ready; `None` if the proplet has gone away.
fn inheritance(plan: Plan) -> Result<Option<Inheritance>, String> {
    let Heard::Message(message, with) = hear(Patience::Endless) else {
        return Ok(None);
    };
    let (
        ToZygote::Warm {
            stack_bytes,
            metering,
        },
        Ok([module, component]),
    ) = (message, <[OwnedFd; 2]>::try_from(with))
    else {
        return Err("the first message has to be what to warm up with".to_owned());
    };
    let engine = |error: wasmtime::Error| format!("engine: {error:#}");
    let runner = Runner::new(stack_bytes, metering).map_err(engine)?;
    let job = warm::job();
    let load = |code: OwnedFd, kind| {
        let code = sys::load(runner.engine(&job), code.into(), kind).map_err(engine)?;
        runner.link(&code, &job).map_err(|error| error.to_string())
    };
    let warm = [
        load(module, Kind::Module)?,
        load(component, Kind::Component)?,
    ];
    let inheritance = Inheritance {
        warm,
        runner,
        zygote: getpid(),
        plan,
    };
    inheritance.warm_up()?;
    Ok(Some(inheritance))
}

/// Waits for the socket or a child; the children that have ended, last first.
fn ended(children: &[Running]) -> rustix::io::Result<Vec<usize>> {
    let stdin = rustix::stdio::stdin();
    let mut all = vec![PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
    let processes = children.iter().map(|child| child.process.as_fd());
    all.extend(processes.map(|process| PollFd::from_borrowed_fd(process, PollFlags::IN)));
    poll(&mut all, None)?;
    let gone = all[1..].iter().map(|entry| !entry.revents().is_empty());
    let mut gone: Vec<usize> = gone
        .enumerate()
        .filter_map(|(at, gone)| gone.then_some(at))
        .collect();
    gone.reverse();
    Ok(gone)
}

enum Heard {
    Nothing,
    Message(ToZygote, Vec<OwnedFd>),
    End,
}

#[derive(PartialEq, Eq)]
enum Patience {
    None,
    Endless,
}

/// The next message of the proplet, if there is one.
fn hear(patience: Patience) -> Heard {
    let stdin = rustix::stdio::stdin();
    let mut ready = [PollFd::from_borrowed_fd(stdin, PollFlags::IN)];
    if patience == Patience::None && poll(&mut ready, Some(&NOW)).is_ok_and(|ready| ready == 0) {
        return Heard::Nothing;
    }
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let mut with = Vec::new();
    match socket::receive(stdin, &mut buffer, &mut with) {
        Ok(0) | Err(_) => Heard::End,
        Ok(len) => {
            decode(&buffer[..len]).map_or(Heard::End, |message| Heard::Message(message, with))
        }
    }
}

/// Says something to the proplet; without one there is nothing left to do.
fn tell(message: &FromZygote, with: Option<&OwnedFd>) {
    let with: Vec<_> = with.map(AsFd::as_fd).into_iter().collect();
    if socket::send(rustix::stdio::stdin(), &encode(message), &with).is_err() {
        sys::exit(1);
    }
}
