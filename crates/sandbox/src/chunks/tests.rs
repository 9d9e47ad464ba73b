//! Chunks go in and come out as they are framed, in pieces, and nothing else does.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;

use super::*;

fn list(chunks: &[&[u8]]) -> Vec<u8> {
    let mut list = u32::try_from(chunks.len()).unwrap().to_le_bytes().to_vec();
    for chunk in chunks {
        list.extend_from_slice(&u32::try_from(chunk.len()).unwrap().to_le_bytes());
        list.extend_from_slice(chunk);
    }
    list
}

/// Gives `answer` in two pieces, as a long one comes.
fn answer(calls: &mut Calls, answer: &[u8]) -> Result<(), ListError> {
    let (first, second) = answer.split_at(answer.len() / 2);
    let room = calls.room(answer.len());
    room.extend_from_slice(first);
    room.extend_from_slice(second);
    calls.answered()
}

/// Plays a job whose `split` gives `cut`, whose `execute` doubles and whose `merge` is shown.
fn play(cut: &[u8]) -> Result<Bytes, ListError> {
    let mut calls = Calls::new(Wanted::All, Bytes::from_static(b"input"));
    loop {
        let (step, bytes) = match calls.next() {
            Next::Call(step, bytes) => (step, bytes),
            Next::Done(result) => return Ok(result),
        };
        let given = match step {
            Step::Split => {
                assert_eq!(bytes, &b"input"[..]);
                cut.to_vec()
            }
            Step::Execute => bytes.repeat(2),
            Step::Merge => bytes.to_vec(),
        };
        answer(&mut calls, &given)?;
    }
}

#[test]
fn what_is_split_is_executed_in_order_and_merged() {
    for (cut, merged) in [
        (
            &[&b"ab"[..], b"", b"c"][..],
            &[&b"abab"[..], b"", b"cc"][..],
        ),
        (&[], &[]),
    ] {
        assert_eq!(play(&list(cut)), Ok(list(merged).into()));
    }
}

#[test]
fn the_list_for_merge_takes_little_more_than_what_is_in_it() {
    const CHUNKS: usize = 1_000;
    const LEN: usize = 20_000;
    let mut calls = Calls::new(Wanted::All, Bytes::new());
    answer(&mut calls, &list(&[&b""[..]; CHUNKS])).unwrap();
    for _ in 0..CHUNKS - 1 {
        answer(&mut calls, &[7; LEN]).unwrap();
        let spare = calls.answers.capacity() - calls.answers.len();
        assert!(spare <= AHEAD_BYTES_MAX, "{spare}");
    }
    answer(&mut calls, b"").unwrap();
    let Next::Call(Step::Merge, list) = calls.next() else {
        panic!("all chunks are executed");
    };
    let lens = chunks(&list).unwrap().map(<[u8]>::len);
    assert!(lens.eq([LEN; CHUNKS - 1].into_iter().chain([0])));
}

#[test]
fn one_function_takes_the_input_and_gives_the_result() {
    let input = Bytes::from_static(b"x");
    let mut calls = Calls::new(Wanted::One(Step::Merge), input.clone());
    assert_eq!(calls.next(), Next::Call(Step::Merge, input));
    assert_eq!(answer(&mut calls, b"y"), Ok(()));
    assert_eq!(calls.next(), Next::Done(Bytes::from_static(b"y")));
}

#[test]
fn what_is_no_list_is_refused() {
    for (bytes, why) in [
        (&b""[..], ListError::CutOff),
        (&[1, 0, 0], ListError::CutOff),
        (&[1, 0, 0, 0], ListError::CutOff),
        (&[1, 0, 0, 0, 1, 0, 0, 0], ListError::TooLong(0)),
        (&[1, 0, 0, 0, 255, 255, 255, 255, 0], ListError::TooLong(0)),
        (&[0, 0, 0, 0, 7], ListError::Rest(1)),
        (&[1, 0, 1, 0], ListError::TooMany(65_537)),
        (&[255; 4], ListError::TooMany(u32::MAX)),
    ] {
        assert_eq!(chunks(bytes).err(), Some(why), "{bytes:?}");
        assert_eq!(play(bytes), Err(why));
    }
}

#[tokio::test]
async fn bytes_are_copied_a_mebibyte_at_one_go() {
    const MIB: usize = 1 << 20;
    // In how many turns, with how much in the longest one.
    for (lens, turns, most) in [
        (&[0][..], 1, 0),
        (&[MIB], 1, MIB),
        (&[MIB + 1], 2, MIB),
        (&[3, MIB, 5], 2, MIB),
        (&[1; 100], 1, 100),
        (&[110 * MIB], 110, MIB),
    ] {
        let (turn, copied) = (Cell::new(0), RefCell::new(vec![0]));
        let copying = async {
            let mut copying = Copying::default();
            for len in lens {
                let copy = |now: Range<usize>| -> Result<(), Infallible> {
                    copied.borrow_mut()[turn.get()] += now.len();
                    Ok(())
                };
                copying.each(*len, copy).await.unwrap();
            }
        };
        let mut copying = pin!(copying);
        poll_fn(|context| {
            let polled = copying.as_mut().poll(context);
            if polled.is_pending() {
                turn.set(turn.get() + 1);
                copied.borrow_mut().push(0);
            }
            polled
        })
        .await;
        let copied = copied.borrow();
        assert_eq!(copied.iter().sum::<usize>(), lens.iter().sum::<usize>());
        assert_eq!((copied.len(), copied.iter().max()), (turns, Some(&most)));
    }
}

#[test]
fn a_place_has_its_offset_above_its_length() {
    assert_eq!(place(0x0000_0010_0000_0002), 16..18);
    assert_eq!(place(-1), 0xffff_ffff..0x1_ffff_fffe);
}
