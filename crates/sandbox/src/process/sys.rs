//! The system calls that Rust cannot check, all in one place.
#![allow(
    unsafe_code,
    reason = "fork, exit without cleaning up, and mapping code have no safe form"
)]

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use tokio::io::unix::AsyncFd;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::wire::{End, Ended};
use crate::engine::split::{Kind, Unlinked};

/// The two sides of a fork.
pub(crate) enum Fork {
    Child,
    Parent(Pid),
}

/// Forks this process, which must have one thread.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: only the zygote and the launchers call this, and they have one thread: no lock can be
    // held by a thread that the child does not have.
    match unsafe { libc::fork() } {
        0 => Ok(Fork::Child),
        pid => Pid::from_raw(pid)
            .filter(|_| pid > 0)
            .map(Fork::Parent)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// Ends this process without running what the parent registered to be run at its own exit.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: it takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Waits for a child that has ended or will, and says what it used.
pub(crate) fn wait(pid: Pid) -> io::Result<Ended> {
    let mut status = 0;
    // SAFETY: all zeroes is a `rusage`.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    let pid = pid.as_raw_nonzero().get();
    // SAFETY: both pointers are to locals that outlive the call.
    if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut used) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let micros = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let micros = u64::try_from(time.tv_usec).unwrap_or_default();
        seconds.saturating_mul(1_000_000).saturating_add(micros)
    };
    Ok(Ended {
        end: if libc::WIFSIGNALED(status) {
            End::Killed(libc::WTERMSIG(status))
        } else {
            End::Exited(libc::WEXITSTATUS(status))
        },
        cpu_us: micros(used.ru_utime).saturating_add(micros(used.ru_stime)),
        resident_kib: u64::try_from(used.ru_maxrss).unwrap_or_default(),
    })
}

/// How often a guest whose time is over is asked to yield.
const ALARM_EVERY: Duration = Duration::from_millis(1);

/// Whose guests yield when the alarm rings.
static ALARMED: OnceLock<Engine> = OnceLock::new();

extern "C" fn ring(_: libc::c_int) {
    if let Some(engine) = ALARMED.get() {
        engine.increment_epoch();
    }
}

/// Listens for an alarm. A process that is not set one never hears it.
pub(super) fn hear_alarms() -> io::Result<()> {
    // SAFETY: all zeroes is a `sigaction` without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = ring as extern "C" fn(libc::c_int) as usize;
    // Without SA_RESTART: it also ends the waiting of a guest whose input does not come.
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: the handler loads and adds to atomics alone, which a signal may do at any time.
    check(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) })
}

/// Makes the guest of this process yield `after` that time, and then again and again.
pub(super) fn set_alarm(engine: &Engine, after: Duration) -> io::Result<()> {
    ALARMED.get_or_init(|| engine.clone());
    let time = |duration: Duration| libc::timeval {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: duration.subsec_micros().into(),
    };
    let alarm = libc::itimerval {
        it_interval: time(ALARM_EVERY),
        // Zero would be none at all.
        it_value: time(after.max(ALARM_EVERY)),
    };
    // SAFETY: the pointer is to a local that outlives the call.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const alarm, ptr::null_mut()) })
}

/// Closes every descriptor from `first` on, before anything in this process has opened one.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: called first thing after the start, when no descriptor but the standard ones belongs
    // to anything.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if closed == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// Leaves namespaces.
pub(super) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: what can invalidate descriptors is to stop sharing them, which no caller does.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Whether the kernel can refuse that memory becomes executable.
pub(super) fn knows_mdwe() -> io::Result<()> {
    // SAFETY: it takes integers only.
    check(unsafe { libc::prctl(libc::PR_GET_MDWE, 0, 0, 0, 0) })
}

/// Lets no memory of this process become executable that is not so already.
pub(super) fn refuse_new_code() -> io::Result<()> {
    let flags = libc::c_ulong::from(libc::PR_MDWE_REFUSE_EXEC_GAIN);
    // SAFETY: it takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_MDWE, flags, 0, 0, 0) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A descriptor that tells the runtime when it is ready.
pub(crate) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is always the same open descriptor until it is dropped, and nobody gets
    // it out of the watch alive.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// Loads code that our parent has compiled. A module is mapped; a component is copied, because
/// wasmtime maps components from a path alone, and there are none here.
pub(super) fn load(engine: &Engine, image: File, kind: Kind) -> wasmtime::Result<Unlinked> {
    match kind {
        Kind::Module => {
            // SAFETY: the file came over the socket of a process of this program, which compiled it,
            // and it is sealed: nobody can change it.
            let module = unsafe { Module::deserialize_open_file(engine, image) };
            module.map(Unlinked::Module)
        }
        Kind::Component => {
            let bytes = contents(image)?;
            // SAFETY: as above.
            let component = unsafe { Component::deserialize(engine, bytes) };
            component.map(Unlinked::Component)
        }
    }
}

/// Loads code that a process of ours has compiled, in one that goes on for longer than the code is
/// needed. What is compiled comes from strangers, so the compiler is trusted as much as if it had
/// run here: as far as its code is, no further.
pub(super) fn adopt(engine: &Engine, image: File, kind: Kind) -> wasmtime::Result<Unlinked> {
    if kind == Kind::Module {
        return load(engine, image, kind);
    }
    let len = usize::try_from(image.metadata()?.len())?;
    let bytes = super::memfd::contents(&image, len)?;
    // SAFETY: as in `load`: this program compiled it, for an engine like this one.
    let component = unsafe { Component::deserialize(engine, bytes) };
    component.map(Unlinked::Component)
}

/// The contents of a sealed file, mapped for as long as this process lives.
fn contents(image: File) -> io::Result<&'static [u8]> {
    let len = usize::try_from(image.metadata()?.len()).map_err(io::Error::other)?;
    // SAFETY: a mapping at an address that the kernel chooses changes nothing that is there.
    let mapped = unsafe {
        mmap(
            ptr::null_mut(),
            len,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            &image,
            0,
        )
    }?;
    // A debug build looks at a descriptor before it closes it, which no filter allows.
    std::mem::forget(image);
    let mapped = NonNull::new(mapped.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: the mapping has this length, and nobody can change or shrink the file.
    Ok(unsafe { NonNull::slice_from_raw_parts(mapped, len).as_ref() })
}
