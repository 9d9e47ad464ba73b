//! `cargo xtask bench ces`: objects written and read back in memory, beside the bare primitives, in
//! turns on one machine.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark speaks to whoever started it"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are shown with three digits"
)]

mod composite;
mod inputs;
mod peers;
#[path = "../../../oci/benches/pull/report.rs"]
mod report;

#[path = "../../../sandbox/benches/sandbox/environment.rs"]
mod environment;

use std::io::{self, sink};
use std::process::ExitCode;
use std::time::Instant;

use propeller_ces::{Audit, Cipher, Key, KeyRing, Object, Options, Threads, Wanted, Watch, encode};
use zstd::zstd_safe::{CCtx, CParameter, compress_bound};

use composite::{Composite, SEGMENT};
use inputs::{Kind, PERIOD, Repeated};

/// How often each way is taken.
const ROUNDS: usize = 5;
/// What is read back, so that shards and their object fit into memory.
const READ_LEN: u64 = PERIOD as u64;
/// Data shards that are lost when some are.
const LOST: usize = 4;

/// Asks for one length, in a process of its own.
const ALONE: &str = "--alone";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // Whoever runs all tests with their benches wants none.
    if std::env::args().any(|argument| argument == "--test") || cfg!(debug_assertions) {
        println!("ces: measured by `cargo xtask bench ces` alone");
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measured = match &arguments[..] {
        [flag, len, threads, ..] if flag == ALONE => match (len.parse(), threads.parse()) {
            (Ok(len), Ok(threads)) => alone(len, threads),
            _ => Err("a length and threads are numbers".into()),
        },
        [flag, ..] if flag == peers::ENCODE => peers::encode_file(),
        [flag, ..] if flag == peers::READ => peers::read_file(),
        _ => measure(),
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Bytes per second, in MB.
type Rate = f64;

/// What is measured of one input with one cipher, medians.
struct Row {
    kind: Kind,
    cipher: Cipher,
    /// On one thread, and on as many as there are cores: what the machine gives to nobody.
    composite: [Rate; 2],
    /// On one thread, and on as many as there are cores.
    encode: [Rate; 2],
    read: [Rate; 2],
    /// With as many data shards lost.
    rebuilt: Rate,
}

fn measure() -> Result<(), Failure> {
    environment::print();
    let key = Key::from_bytes([9; 32]);
    let mut rows = Vec::new();
    let mut zstd = 0.0;
    for kind in Kind::ALL {
        let bytes = kind.bytes();
        if kind == Kind::Text {
            zstd = median(|| Ok(compress_alone(&bytes)))?;
        }
        for cipher in [Cipher::XChaCha20Poly1305, Cipher::Aes256Gcm] {
            rows.push(row(kind, cipher, &bytes, &key)?);
        }
    }
    tell_rates(&rows);
    tell_goals(&rows, zstd);
    tell_lengths()?;
    peers::tell()
}

fn row(kind: Kind, cipher: Cipher, bytes: &[u8], key: &Key) -> Result<Row, Failure> {
    let options = Options {
        cipher,
        ..Options::new()
    };
    let mut bare = Composite::new(options.geometry, cipher);
    let threads = [Threads::ONE, cores()];
    let mut times: [Vec<Rate>; 7] = Default::default();
    let whole = shards(bytes, key, &options)?;
    for _ in 0..ROUNDS {
        times[0].push(rate(READ_LEN, || {
            let segments = bytes.chunks(SEGMENT).zip(0..);
            let _all = segments.fold(0, |all, (plain, n)| all ^ bare.segment(plain, n));
            Ok(())
        })?);
        times[6].push(rate(READ_LEN, || {
            side_by_side(bytes, &options);
            Ok(())
        })?);
        for (place, threads) in threads.into_iter().enumerate() {
            let options = Options { threads, ..options };
            times[1 + place].push(rate(READ_LEN, || write(bytes, READ_LEN, key, &options))?);
            times[3 + place].push(rate(READ_LEN, || read(&whole, threads, key))?);
        }
        times[5].push(rate(READ_LEN, || read(&whole[LOST..], Threads::ONE, key))?);
    }
    let [composite, one, all, read_one, read_all, rebuilt, side] = times.map(middle);
    Ok(Row {
        kind,
        cipher,
        composite: [composite, side],
        encode: [one, all],
        read: [read_one, read_all],
        rebuilt,
    })
}

/// The primitives on every core, each with its part of the input.
fn side_by_side(bytes: &[u8], options: &Options) {
    let parts = std::thread::available_parallelism().map_or(1, usize::from);
    let part = bytes.len().div_ceil(SEGMENT).div_ceil(parts) * SEGMENT;
    std::thread::scope(|scope| {
        for bytes in bytes.chunks(part) {
            scope.spawn(move || {
                let mut bare = Composite::new(options.geometry, options.cipher);
                let segments = bytes.chunks(SEGMENT).zip(0..);
                segments.fold(0, |all, (plain, n)| all ^ bare.segment(plain, n))
            });
        }
    });
}

fn cores() -> Threads {
    Threads::new(std::thread::available_parallelism().map_or(1, usize::from))
}

fn compress_alone(bytes: &[u8]) -> Rate {
    let mut zstd = CCtx::create();
    zstd.set_parameter(CParameter::CompressionLevel(3))
        .expect("level 3 is known");
    let mut out = vec![0; compress_bound(SEGMENT)];
    let begun = Instant::now();
    for plain in bytes.chunks(SEGMENT) {
        zstd.compress2(&mut out[..], plain)
            .expect("there is room for it");
    }
    bytes.len() as f64 / begun.elapsed().as_secs_f64() / 1e6
}

fn write(period: &[u8], len: u64, key: &Key, options: &Options) -> Result<(), Failure> {
    let sinks: Vec<io::Sink> = (0..options.geometry.pieces()).map(|_| sink()).collect();
    encode(
        Repeated::new(period, len),
        sinks,
        key,
        options,
        silently(&mut |_| ()),
    )?;
    Ok(())
}

fn shards(bytes: &[u8], key: &Key, options: &Options) -> Result<Vec<Vec<u8>>, Failure> {
    let mut shards: Vec<Vec<u8>> = (0..options.geometry.pieces()).map(|_| Vec::new()).collect();
    encode(
        bytes,
        shards.iter_mut().collect(),
        key,
        options,
        silently(&mut |_| ()),
    )?;
    Ok(shards)
}

fn read(shards: &[Vec<u8>], threads: Threads, key: &Key) -> Result<(), Failure> {
    let ring = KeyRing::new(key.clone());
    let shards: Vec<&[u8]> = shards.iter().map(Vec::as_slice).collect();
    let mut object = Object::open(shards, &ring, Wanted::default(), Audit::none())?;
    object.read_to(&mut sink(), threads, &mut |_| ())?;
    Ok(())
}

fn silently(progress: &mut dyn FnMut(u64)) -> Watch<'_> {
    Watch {
        audit: Audit::none(),
        progress,
    }
}

fn rate(len: u64, work: impl FnOnce() -> Result<(), Failure>) -> Result<Rate, Failure> {
    let begun = Instant::now();
    work()?;
    Ok(len as f64 / begun.elapsed().as_secs_f64() / 1e6)
}

fn median(mut measured: impl FnMut() -> Result<Rate, Failure>) -> Result<Rate, Failure> {
    let rates = (0..ROUNDS).map(|_| measured()).collect::<Result<_, _>>()?;
    Ok(middle(rates))
}

fn middle(mut rates: Vec<Rate>) -> Rate {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn tell_rates(rows: &[Row]) {
    println!("\n### 64 MiB in 8 + 4 shards, MB/s of plaintext, medians\n");
    println!(
        "| input | cipher | primitives, one core | all cores | encode, one core | all cores | read, one core | all cores | read, {LOST} data shards lost |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {:?} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
            row.kind.name(),
            row.cipher,
            row.composite[0],
            row.composite[1],
            row.encode[0],
            row.encode[1],
            row.read[0],
            row.read[1],
            row.rebuilt,
        );
    }
}

fn tell_goals(rows: &[Row], zstd: Rate) {
    println!("\n| goal | measured | met |\n|---|---|---|");
    let tell = |what: &str, goal: f64, got: f64| {
        let met = if got >= goal { "yes" } else { "no" };
        println!("| {what} ≥ {goal} | {got:.2} | {met} |");
    };
    for row in rows {
        let (input, cipher) = (row.kind.name(), row.cipher);
        let with = format!("{input}, {cipher:?}");
        match row.kind {
            Kind::Random => {
                tell(
                    &format!("{with}: encode / primitives"),
                    0.9,
                    row.encode[0] / row.composite[0],
                );
            }
            Kind::Text => tell(
                &format!("{with}: encode / zstd-3 alone"),
                0.95,
                row.encode[0] / zstd,
            ),
        }
        tell(
            &format!("{with}: read with {LOST} data shards lost / encode"),
            0.9,
            row.rebuilt / row.encode[0],
        );
        tell(
            &format!("{with}: all cores / one"),
            1.9,
            row.encode[1] / row.encode[0],
        );
        let of = row.composite[1] / row.composite[0];
        println!("| {with}: the primitives themselves, all cores / one | {of:.2} | – |");
    }
}

/// Lengths from a segment to what fits into no memory, each in a process of its own, which has had
/// no memory before.
fn tell_lengths() -> Result<(), Failure> {
    println!("\n### Lengths, incompressible, XChaCha20-Poly1305\n");
    println!("| length | threads | MB/s | memory beside the input |\n|---|---|---|---|");
    for threads in [1, std::thread::available_parallelism()?.get()] {
        for len in [1_u64 << 20, 64 << 20, 1 << 30, 4 << 30] {
            let mut alone = std::process::Command::new(std::env::current_exe()?);
            let alone = alone.args([ALONE, &len.to_string(), &threads.to_string()]);
            let said = String::from_utf8(alone.output()?.stdout)?;
            let said = said.trim();
            println!("| {} MiB | {threads} | {said} |", len >> 20);
        }
    }
    Ok(())
}

/// One length, and what it took.
fn alone(len: u64, threads: usize) -> Result<(), Failure> {
    let bytes = Kind::Random.bytes();
    let options = Options {
        threads: Threads::new(threads),
        ..Options::new()
    };
    let key = Key::from_bytes([9; 32]);
    // Short ones often, so that a clock can tell.
    let times = ((64 << 20) / len).max(1);
    let before = resident("VmRSS:")?;
    let speed = rate(len * times, || {
        (0..times).try_for_each(|_| write(&bytes, len, &key, &options))
    })?;
    let peak = resident("VmHWM:")?.saturating_sub(before);
    println!("{speed:.0} | {:.1} MiB", peak as f64 / 1024.0);
    Ok(())
}

/// Of this process, in KiB.
fn resident(field: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no such field")?.parse()?)
}
