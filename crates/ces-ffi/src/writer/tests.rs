//! What is pushed, what is written, and what is left when either fails.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use super::*;

/// Counts its plaintext, and writes each piece of it to both shards.
fn counted() -> Writer<usize> {
    let encode = |mut plain: Pushed<usize>, mut shards: Vec<Handed<usize>>| {
        let mut buffer = [0; 1000];
        let mut total = 0;
        loop {
            let len = plain
                .read(&mut buffer)
                .map_err(|e| Failure::argument(e.to_string()))?;
            for shard in &mut shards {
                let written = shard.write_all(&buffer[..len]);
                written.map_err(|e| Failure::new(Status::Callback, e.to_string()))?;
            }
            total += len;
            if len == 0 {
                return Ok(total);
            }
        }
    };
    Writer::start(2, encode).unwrap()
}

#[test]
fn everything_that_is_pushed_is_written_before_the_push_is_over() {
    let writer = counted();
    let mut shards = [Vec::new(), Vec::new()];
    let mut plain = Vec::new();
    for len in [0, 1, 999, 3 * CHUNK + 7, 0, 5] {
        let data = vec![u8::try_from(len % 251).unwrap(); len];
        plain.extend_from_slice(&data);
        let write = |shard: u32, data: &[u8]| {
            shards[shard as usize].extend_from_slice(data);
            Ok(())
        };
        writer.push(&data, write).unwrap();
        assert!(shards.iter().all(|shard| *shard == plain));
    }
    assert_eq!(writer.finish(|_, _| Ok(())).unwrap(), plain.len());
    let failure = writer.push(&[1], |_, _| Ok(())).unwrap_err();
    assert_eq!(failure.status, Status::Spent);
}

#[test]
fn a_shard_that_cannot_be_written_ends_the_writer() {
    let writer = counted();
    let broken = |_, _: &[u8]| Err(io::Error::other("the disk is on fire"));
    let failure = writer.push(&[1], broken).unwrap_err();
    assert_eq!(failure.status, Status::Callback);
    assert_eq!(failure.to_string(), "the disk is on fire");
    let failure = writer.finish(|_, _| Ok(())).unwrap_err();
    assert_eq!(failure.status, Status::Spent);
}

#[test]
fn a_panic_is_told_and_a_writer_that_nobody_finishes_leaves_no_thread() {
    let panics = |_, _| -> Result<(), Failure> { panic!("a bug") };
    let failure = Writer::start(1, panics).unwrap().push(&[1], |_, _| Ok(()));
    assert_eq!(failure.unwrap_err().status, Status::Panic);
    drop(counted());
    let writer = counted();
    writer.push(&[1; 5000], |_, _| Ok(())).unwrap();
    drop(writer);
}

/// What a thread owns, and takes its time to drop.
struct Slow(Arc<AtomicBool>);

impl Drop for Slow {
    fn drop(&mut self) {
        thread::sleep(Duration::from_millis(50));
        self.0.store(true, SeqCst);
    }
}

#[test]
fn no_thread_outlives_its_writer_whatever_ends_it() {
    for panics in [false, true] {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let slow = Slow(Arc::clone(&is_dropped));
        let encode = move |_: Pushed<()>, mut shards: Vec<Handed<()>>| {
            let _kept = slow;
            let written = shards[0].write_all(b"head");
            written.map_err(|e| Failure::new(Status::Callback, e.to_string()))
        };
        let writer = Writer::start(1, encode).unwrap();
        let write = |_, _: &[u8]| match panics {
            true => panic!("a callback's bug"),
            false => Err(io::Error::other("no")),
        };
        let failure = caught(|| writer.push(b"", write)).unwrap_err();
        assert!(is_dropped.load(SeqCst), "{failure}");
        let failure = writer.push(b"", |_, _| Ok(())).unwrap_err();
        assert_eq!(failure.status, Status::Spent);
    }
}

#[test]
fn what_comes_before_the_first_wish_is_over_when_the_writer_is_there() {
    let is_told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&is_told);
    let encode = move |mut plain: Pushed<usize>, _: Vec<Handed<usize>>| {
        thread::sleep(Duration::from_millis(50));
        tell.store(true, SeqCst);
        plain
            .read(&mut [0; 9])
            .map_err(|e| Failure::argument(e.to_string()))
    };
    let writer = Writer::start(0, encode).unwrap();
    assert!(is_told.load(SeqCst));
    assert_eq!(writer.finish(|_, _| Ok(())).unwrap(), 0);
}

#[test]
fn a_callback_that_comes_back_and_another_thread_are_told_that_the_writer_is_in_use() {
    let writer = counted();
    let is_told = || {
        let failure = writer.push(b"x", |_, _| Ok(())).unwrap_err();
        assert_eq!(failure.status, Status::Spent);
        assert!(failure.to_string().contains("in use"), "{failure}");
        let failure = writer.finish(|_, _| Ok(())).unwrap_err();
        assert!(failure.to_string().contains("in use"), "{failure}");
    };
    let come_back = |_, _: &[u8]| {
        is_told();
        thread::scope(|scope| scope.spawn(is_told).join().unwrap());
        Ok(())
    };
    writer.push(b"text", come_back).unwrap();
    assert_eq!(writer.finish(|_, _| Ok(())).unwrap(), 4);
}
