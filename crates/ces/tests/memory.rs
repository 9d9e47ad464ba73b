//! How much memory a long stream takes, measured at the process: zstd and the kernels of the
//! ciphers do not ask Rust's allocator.
//!
//! One test in a binary of its own, because the peak is the process's.
#![cfg(test)]

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use propeller_ces::{
    Audit, Cipher, Compression, Key, KeyRing, Level, Object, Options, Threads, Wanted, Watch,
    encode, repair, verify,
};

const MIB: u64 = 1 << 20;
/// What a stream may take beyond the caller's buffers at the default segment size and geometry.
const MEMORY_MAX: u64 = 32 * MIB;

/// The peak of the process's memory in bytes, of which the kernel is told to forget the past.
fn forget_peak() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    peak()
}

fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        writeln!(file, "SKIPPED {name}: {reason}").unwrap();
    }
}

/// Bytes that do not compress, out of 4 MiB that repeat.
struct Noise {
    bytes: Vec<u8>,
    at: usize,
}

impl Noise {
    fn new() -> Self {
        let mut bytes = vec![0; 4 << 20];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        Self { bytes, at: 0 }
    }
}

impl Read for Noise {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.at = (self.at + len) % self.bytes.len();
        Ok(len)
    }
}

fn options(threads: usize) -> Options {
    Options {
        cipher: Cipher::Aes256Gcm,
        compression: Compression::Zstd(Level::new(1).unwrap()),
        threads: Threads::new(threads),
        ..Options::new()
    }
}

fn stream(input: impl Read, sinks: Vec<impl Write>, threads: usize) {
    let watch = Watch {
        audit: Audit::none(),
        progress: &mut |_| (),
    };
    let key = Key::from_bytes([1; 32]);
    encode(input, sinks, &key, &options(threads), watch).unwrap();
}

#[test]
fn memory_does_not_depend_on_the_length_of_the_stream() {
    // Of all, because what one leaves to the allocator the next one takes from there.
    let Some(before) = forget_peak() else {
        return skipped("no /proc/self/clear_refs: the peak of memory cannot be measured");
    };
    let check = |what: &str, run: &mut dyn FnMut()| {
        forget_peak().unwrap();
        run();
        let grown = peak().unwrap() - before;
        println!("{what}: {} KiB", grown / 1024);
        assert!(grown <= MEMORY_MAX, "{what}: {} MiB", grown / MIB);
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |index: usize| folder.path().join(index.to_string());
    let files = |from: usize| -> Vec<File> {
        (from..12)
            .map(|index| File::open(path(index)).unwrap())
            .collect()
    };
    let keys = KeyRing::new(Key::from_bytes([1; 32]));
    for threads in [1, 2] {
        check(&format!("256 MiB of zeros, {threads} threads"), &mut || {
            let sinks = (0..12).map(|_| io::sink()).collect();
            stream(io::repeat(0).take(256 * MIB), sinks, threads);
        });
        check(&format!("48 MiB of noise, {threads} threads"), &mut || {
            let create = |index| BufWriter::new(File::create(path(index)).unwrap());
            stream(
                Noise::new().take(48 * MIB),
                (0..12).map(create).collect(),
                threads,
            );
        });
        for lost in [0, 4] {
            check(
                &format!("reading, {lost} lost, {threads} threads"),
                &mut || {
                    let none = Audit::none();
                    let wanted = Wanted::default();
                    let mut object = Object::open(files(lost), &keys, wanted, none).unwrap();
                    let threads = Threads::new(threads);
                    object
                        .read_to(&mut io::sink(), threads, &mut |_| ())
                        .unwrap();
                },
            );
        }
    }
    check("verifying", &mut || {
        let report = verify(files(0), Wanted::default(), &mut |_| ()).unwrap();
        assert!(report.is_whole());
    });
    check("repairing", &mut || {
        let sinks = (0..4).map(|index| (index, io::sink())).collect();
        repair(files(4), sinks, Wanted::default(), &mut |_| ()).unwrap();
    });
}
