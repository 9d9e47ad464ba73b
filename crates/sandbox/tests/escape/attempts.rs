//! What native code in a guest's process tries. Each attempt is one function; a result below 0 is
//! the error that refused it.
#![allow(
    unsafe_code,
    reason = "an escaped guest makes raw system calls: that is what it is for"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a raw system call takes every argument as a machine word"
)]

use std::ffi::CStr;
use std::io;

use libc::{c_long, sockaddr_in};

use crate::scan::{found, scan};

/// What an attempt knows of the world outside; all of it is made at run time.
pub(crate) struct World {
    pub(crate) parent: usize,
    pub(crate) port: u16,
    /// The file that everybody may read and write.
    pub(crate) file: String,
    /// The key that the parent has in its memory and environment, and the canary of the job next
    /// door, each with every bit turned, so that telling does not put them into memory.
    pub(crate) masked: [Vec<u8>; 2],
}

pub(crate) type Attempt = (&'static str, fn(&World) -> i64);

/// Every attempt, by its name in docs/threat-model.md.
pub(crate) const ATTEMPTS: &[Attempt] = &[
    ("open a file that everybody may read", |world| {
        open(&world.file, libc::O_RDWR)
    }),
    ("open /etc/passwd", |_| open("/etc/passwd", libc::O_RDONLY)),
    ("open the root directory", |_| open("/", libc::O_DIRECTORY)),
    ("create a file", |world| {
        open(
            &format!("{}-new", world.file),
            libc::O_CREAT | libc::O_WRONLY,
        )
    }),
    ("look at a file without opening it", |_| {
        call(
            libc::SYS_newfstatat,
            [at(), text(c"/etc/passwd"), buffer(), 0, 0, 0],
        )
    }),
    ("read where a link points", |_| {
        call(
            libc::SYS_readlinkat,
            [at(), text(c"/proc/self/exe"), buffer(), 256, 0, 0],
        )
    }),
    ("change the directory", |_| {
        call(libc::SYS_chdir, [text(c"/tmp"), 0, 0, 0, 0, 0])
    }),
    ("open the parent's memory", |world| {
        open(&format!("/proc/{}/mem", world.parent), libc::O_RDONLY)
    }),
    ("open the parent's environment", |world| {
        open(&format!("/proc/{}/environ", world.parent), libc::O_RDONLY)
    }),
    ("open its own memory for writing", |_| {
        open("/proc/self/mem", libc::O_RDWR)
    }),
    ("read the parent's memory", |world| vm_read(world.parent)),
    ("trace the parent", |world| {
        call(
            libc::SYS_ptrace,
            [libc::PTRACE_SEIZE as usize, world.parent, 0, 0, 0, 0],
        )
    }),
    ("be traced", |_| call(libc::SYS_ptrace, [0; 6])),
    ("hold the parent by a descriptor", |world| {
        call(libc::SYS_pidfd_open, [world.parent, 0, 0, 0, 0, 0])
    }),
    ("signal the parent", |world| {
        call(libc::SYS_kill, [world.parent, 0, 0, 0, 0, 0])
    }),
    ("signal everybody", |_| {
        call(libc::SYS_kill, [usize::MAX, 0, 0, 0, 0, 0])
    }),
    ("look at the parent's limits", |world| {
        call(libc::SYS_prlimit64, [world.parent, 7, 0, buffer(), 0, 0])
    }),
    ("raise its own limits", |_| {
        let more = [4096_u64; 2];
        call(libc::SYS_prlimit64, [0, 7, more.as_ptr() as usize, 0, 0, 0])
    }),
    ("make a TCP socket", |_| {
        socket(libc::AF_INET, libc::SOCK_STREAM)
    }),
    ("connect to a port of this machine", |world| {
        connect(world.port)
    }),
    ("send a datagram", |world| datagram(world.port)),
    ("make a netlink socket", |_| {
        socket(libc::AF_NETLINK, libc::SOCK_RAW)
    }),
    ("make a socket to the hypervisor", |_| {
        socket(libc::AF_VSOCK, libc::SOCK_STREAM)
    }),
    ("make a unix socket", |_| {
        socket(libc::AF_UNIX, libc::SOCK_STREAM)
    }),
    ("make a pair of sockets", |_| {
        call(libc::SYS_socketpair, [1, 1, 0, buffer(), 0, 0])
    }),
    ("receive descriptors on its socket", |_| {
        call(
            libc::SYS_recvmsg,
            [0, buffer(), libc::MSG_DONTWAIT as usize, 0, 0, 0],
        )
    }),
    ("send descriptors on its socket", |_| {
        call(libc::SYS_sendmsg, [0, buffer(), 0, 0, 0, 0])
    }),
    ("write to another file that is open", |_| {
        call(libc::SYS_write, [1, buffer(), 1, 0, 0, 0])
    }),
    ("read a file that is open", |_| read(3)),
    ("execute a program", |_| {
        let end = [0_usize; 1];
        let end = end.as_ptr() as usize;
        call(libc::SYS_execve, [text(c"/bin/true"), end, end, 0, 0, 0])
    }),
    ("fork", |_| spawn(libc::SIGCHLD as usize)),
    ("start a thread", |_| {
        spawn((libc::CLONE_VM | libc::CLONE_VFORK) as usize)
    }),
    ("make a memory file", |_| {
        call(libc::SYS_memfd_create, [text(c"x"), 0, 0, 0, 0, 0])
    }),
    ("set up an io_uring", |_| {
        call(libc::SYS_io_uring_setup, [1, buffer(), 0, 0, 0, 0])
    }),
    ("load a program into the kernel", |_| {
        call(libc::SYS_bpf, [5, buffer(), 128, 0, 0, 0])
    }),
    ("handle page faults", |_| {
        call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0])
    }),
    ("read the session's keys", |_| {
        call(libc::SYS_keyctl, [0, -3_isize as usize, 1, 0, 0, 0])
    }),
    ("mount a file system", |_| {
        call(
            libc::SYS_mount,
            [text(c"none"), text(c"/"), text(c"tmpfs"), 0, 0, 0],
        )
    }),
    ("make a namespace", |_| {
        call(
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0],
        )
    }),
    ("become root", |_| call(libc::SYS_setresuid, [0; 6])),
    ("let others look in", |_| {
        call(
            libc::SYS_prctl,
            [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0, 0],
        )
    }),
    ("outlive its parent", |_| {
        call(
            libc::SYS_prctl,
            [libc::PR_SET_PDEATHSIG as usize, 0, 0, 0, 0, 0],
        )
    }),
    ("map memory to write and execute", |_| {
        map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)
    }),
    ("map memory to execute", |_| {
        map(libc::PROT_READ | libc::PROT_EXEC)
    }),
    ("make its heap executable", |_| {
        let page = map(libc::PROT_READ | libc::PROT_WRITE);
        call(libc::SYS_mprotect, [page as usize, 4096, 5, 0, 0, 0])
    }),
    ("type into a terminal", |_| {
        call(
            libc::SYS_ioctl,
            [0, libc::TIOCSTI as usize, text(c"x"), 0, 0, 0],
        )
    }),
    ("copy a descriptor", |_| call(libc::SYS_dup, [0; 6])),
    ("share memory by a key", |_| {
        call(libc::SYS_shmget, [0, 4096, 0o1777, 0, 0, 0])
    }),
    ("make system calls of 32 bits", |_| int_0x80()),
    ("take 8 GiB of memory", |_| fill(8 << 30)),
    ("take memory that it shares with itself", |_| {
        map_as(libc::MAP_SHARED | libc::MAP_ANONYMOUS)
    }),
    ("take memory that grows downwards", |_| {
        map_as(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN)
    }),
    ("find a variable in its environment", |_| {
        found(std::env::vars().count())
    }),
    ("find the parent's key in its own memory", |world| {
        scan(&world.masked[0])
    }),
    ("find the next job's input in its own memory", |world| {
        scan(&world.masked[1])
    }),
];

pub(crate) fn call(number: c_long, [a, b, c, d, e, f]: [usize; 6]) -> i64 {
    // SAFETY: the arguments are what an attacker would pass; pointers are to what lives long enough.
    result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

fn result(value: c_long) -> i64 {
    if value >= 0 {
        return value;
    }
    -i64::from(
        io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(i32::MAX),
    )
}

fn at() -> usize {
    libc::AT_FDCWD as usize
}

fn text(text: &'static CStr) -> usize {
    text.as_ptr() as usize
}

/// Room for whatever the kernel writes; never freed, because each attempt has a process.
fn buffer() -> usize {
    Box::leak(Box::new([0_u64; 512])).as_mut_ptr() as usize
}

fn open(path: &str, flags: i32) -> i64 {
    let path = std::ffi::CString::new(path).expect("a path has no zero byte");
    call(
        libc::SYS_openat,
        [at(), path.as_ptr() as usize, flags as usize, 0o600, 0, 0],
    )
}

pub(crate) fn read(descriptor: usize) -> i64 {
    call(libc::SYS_read, [descriptor, buffer(), 16, 0, 0, 0])
}

fn vm_read(pid: usize) -> i64 {
    let here = [buffer(), 16];
    // Somewhere in the program, which is mapped at the same place if it is the same one.
    let there = [vm_read as fn(usize) -> i64 as usize, 16];
    let (here, there) = (here.as_ptr() as usize, there.as_ptr() as usize);
    call(libc::SYS_process_vm_readv, [pid, here, 1, there, 1, 0])
}

fn socket(family: i32, kind: i32) -> i64 {
    call(
        libc::SYS_socket,
        [family as usize, kind as usize, 0, 0, 0, 0],
    )
}

fn loopback(port: u16) -> sockaddr_in {
    sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes([127, 0, 0, 1]),
        },
        sin_zero: [0; 8],
    }
}

fn connect(port: u16) -> i64 {
    let socket = socket(libc::AF_INET, libc::SOCK_STREAM);
    if socket < 0 {
        return socket;
    }
    let address = loopback(port);
    call(
        libc::SYS_connect,
        [socket as usize, &raw const address as usize, 16, 0, 0, 0],
    )
}

fn datagram(port: u16) -> i64 {
    let socket = socket(libc::AF_INET, libc::SOCK_DGRAM);
    if socket < 0 {
        return socket;
    }
    let address = loopback(port);
    call(
        libc::SYS_sendto,
        [
            socket as usize,
            buffer(),
            16,
            0,
            &raw const address as usize,
            16,
        ],
    )
}

fn spawn(flags: usize) -> i64 {
    let new = call(libc::SYS_clone, [flags, 0, 0, 0, 0, 0]);
    if new == 0 {
        // SAFETY: it takes an integer and does not return.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
    new
}

fn map(protection: i32) -> i64 {
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    call(
        libc::SYS_mmap,
        [0, 4096, protection as usize, anonymous, usize::MAX, 0],
    )
}

/// Memory of a kind that the limit for data does not count.
fn map_as(flags: i32) -> i64 {
    call(libc::SYS_mmap, [0, 4096, 3, flags as usize, usize::MAX, 0])
}

fn fill(bytes: usize) -> i64 {
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE) as usize;
    call(libc::SYS_mmap, [0, bytes, 3, anonymous, usize::MAX, 0])
}

#[cfg(target_arch = "x86_64")]
fn int_0x80() -> i64 {
    let got: i64;
    // SAFETY: 20 is `getpid` of i386, which touches nothing.
    unsafe {
        std::arch::asm!("int 0x80", inout("rax") 20_i64 => got,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    got
}

#[cfg(not(target_arch = "x86_64"))]
fn int_0x80() -> i64 {
    -i64::from(libc::ENOSYS)
}
