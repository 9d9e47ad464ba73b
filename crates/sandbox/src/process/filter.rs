//! Which system calls a child may make: one list while it waits and loads, a shorter one while its
//! guest runs.
//!
//! Anything else ends the process at once. An error code instead would let native code find out
//! what is there, and nobody would notice that a guest has become native code. The filter checks
//! the architecture too, so the numbers of other ABIs are no way round.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that a running guest needs with any arguments.
const ALWAYS: [i64; 14] = [
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
];

/// Both filters, built once in the zygote.
pub(super) struct Filters {
    /// For a child that waits for its job and loads its code.
    pub(super) waiting: BpfProgram,
    /// On top, before the first instruction of the guest.
    pub(super) running: BpfProgram,
}

impl Filters {
    /// Filters for children whose socket is `socket`.
    pub(super) fn build(socket: RawFd) -> Result<Self, BackendError> {
        Ok(Self {
            waiting: program(waiting(socket)?)?,
            running: program(running(socket)?)?,
        })
    }
}

fn program(rules: Rules) -> Result<BpfProgram, BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let (otherwise, listed) = (SeccompAction::KillProcess, SeccompAction::Allow);
    SeccompFilter::new(rules, otherwise, listed, arch)?.try_into()
}

/// While a guest runs: nothing becomes executable, nothing is opened or received, and one
/// descriptor is written, with a call that cannot send others.
fn running(socket: RawFd) -> Result<Rules, BackendError> {
    let mut rules: Rules = ALWAYS.iter().map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_write, vec![one(descriptor(socket)?)?]);
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![one(without(libc::PROT_EXEC)?)?]);
    }
    Ok(rules)
}

/// While a child waits and loads, before it has seen anything of a stranger but compiled code.
fn waiting(socket: RawFd) -> Result<Rules, BackendError> {
    let mut rules = running(socket)?;
    rules.insert(libc::SYS_recvmsg, vec![one(descriptor(socket)?)?]);
    for call in [libc::SYS_pread64, libc::SYS_close] {
        rules.insert(call, Vec::new());
    }
    // A component's memories start as memory files, made here: what is open already is the socket,
    // nothing, and files that are sealed.
    rules.insert(libc::SYS_memfd_create, Vec::new());
    rules.insert(
        libc::SYS_write,
        vec![one(descriptor(socket)?)?, one(opened()?)?],
    );
    let add_seals = equals(1, libc::F_ADD_SEALS.cast_unsigned())?;
    rules.insert(libc::SYS_fcntl, vec![one(add_seals)?]);
    // Only of an open file: no filter can look at a path.
    let open_file = equals(2, libc::AT_EMPTY_PATH.cast_unsigned())?;
    rules.insert(libc::SYS_statx, vec![one(open_file)?]);
    // Code is mapped, then made executable; never both writable and executable.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let either = vec![
            one(without(libc::PROT_EXEC)?)?,
            one(without(libc::PROT_WRITE)?)?,
        ];
        rules.insert(call, either);
    }
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
    let mask = u64::from(protection.cast_unsigned());
    let (len, is) = (SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask));
    SeccompCondition::new(2, len, is, 0)
}
