//! What a child gives up, in the only order that works.
//!
//! The zygote gives up what all its children have in common, once: users before namespaces,
//! namespaces before the empty root, and that one before the capabilities that it takes. Each child
//! gives up the rest: landlock before seccomp, which would refuse its calls, and seccomp last.

use std::fmt::Display;
use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use propeller_model::Limits;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, chdir, dumpable_behavior, geteuid, getpid,
    getppid, pivot_root, set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags, set_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use seccompiler::apply_filter;

use super::filter::{self, Filters};
use super::mechanism::{Mechanism, Name, State, first_failure};
use super::zygote::started_by_a_proplet;
use super::{priority, sys};
use crate::job::Job;

/// Who children are if the proplet is root: the user that owns nothing.
const NOBODY: u32 = 65534;

/// Descriptors of a child while it loads: three streams, code, input, a pipe, and a memory file for each
/// memory of a component that starts with something in it.
const DESCRIPTORS_MAX: u64 = 1024;

/// What a child may allocate beyond the guest's memory and its input: stacks, tables of the
/// engine, buffers of host calls.
const DATA_SLACK_BYTES: u64 = 64 * 1024 * 1024;

/// What a child may compute beyond the guest's time, before the kernel ends it by itself. The
/// proplet is there first, unless it hangs.
const CPU_SLACK_SECONDS: u64 = 5;

/// From here on, 31 years, a process may compute for ever. The kernel counts nanoseconds in 64 bits:
/// a limit of 18,446,744,074 s or more would wrap around to a few seconds.
const CPU_SECONDS_MAX: u64 = 1_000_000_000;

/// What a process with threads can leave; in a new namespace of processes it could start none.
const NAMESPACES: UnshareFlags = UnshareFlags::NEWUSER
    .union(UnshareFlags::NEWNET)
    .union(UnshareFlags::NEWIPC)
    .union(UnshareFlags::NEWUTS)
    .union(UnshareFlags::NEWNS)
    .union(UnshareFlags::NEWCGROUP);

/// Which locks are closed: all of them, but for the controls of a test.
#[derive(Clone, Copy, Debug)]
pub struct Locks {
    /// Namespaces and the empty root.
    pub namespaces: bool,
    /// Landlock.
    pub landlock: bool,
    /// Resource limits, capabilities, and the kernel's rule against new code.
    pub limits: bool,
    /// Both system call filters.
    pub seccomp: bool,
}

impl Locks {
    /// All of them.
    pub const ALL: Self = Self {
        namespaces: true,
        landlock: true,
        limits: true,
        seccomp: true,
    };
}

/// Locks the process that becomes the zygote. It has one thread and has opened nothing.
pub(super) fn zygote(locks: Locks) -> Vec<Mechanism> {
    let unprivileged = first_failure([("setresuid", leave_root())]);
    let mut list = vec![
        Mechanism::tried(Name::Unprivileged, "leave root", unprivileged),
        // After the user, whose change would undo it.
        Mechanism::tried(Name::NotDumpable, "prctl", not_dumpable()),
    ];
    if locks.namespaces {
        list.push(Mechanism::tried(Name::Namespaces, "unshare", namespaces()));
    }
    let no_new_privileges = set_no_new_privs(true);
    list.push(Mechanism::tried(
        Name::NoNewPrivileges,
        "prctl",
        no_new_privileges,
    ));
    list
}

/// Locks a child up to where it waits for its job.
pub(super) fn child(locks: Locks, zygote: Pid, filters: &Filters) -> Vec<Mechanism> {
    let death = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid() != Some(zygote) {
        // It died before it could take this process with it.
        sys::exit(0);
    }
    let mut list = vec![
        Mechanism::tried(Name::DeathSignal, "prctl", death),
        // Here and not in the zygote: a fork is what the next task waits for.
        Mechanism::tried(Name::LowPriority, "setpriority", priority::give_way()),
    ];
    if locks.limits {
        list.push(Mechanism::tried(
            Name::ResourceLimits,
            "setrlimit",
            limits(),
        ));
        list.push(Mechanism::tried(
            Name::NoNewCode,
            "prctl",
            sys::knows_mdwe(),
        ));
    }
    if locks.landlock {
        list.push(landlock());
    }
    if locks.limits {
        list.push(Mechanism::tried(
            Name::NoCapabilities,
            "capset",
            no_capabilities(),
        ));
    }
    if locks.seccomp {
        let applied = apply_filter(&filters.waiting);
        list.push(Mechanism::tried(Name::Seccomp, "seccomp", applied));
    }
    list
}

/// Closes the last locks, after the code is loaded and before its first instruction.
pub(super) fn guest(locks: Locks, filters: &Filters, job: &Job, input: u64) -> Result<(), String> {
    if locks.limits {
        let limits = &job.limits;
        let data = limits.memory_bytes.value.saturating_add(DATA_SLACK_BYTES);
        first_failure([
            (
                "RLIMIT_DATA",
                limit(Resource::Data, data.saturating_add(input)),
            ),
            ("RLIMIT_CPU", limit_cpu(guests_cpu_seconds(limits))),
            ("RLIMIT_FSIZE", limit(Resource::Fsize, 0)),
            ("RLIMIT_NOFILE", limit(Resource::Nofile, 0)),
        ])?;
        // Best effort: the filter has the same rule.
        sys::refuse_new_code().ok();
    }
    if locks.seccomp {
        let filter = match job.stdin.is_pipe() {
            true => &filters.reading,
            false => &filters.running,
        };
        apply_filter(filter).map_err(|error| format!("seccomp: {error}"))?;
    }
    Ok(())
}

/// Locks a process that compiles, and lets it have so much memory and time on processors. It has to
/// start threads, and needs nothing else. What it writes its code to is open before.
pub(super) fn compiler(memory_bytes: u64, cpu_seconds: u64) -> io::Result<Vec<Mechanism>> {
    let unprivileged = first_failure([("setresuid", leave_root())]);
    let mut list = vec![Mechanism::tried(
        Name::Unprivileged,
        "leave root",
        unprivileged,
    )];
    // After the user, whose change would undo it. It is no mechanism that may be missing: without a
    // namespace of processes, nothing else ends a compiler with its proplet.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if !started_by_a_proplet() {
        // It died before it could take this process with it.
        sys::exit(0);
    }
    let low = priority::give_way();
    list.push(Mechanism::tried(Name::LowPriority, "setpriority", low));
    let limits = compilers_limits(memory_bytes, cpu_seconds);
    list.push(Mechanism::tried(Name::ResourceLimits, "setrlimit", limits));
    list.push(Mechanism::tried(Name::NotDumpable, "prctl", not_dumpable()));
    list.push(Mechanism::tried(
        Name::Namespaces,
        "unshare",
        leave(NAMESPACES),
    ));
    let no_new_privileges = set_no_new_privs(true);
    list.push(Mechanism::tried(
        Name::NoNewPrivileges,
        "prctl",
        no_new_privileges,
    ));
    list.push(landlock());
    list.push(Mechanism::tried(
        Name::NoCapabilities,
        "capset",
        no_capabilities(),
    ));
    let filtered = filter::compiler(getpid())
        .map_err(|error| error.to_string())
        .and_then(|filter| apply_filter(&filter).map_err(|error| error.to_string()));
    list.push(Mechanism::tried(Name::Seccomp, "seccomp", filtered));
    Ok(list)
}

fn compilers_limits(memory_bytes: u64, cpu_seconds: u64) -> Result<(), String> {
    first_failure([
        ("RLIMIT_DATA", limit(Resource::Data, memory_bytes)),
        ("RLIMIT_FSIZE", limit(Resource::Fsize, memory_bytes)),
        ("RLIMIT_CPU", limit_cpu(countable(cpu_seconds))),
        ("RLIMIT_MEMLOCK", limit(Resource::Memlock, 0)),
        ("RLIMIT_MSGQUEUE", limit(Resource::Msgqueue, 0)),
    ])
}

fn leave_root() -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    set_thread_groups(&[])?;
    let group = Gid::from_raw(NOBODY);
    set_thread_res_gid(group, group, group)?;
    let user = Uid::from_raw(NOBODY);
    Ok(set_thread_res_uid(user, user, user)?)
}

fn not_dumpable() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    limit(Resource::Core, 0)?;
    if dumpable_behavior()? == DumpableBehavior::NotDumpable {
        return Ok(());
    }
    Err(io::Error::other("the kernel did not keep it"))
}

fn namespaces() -> Result<(), String> {
    leave(NAMESPACES | UnshareFlags::NEWPID)
}

fn leave(namespaces: UnshareFlags) -> Result<(), String> {
    sys::unshare(namespaces).map_err(|error| error.to_string())?;
    empty_root().map_err(|error| format!("empty root: {error}"))
}

/// Makes an empty, read-only file system the only one there is.
fn empty_root() -> io::Result<()> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let flags = MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOSUID | MountFlags::RDONLY;
    // Any folder that is there on every Linux will do; and it may be entered, since no user of
    // this namespace owns it.
    let options = Some(c"size=4k,nr_inodes=2,mode=555");
    mount("none", "/proc", "tmpfs", flags, options)?;
    chdir("/proc")?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    Ok(chdir("/")?)
}

fn limits() -> Result<(), String> {
    first_failure([
        ("RLIMIT_CORE", limit(Resource::Core, 0)),
        ("RLIMIT_NPROC", limit(Resource::Nproc, 0)),
        ("RLIMIT_MEMLOCK", limit(Resource::Memlock, 0)),
        ("RLIMIT_MSGQUEUE", limit(Resource::Msgqueue, 0)),
        ("RLIMIT_NOFILE", limit(Resource::Nofile, DESCRIPTORS_MAX)),
    ])
}

/// How long a guest may compute, in seconds; `None` for ever, as a daemon may.
pub(super) fn guests_cpu_seconds(limits: &Limits) -> Option<u64> {
    let guests = limits.wall_ms.value.div_ceil(1000);
    countable(guests.saturating_add(CPU_SLACK_SECONDS))
}

fn countable(cpu_seconds: u64) -> Option<u64> {
    Some(cpu_seconds).filter(|seconds| *seconds <= CPU_SECONDS_MAX)
}

/// Without a limit of ours, one that the proplet was started with stays: nobody may lift that.
fn limit_cpu(seconds: Option<u64>) -> io::Result<()> {
    seconds.map_or(Ok(()), |seconds| limit(Resource::Cpu, seconds))
}

pub(super) fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    Ok(setrlimit(resource, limit)?)
}

pub(crate) fn no_capabilities() -> rustix::io::Result<()> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets)
}

/// Forbids everything that landlock knows. Each child has a domain of its own, so that siblings
/// cannot signal each other.
fn landlock() -> Mechanism {
    let name = Name::Landlock;
    let state = match nothing_allowed() {
        Ok(extent) => State::OnTo(extent),
        Err(why) => State::Missing(why),
    };
    Mechanism { name, state }
}

fn nothing_allowed() -> Result<String, String> {
    // The newest that the crate knows; it lowers it to what the kernel has.
    let abi = ABI::V9;
    let refused = |error: &dyn Display| format!("landlock: {error}");
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
        .and_then(|rules| rules.scope(Scope::from_all(abi)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.restrict_self())
        .map_err(|error| refused(&error))?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
            Err("landlock: not enabled at boot".to_owned())
        }
        (RulesetStatus::NotEnforced, _) => Err("landlock: not in this kernel".to_owned()),
        (_, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(format!("ABI {}", effective_abi as i32))
        }
        (_, _) => Err("landlock: nothing enforced".to_owned()),
    }
}
