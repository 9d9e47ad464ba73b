//! Streams of several lengths, written, read, verified and repaired.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};

use propeller_ces::{
    Audit, Cipher, Compression, Key, KeyRing, Level, Object, Options, Threads, Wanted, Watch,
    encode, repair, verify,
};

use crate::peak::{MEMORY_MAX, MIB, forget_peak, peak, skipped};

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
