//! Which system calls a child may make: one list while it waits and loads, a shorter one while its
//! guest runs; and which a compiler may make.
//!
//! Anything else ends a child at once. An error code instead would let native code find out
//! what is there, and nobody would notice that a guest has become native code. A compiler has a C
//! library and threads, which try what is new and make do with what is old: anything else is not
//! there. The filters check the architecture too, so the numbers of other ABIs are no way round.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use rustix::process::Pid;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that a running guest needs with any arguments.
const ALWAYS: [i64; 17] = [
    // Memory: growing, the allocator, dropping. What may become executable is checked apart.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Parking while the guest sleeps, and going on with that after a stop.
    libc::SYS_futex,
    libc::SYS_restart_syscall,
    // Traps.
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // What WASI offers.
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_exit_group,
    // Aborting, which is how Rust ends where there is no memory. The signal is checked apart.
    libc::SYS_rt_sigprocmask,
    libc::SYS_gettid,
    libc::SYS_getpid,
];

/// Calls that a compiler needs with any arguments.
const COMPILING: [i64; 22] = [
    // Memory. What is mapped is checked apart.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads, which `clone` alone cannot make.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The end of a thread's stack, and aborting.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    // Hash maps, and what takes how long.
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    // The module, which is open, and the code.
    libc::SYS_pread64,
    libc::SYS_close,
];

/// All filters of one child.
pub(super) struct Filters {
    /// For a child that waits for its job and loads its code.
    pub(super) waiting: BpfProgram,
    /// On top, before the first instruction of the guest.
    pub(super) running: BpfProgram,
    /// In its place, if the guest reads a pipe.
    pub(super) reading: BpfProgram,
}

impl Filters {
    /// Filters for the child whose number is `process`, whose socket is `socket`, and whose pipe is
    /// `pipe` if it has one.
    pub(super) fn build(process: Pid, socket: RawFd, pipe: RawFd) -> Result<Self, BackendError> {
        Ok(Self {
            waiting: program(waiting(process, socket, pipe)?, SeccompAction::KillProcess)?,
            running: program(running(process, socket)?, SeccompAction::KillProcess)?,
            reading: program(reading(process, socket, pipe)?, SeccompAction::KillProcess)?,
        })
    }
}

/// A filter for the process that compiles, whose number is `process`.
pub(super) fn compiler(process: Pid) -> Result<BpfProgram, BackendError> {
    let not_there = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    program(compiling(process)?, not_there)
}

fn program(rules: Rules, otherwise: SeccompAction) -> Result<BpfProgram, BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, otherwise, SeccompAction::Allow, arch)?.try_into()
}

/// While a guest runs: nothing becomes executable, nothing is opened or received, and one
/// descriptor is written, with a call that cannot send others. Last words are too, to standard
/// error, which takes none: they are what Rust says before it aborts for want of memory. It aborts
/// with the one signal that a child may send, to itself alone.
fn running(process: Pid, socket: RawFd) -> Result<Rules, BackendError> {
    let mut rules: Rules = ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_write, vec![said(socket)?, last_words()?]);
    rules.insert(libc::SYS_mmap, vec![mapped_without(libc::PROT_EXEC)?]);
    rules.insert(libc::SYS_mprotect, vec![one(without(libc::PROT_EXEC)?)?]);
    let abort = equals(2, libc::SIGABRT.cast_unsigned())?;
    let abort = SeccompRule::new(vec![itself(process)?, abort])?;
    rules.insert(libc::SYS_tgkill, vec![abort]);
    Ok(rules)
}

/// As above, and one more descriptor is read, which is the end of a pipe.
fn reading(process: Pid, socket: RawFd, pipe: RawFd) -> Result<Rules, BackendError> {
    let mut rules = running(process, socket)?;
    rules.insert(libc::SYS_read, vec![one(descriptor(pipe)?)?]);
    Ok(rules)
}

/// While a module is compiled: memory and threads, and one answer. No process, no file, no signal
/// but to itself, nothing executable, and nothing that would change how it ends.
fn compiling(process: Pid) -> Result<Rules, BackendError> {
    let mut rules: Rules = COMPILING.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_mmap, vec![mapped_without(libc::PROT_EXEC)?]);
    rules.insert(libc::SYS_mprotect, vec![one(without(libc::PROT_EXEC)?)?]);
    let thread = masked(0, libc::CLONE_THREAD.cast_unsigned(), true)?;
    rules.insert(libc::SYS_clone, vec![one(thread)?]);
    rules.insert(libc::SYS_tgkill, vec![one(itself(process)?)?]);
    let name = equals(0, libc::PR_SET_NAME.cast_unsigned())?;
    rules.insert(libc::SYS_prctl, vec![one(name)?]);
    // What it says at its end, and the code.
    let (len, from) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Ge);
    let written = SeccompCondition::new(0, len, from, 2)?;
    rules.insert(libc::SYS_write, vec![one(written)?]);
    let add_seals = equals(1, libc::F_ADD_SEALS.cast_unsigned())?;
    rules.insert(libc::SYS_fcntl, vec![one(add_seals)?]);
    rules.insert(libc::SYS_sendmsg, vec![one(descriptor(0)?)?]);
    Ok(rules)
}

/// While a child waits and loads, before it has seen anything of a stranger but compiled code.
fn waiting(process: Pid, socket: RawFd, pipe: RawFd) -> Result<Rules, BackendError> {
    let mut rules = reading(process, socket, pipe)?;
    // The pipe comes under any number, and goes where the guest reads it.
    let moved = || one(equals(1, pipe.cast_unsigned())?);
    rules.insert(libc::SYS_dup3, vec![moved()?]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_dup2, vec![moved()?]);
    rules.insert(libc::SYS_recvmsg, vec![one(descriptor(socket)?)?]);
    for call in [libc::SYS_pread64, libc::SYS_close] {
        rules.insert(call, Vec::new());
    }
    // A component's memories start as memory files, made here: what is open already is the socket,
    // nothing, and files that are sealed.
    rules.insert(libc::SYS_memfd_create, Vec::new());
    rules.insert(
        libc::SYS_write,
        vec![said(socket)?, last_words()?, one(opened()?)?],
    );
    let add_seals = equals(1, libc::F_ADD_SEALS.cast_unsigned())?;
    rules.insert(libc::SYS_fcntl, vec![one(add_seals)?]);
    // Only of an open file: no filter can look at a path.
    let open_file = equals(2, libc::AT_EMPTY_PATH.cast_unsigned())?;
    rules.insert(libc::SYS_statx, vec![one(open_file)?]);
    // Code is mapped, then made executable; never both writable and executable.
    let mapped = [libc::PROT_EXEC, libc::PROT_WRITE].map(mapped_without);
    let changed = [libc::PROT_EXEC, libc::PROT_WRITE].map(|other| one(without(other)?));
    rules.insert(
        libc::SYS_mmap,
        mapped.into_iter().collect::<Result<_, _>>()?,
    );
    rules.insert(
        libc::SYS_mprotect,
        changed.into_iter().collect::<Result<_, _>>()?,
    );
    // The rest of the lock-down.
    let no_new_privileges = equals(0, libc::PR_SET_NO_NEW_PRIVS.cast_unsigned())?;
    let no_new_code = equals(0, libc::PR_SET_MDWE.cast_unsigned())?;
    let prctl = vec![one(no_new_privileges)?, one(no_new_code)?];
    rules.insert(libc::SYS_prctl, prctl);
    rules.insert(libc::SYS_seccomp, Vec::new());
    // The end of the guest's time.
    rules.insert(libc::SYS_setitimer, Vec::new());
    rules.insert(libc::SYS_prlimit64, vec![one(equals(0, 0)?)?]);
    // Only on Arm does publishing code need it.
    #[cfg(target_arch = "aarch64")]
    rules.insert(libc::SYS_membarrier, Vec::new());
    Ok(rules)
}

fn one(condition: SeccompCondition) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![condition])
}

fn said(socket: RawFd) -> Result<SeccompRule, BackendError> {
    one(descriptor(socket)?)
}

fn last_words() -> Result<SeccompRule, BackendError> {
    one(descriptor(libc::STDERR_FILENO)?)
}

/// That a signal is for `process`.
fn itself(process: Pid) -> Result<SeccompCondition, BackendError> {
    equals(0, process.as_raw_nonzero().get().cast_unsigned())
}

fn descriptor(socket: RawFd) -> Result<SeccompCondition, BackendError> {
    equals(0, socket.cast_unsigned())
}

/// That a descriptor is none of the three that a child starts with.
fn opened() -> Result<SeccompCondition, BackendError> {
    let (len, from) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Ge);
    SeccompCondition::new(0, len, from, 3)
}

fn equals(argument: u8, value: u32) -> Result<SeccompCondition, BackendError> {
    let (len, is) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
    SeccompCondition::new(argument, len, is, u64::from(value))
}

/// That a mapping does not ask for `protection`. Masked, because Arm adds bits of its own.
fn without(protection: i32) -> Result<SeccompCondition, BackendError> {
    masked(2, protection.cast_unsigned(), false)
}

/// A new mapping without `protection`, of the kinds that `RLIMIT_DATA` counts: memory that is shared
/// is not data to the kernel, and neither is memory that grows downwards.
fn mapped_without(protection: i32) -> Result<SeccompRule, BackendError> {
    let uncounted = libc::MAP_SHARED | libc::MAP_GROWSDOWN;
    let counted = masked(3, uncounted.cast_unsigned(), false)?;
    SeccompRule::new(vec![without(protection)?, counted])
}

/// That all bits of `mask` are set in an argument, or none.
fn masked(argument: u8, mask: u32, set: bool) -> Result<SeccompCondition, BackendError> {
    let mask = u64::from(mask);
    let (len, is) = (SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask));
    SeccompCondition::new(argument, len, is, if set { mask } else { 0 })
}
