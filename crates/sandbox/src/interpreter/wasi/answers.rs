//! What each function answers.

use rustix::time::ClockId;

use super::Param::{Choice, Flags, I32, I64, LongFlags};
use super::memory::{aligned, item, offset};
use super::poll::{nanos, wall_clock};
use super::streams::Stream;
use super::{Answer, Args, Errno, Fail, Function, Memory, Room, Wasi};

/// The only function without a result.
pub(super) const NEVER_RETURNS: &str = "proc_exit";

/// The flags that the specification knows.
const FDFLAGS: u32 = 0x1f;
const FSTFLAGS: u32 = 0xf;
const LOOKUPFLAGS: u32 = 1;
const OFLAGS: u32 = 0xf;
const RIFLAGS: u32 = 3;
const SIFLAGS: u32 = 0xffff;
const SDFLAGS: u32 = 3;
const RIGHTS: u64 = 0x3fff_ffff;

/// The last clock, piece of advice, base of a seek and signal that it knows.
const CLOCK: u32 = 3;
const ADVICE: u32 = 5;
const WHENCE: u32 = 2;
const SIGNAL: u32 = 30;

/// How much randomness a guest gets per call, as with wasmtime.
const RANDOM_BYTES_MAX: u32 = 1024 * 1024;

const IOVEC_BYTES: u32 = 8;

const fn function(
    name: &'static str,
    params: &'static [super::Param],
    answers: fn(&mut Wasi, &mut Memory<'_>, Args<'_>) -> Answer,
) -> Function {
    Function {
        name,
        params,
        answers,
    }
}

/// Every function of preview 1, in the order of the specification.
#[rustfmt::skip]
pub(super) static FUNCTIONS: [Function; 46] = [
    function("args_get", &[I32, I32], args_get),
    function("args_sizes_get", &[I32, I32], args_sizes_get),
    function("environ_get", &[I32, I32], environ_get),
    function("environ_sizes_get", &[I32, I32], environ_sizes_get),
    function("clock_res_get", &[Choice(CLOCK), I32], clock_res_get),
    function("clock_time_get", &[Choice(CLOCK), I64, I32], clock_time_get),
    function("fd_advise", &[I32, I64, I64, Choice(ADVICE)], no_file),
    function("fd_allocate", &[I32, I64, I64], no_file),
    function("fd_close", &[I32], fd_close),
    function("fd_datasync", &[I32], no_file),
    function("fd_fdstat_get", &[I32, I32], fd_fdstat_get),
    function("fd_fdstat_set_flags", &[I32, Flags(FDFLAGS)], no_file),
    function("fd_fdstat_set_rights", &[I32, LongFlags(RIGHTS), LongFlags(RIGHTS)], no_file),
    function("fd_filestat_get", &[I32, I32], fd_filestat_get),
    function("fd_filestat_set_size", &[I32, I64], no_file),
    function("fd_filestat_set_times", &[I32, I64, I64, Flags(FSTFLAGS)], fd_filestat_set_times),
    function("fd_pread", &[I32, I32, I32, I64, I32], fd_pread),
    function("fd_prestat_get", &[I32, I32], no_file),
    function("fd_prestat_dir_name", &[I32, I32, I32], fd_prestat_dir_name),
    function("fd_pwrite", &[I32, I32, I32, I64, I32], fd_pwrite),
    function("fd_read", &[I32, I32, I32, I32], fd_read),
    function("fd_readdir", &[I32, I32, I32, I64, I32], no_file),
    function("fd_renumber", &[I32, I32], fd_renumber),
    function("fd_seek", &[I32, I64, Choice(WHENCE), I32], no_seek),
    function("fd_sync", &[I32], no_file),
    function("fd_tell", &[I32, I32], no_seek),
    function("fd_write", &[I32, I32, I32, I32], fd_write),
    function("path_create_directory", &[I32, I32, I32], no_file),
    function("path_filestat_get", &[I32, Flags(LOOKUPFLAGS), I32, I32, I32], no_file),
    function("path_filestat_set_times", &[I32, Flags(LOOKUPFLAGS), I32, I32, I64, I64, Flags(FSTFLAGS)], path_filestat_set_times),
    function("path_link", &[I32, Flags(LOOKUPFLAGS), I32, I32, I32, I32, I32], no_file),
    function("path_open", &[I32, Flags(LOOKUPFLAGS), I32, I32, Flags(OFLAGS), LongFlags(RIGHTS), LongFlags(RIGHTS), Flags(FDFLAGS), I32], path_open),
    function("path_readlink", &[I32, I32, I32, I32, I32, I32], no_file),
    function("path_remove_directory", &[I32, I32, I32], no_file),
    function("path_rename", &[I32, I32, I32, I32, I32, I32], no_file),
    function("path_symlink", &[I32, I32, I32, I32, I32], no_file),
    function("path_unlink_file", &[I32, I32, I32], no_file),
    function("poll_oneoff", &[I32, I32, I32, I32], Wasi::poll_oneoff),
    function(NEVER_RETURNS, &[I32], proc_exit),
    function("proc_raise", &[Choice(SIGNAL)], proc_raise),
    function("sched_yield", &[], sched_yield),
    function("random_get", &[I32, I32], random_get),
    function("sock_accept", &[I32, Flags(FDFLAGS), I32], no_socket),
    function("sock_recv", &[I32, I32, I32, Flags(RIFLAGS), I32, I32], no_socket),
    function("sock_send", &[I32, I32, I32, Flags(SIFLAGS), I32], no_socket),
    function("sock_shutdown", &[I32, Flags(SDFLAGS)], no_socket),
];

/// What needs a file or a directory: no descriptor stands for one.
fn no_file(_: &mut Wasi, _: &mut Memory<'_>, _: Args<'_>) -> Answer {
    Err(Errno::Badf.into())
}

fn no_seek(wasi: &mut Wasi, _: &mut Memory<'_>, args: Args<'_>) -> Answer {
    wasi.streams.get(args.i32(0))?;
    Err(Errno::Spipe.into())
}

fn no_socket(wasi: &mut Wasi, _: &mut Memory<'_>, args: Args<'_>) -> Answer {
    wasi.streams.get(args.i32(0))?;
    Err(Errno::Notsock.into())
}

fn args_get(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    write_list(memory, &wasi.args, args)
}

fn args_sizes_get(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    write_sizes(memory, &wasi.args, args)
}

fn environ_get(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    write_list(memory, &wasi.environ, args)
}

fn environ_sizes_get(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    write_sizes(memory, &wasi.environ, args)
}

/// Pointers to texts, and the texts, each ended by a zero byte.
fn write_list(memory: &mut Memory<'_>, texts: &[String], args: Args<'_>) -> Answer {
    let (mut pointer, mut at) = (args.i32(0), args.i32(1));
    for text in texts {
        memory.write_u32(pointer, at)?;
        pointer = offset(pointer, 4)?;
        memory.write(at, text.as_bytes())?;
        let len = u32::try_from(text.len()).map_err(|_| Errno::Overflow)?;
        at = offset(at, len)?;
        memory.write(at, &[0])?;
        at = offset(at, 1)?;
    }
    Ok(())
}

fn write_sizes(memory: &mut Memory<'_>, texts: &[String], args: Args<'_>) -> Answer {
    let size = |size: usize| u32::try_from(size).map_err(|_| Errno::Overflow);
    let bytes = texts.iter().map(|text| text.len() + 1).sum();
    memory.write_u32(args.i32(0), size(texts.len())?)?;
    memory.write_u32(args.i32(1), size(bytes)?)
}

/// The clocks that there are: of the world, and of this guest. Processor time is nobody's business.
fn clock(id: u32) -> Result<ClockId, Errno> {
    match id {
        0 => Ok(ClockId::Realtime),
        1 => Ok(ClockId::Monotonic),
        _ => Err(Errno::Badf),
    }
}

fn clock_res_get(_: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    let resolution = rustix::time::clock_getres(clock(args.i32(0))?);
    let resolution = resolution.try_into().map(nanos).unwrap_or(1);
    memory.write_u64(args.i32(1), resolution)
}

fn clock_time_get(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    let time = match clock(args.i32(0))? {
        ClockId::Realtime => wall_clock(),
        _ => wasi.started.elapsed(),
    };
    memory.write_u64(args.i32(2), nanos(time))
}

fn fd_close(wasi: &mut Wasi, _: &mut Memory<'_>, args: Args<'_>) -> Answer {
    Ok(wasi.streams.close(args.i32(0))?)
}

fn fd_renumber(wasi: &mut Wasi, _: &mut Memory<'_>, args: Args<'_>) -> Answer {
    Ok(wasi.streams.renumber(args.i32(0), args.i32(1))?)
}

/// A stream of an unknown kind, without flags, that may be read or written.
fn fd_fdstat_get(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    const FD_READ: u64 = 1 << 1;
    const FD_WRITE: u64 = 1 << 6;
    let rights = match wasi.streams.get(args.i32(0))? {
        Stream::Stdin => FD_READ,
        Stream::Stdout | Stream::Stderr => FD_WRITE,
    };
    let at = args.i32(1);
    aligned(at, 8)?;
    memory.write(at, &[0])?;
    memory.write(offset(at, 2)?, &[0, 0])?;
    memory.write_u64(offset(at, 8)?, rights)?;
    memory.write_u64(offset(at, 16)?, rights)
}

/// All zeros: the kind is unknown, and so is everything else.
fn fd_filestat_get(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    wasi.streams.get(args.i32(0))?;
    let at = args.i32(1);
    for field in [0, 8, 24, 32, 40, 48, 56] {
        memory.write_u64(offset(at, field)?, 0)?;
    }
    memory.write(offset(at, 16)?, &[0])
}

fn fd_filestat_set_times(_: &mut Wasi, _: &mut Memory<'_>, args: Args<'_>) -> Answer {
    set_times(args.i32(3))
}

fn path_filestat_set_times(_: &mut Wasi, _: &mut Memory<'_>, args: Args<'_>) -> Answer {
    set_times(args.i32(6))
}

/// A time cannot be both a given one and now; then it is looked at whose times they are.
fn set_times(flags: u32) -> Answer {
    match flags & 0b11 == 0b11 || flags & 0b1100 == 0b1100 {
        true => Err(Errno::Inval.into()),
        false => Err(Errno::Badf.into()),
    }
}

fn fd_prestat_dir_name(wasi: &mut Wasi, _: &mut Memory<'_>, args: Args<'_>) -> Answer {
    wasi.streams.get(args.i32(0))?;
    Err(Errno::Notdir.into())
}

/// The path is looked at before the descriptor.
fn path_open(_: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    let (path, len) = (args.i32(2), args.i32(3));
    memory.allow(len, 1)?;
    let path = std::str::from_utf8(memory.slice(path, len)?);
    path.map_err(|_| Errno::Ilseq)?;
    Err(Errno::Badf.into())
}

/// The first buffer of a list that has room; one without, if none has.
fn first_buffer(memory: &mut Memory<'_>, list: u32, count: u32) -> Result<(u32, u32), Fail> {
    memory.allow(count, IOVEC_BYTES)?;
    for index in 0..count {
        let at = item(list, index, IOVEC_BYTES)?;
        let (buffer, len) = (memory.u32(at)?, memory.u32(offset(at, 4)?)?);
        if len > 0 {
            memory.allow(len, 1)?;
            return Ok((buffer, len));
        }
    }
    Ok((0, 0))
}

fn fd_read(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    let (buffer, len) = first_buffer(memory, args.i32(1), args.i32(2))?;
    if wasi.streams.get(args.i32(0))? != Stream::Stdin {
        return Err(Errno::Badf.into());
    }
    let count = args.i32(3);
    wasi.read(memory, Room { buffer, len, count })
}

fn fd_pread(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    first_buffer(memory, args.i32(1), args.i32(2))?;
    match wasi.streams.get(args.i32(0))? {
        Stream::Stdin => Err(Errno::Spipe.into()),
        Stream::Stdout | Stream::Stderr => Err(Errno::Badf.into()),
    }
}

fn fd_write(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    let (buffer, len) = first_buffer(memory, args.i32(1), args.i32(2))?;
    let stream = wasi.streams.get(args.i32(0))?;
    if stream == Stream::Stdin {
        return Err(Errno::Badf.into());
    }
    wasi.streams.write(stream, memory.slice(buffer, len)?)?;
    memory.write_u32(args.i32(3), len)
}

fn fd_pwrite(wasi: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    first_buffer(memory, args.i32(1), args.i32(2))?;
    match wasi.streams.get(args.i32(0))? {
        Stream::Stdin => Err(Errno::Badf.into()),
        Stream::Stdout | Stream::Stderr => Err(Errno::Spipe.into()),
    }
}

fn proc_exit(_: &mut Wasi, _: &mut Memory<'_>, args: Args<'_>) -> Answer {
    let code = args.i32(0);
    Err(Fail::Exit(code.cast_signed()))
}

fn proc_raise(_: &mut Wasi, _: &mut Memory<'_>, _: Args<'_>) -> Answer {
    Err(Errno::Notsup.into())
}

fn sched_yield(_: &mut Wasi, _: &mut Memory<'_>, _: Args<'_>) -> Answer {
    Ok(())
}

fn random_get(_: &mut Wasi, memory: &mut Memory<'_>, args: Args<'_>) -> Answer {
    let (buffer, len) = (args.i32(0), args.i32(1));
    if len > RANDOM_BYTES_MAX {
        return Err(Fail::Trap(
            "more randomness than a call may ask for: 1048576 bytes",
        ));
    }
    let drawn = getrandom::fill(memory.slice_mut(buffer, len)?);
    drawn.map_err(|_| Fail::Trap("the host has no randomness"))
}
