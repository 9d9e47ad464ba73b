//! What goes in comes out again.

use std::io::{self, Read, Write};

use propeller_ces::format::Header;
use propeller_ces::{
    Audit, Cipher, Compression, EncodeError, KeyRing, Level, Object, ReadError, Threads, Wanted,
    Watch, encode,
};

use crate::objects::{
    SEGMENT, key, options, random, read, read_with, ring, sealed, text, uncompressed,
};

#[test]
fn every_size_comes_back_with_every_geometry_and_cipher() {
    let sizes = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT + 17];
    for (data, parity) in [(1, 0), (2, 1), (8, 4), (128, 128)] {
        for cipher in [Cipher::XChaCha20Poly1305, Cipher::Aes256Gcm] {
            for (seed, size) in (0..).zip(sizes) {
                let mut options = options(data, parity);
                options.cipher = cipher;
                let plain = match size % 2 {
                    0 => random(size, seed),
                    _ => text(size, seed),
                };
                let (shards, summary) = sealed(&plain, &options);
                let case = format!("{data}+{parity}, {cipher}, {size} bytes");
                let segments = size.div_ceil(SEGMENT).max(1);
                assert_eq!(summary.segments, segments as u64, "{case}");
                let (read, damage) = read(shards).unwrap();
                assert!(read == plain, "{case}");
                assert!(damage.is_none(), "{case}: {damage}");
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let plain = [text(5 * SEGMENT, 1), random(4 * SEGMENT + 9, 2)].concat();
    for threads in [1, 2, 3, 8].map(Threads::new) {
        let mut options = options(3, 2);
        options.threads = threads;
        let (shards, summary) = sealed(&plain, &options);
        for threads in [1, 2, 5].map(Threads::new) {
            let wanted = Wanted {
                object: Some(summary.object),
                digest: Some(summary.digest),
                label: Some(summary.label),
                is_partial: false,
            };
            let (read, _) = read_with(shards.clone(), &ring(), wanted, threads).unwrap();
            assert!(read == plain, "{threads:?}");
        }
    }
}

#[test]
fn an_object_of_several_index_blocks_comes_back() {
    let plain = vec![0; 1_030 * SEGMENT + 5];
    let (shards, summary) = sealed(&plain, &options(2, 1));
    assert_eq!(summary.segments, 1_031);
    let (whole, damage) = read(shards.clone()).unwrap();
    assert!(whole == plain && damage.is_none());
    // The last segments are found by the second block.
    let wanted = Wanted::default();
    let mut object = Object::open(shards, &ring(), wanted, Audit::none()).unwrap();
    let mut out = Vec::new();
    let end = plain.len() as u64;
    object
        .read_range(end - 7..end, &mut out, Threads::ONE, &mut |_| ())
        .unwrap();
    assert_eq!(out, [0; 7]);
    assert!(object.damage().is_none());
}

#[test]
fn shards_come_in_any_order() {
    let plain = random(2 * SEGMENT, 3);
    let (mut shards, _) = sealed(&plain, &options(4, 3));
    fastrand::Rng::with_seed(4).shuffle(&mut shards);
    assert!(read(shards).unwrap().0 == plain);
}

#[test]
fn every_level_is_used_and_off_is_off() {
    let plain = text(3 * SEGMENT, 5);
    let len = |compression| {
        let mut options = options(2, 1);
        options.compression = compression;
        let (shards, summary) = sealed(&plain, &options);
        assert!(read(shards).unwrap().0 == plain);
        summary.shard_len
    };
    let level = |level| len(Compression::Zstd(Level::new(level).unwrap()));
    let (off, fast, small) = (len(Compression::Off), level(1), level(19));
    assert!(small < fast && fast < off, "{small} {fast} {off}");
}

#[test]
fn progress_is_told_and_ends_at_the_length() {
    let plain = random(3 * SEGMENT + 1, 6);
    let mut told = Vec::new();
    let mut shards = vec![Vec::new(); 3];
    let watch = Watch {
        audit: Audit::none(),
        progress: &mut |bytes| told.push(bytes),
    };
    let sinks = shards.iter_mut().collect();
    encode(plain.as_slice(), sinks, &key(), &options(2, 1), watch).unwrap();
    let segment = SEGMENT as u64;
    assert_eq!(told, [segment, 2 * segment, 3 * segment, 3 * segment + 1]);
}

/// Gives its bytes one by one, with interruptions.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = buf.len().min(1);
        self.0.read(&mut buf[..len])
    }
}

#[test]
fn an_input_that_trickles_is_read_to_its_end() {
    let plain = random(SEGMENT + 100, 7);
    let mut shards = vec![Vec::new(); 3];
    let watch = Watch {
        audit: Audit::none(),
        progress: &mut |_| (),
    };
    let sinks = shards.iter_mut().collect();
    encode(Trickle(&plain, false), sinks, &key(), &options(2, 1), watch).unwrap();
    assert!(read(shards).unwrap().0 == plain);
}

/// Fails after so many bytes.
struct Failing(usize);

impl Failing {
    fn take(&mut self, len: usize) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(len)
            .ok_or_else(|| io::Error::other("no more"))?;
        Ok(len)
    }
}

impl Read for Failing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(1000);
        self.take(len)
    }
}

impl Write for Failing {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.take(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_ends_the_read_after_what_it_took() {
    let plain = random(30 * SEGMENT, 8);
    let (shards, _) = sealed(&plain, &options(2, 1));
    for threads in [1, 2, 5].map(Threads::new) {
        let keys = ring();
        let shards = shards.iter().map(Vec::as_slice).collect();
        let mut object = Object::open(shards, &keys, Wanted::default(), Audit::none()).unwrap();
        let mut done = 0;
        let failed = object.read_to(&mut Failing(7 * SEGMENT), threads, &mut |n| done = n);
        assert!(matches!(failed, Err(ReadError::Output(_))), "{failed:?}");
        assert!(done <= 7 * SEGMENT as u64, "{threads:?}: {done}");
        // The object is as good as before.
        let mut again = Vec::new();
        object.read_to(&mut again, threads, &mut |_| ()).unwrap();
        assert!(again == plain, "{threads:?}");
    }
}

#[test]
fn errors_of_the_input_and_of_each_shard_are_told_apart() {
    for threads in [1, 2, 5].map(Threads::new) {
        let mut options = options(2, 1);
        options.threads = threads;
        let watch = || Watch {
            audit: Audit::none(),
            progress: Box::leak(Box::new(|_| ())),
        };
        let sinks = vec![io::sink(), io::sink(), io::sink()];
        let failed = encode(Failing(5 * SEGMENT), sinks, &key(), &options, watch());
        assert!(matches!(failed, Err(EncodeError::Input(_))), "{failed:?}");
        let endless = io::repeat(7);
        let sinks = [usize::MAX, 3 * SEGMENT, usize::MAX].map(Failing).into();
        let mut incompressible = options;
        incompressible.compression = Compression::Off;
        let failed = encode(endless, sinks, &key(), &incompressible, watch());
        assert!(
            matches!(failed, Err(EncodeError::Shard { index: 1, .. })),
            "{failed:?}"
        );
    }
}

#[test]
fn the_number_of_sinks_has_to_fit() {
    let watch = Watch {
        audit: Audit::none(),
        progress: &mut |_| (),
    };
    let failed = encode(
        &b"x"[..],
        vec![io::sink(); 11],
        &key(),
        &options(8, 4),
        watch,
    );
    assert!(matches!(
        failed,
        Err(EncodeError::Sinks {
            expected: 12,
            got: 11
        })
    ));
}

#[test]
fn a_failing_output_is_told_as_such() {
    let (shards, _) = sealed(&random(3 * SEGMENT, 8), &options(2, 1));
    for threads in [1, 2].map(Threads::new) {
        let wanted = Wanted::default();
        let mut object = Object::open(shards.clone(), &ring(), wanted, Audit::none()).unwrap();
        let failed = object.read_to(&mut Failing(SEGMENT), threads, &mut |_| ());
        let failed = failed.unwrap_err();
        assert_eq!(failed.to_string(), "cannot write the plaintext");
    }
}

#[test]
fn the_same_stream_twice_is_two_objects() {
    let plain = random(100, 9);
    let (one, one_summary) = sealed(&plain, &uncompressed(2, 1));
    let (two, two_summary) = sealed(&plain, &uncompressed(2, 1));
    assert_ne!(one_summary.object, two_summary.object);
    assert_ne!(one_summary.digest, two_summary.digest);
    assert_ne!(
        one[0][Header::parse(&one[0]).unwrap().to_bytes().len()..],
        two[0][120..]
    );
}

#[test]
fn reading_twice_gives_the_same_twice() {
    let plain = random(2 * SEGMENT + 5, 10);
    let (shards, _) = sealed(&plain, &options(2, 1));
    let keys = KeyRing::reading([key()]).unwrap();
    let mut object = Object::open(shards, &keys, Wanted::default(), Audit::none()).unwrap();
    for _ in 0..2 {
        let mut out = Vec::new();
        object
            .read_to(&mut out, Threads::new(2), &mut |_| ())
            .unwrap();
        assert!(out == plain);
    }
}
