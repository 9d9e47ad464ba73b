//! What an envelope promises: it opens only whole, only for its context, only with its key.
#![cfg(test)]

use propeller_envelope::{
    CHUNK_LEN, Context, HEADER_LEN_SHARED_KEY, Keyring, OpenError, TAG_LEN, WorkloadKey,
    WorkloadKeyError, open, seal, sealed_len,
};

const CONTEXT: Context<'_> = Context::Record {
    owner: "test",
    name: "story",
};

fn ring() -> Keyring {
    Keyring::new(WorkloadKey::generate().unwrap())
}

#[test]
fn every_length_around_a_chunk_border_round_trips() {
    let keys = ring();
    for len in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN] {
        let plain = vec![7; len];
        let sealed = seal(&keys, &CONTEXT, &plain).unwrap();
        assert_eq!(sealed.len(), HEADER_LEN_SHARED_KEY + sealed_len(len));
        assert_eq!(*open(&keys, &CONTEXT, &sealed).unwrap(), plain, "{len}");
    }
}

#[test]
fn a_flip_of_any_bit_is_found() {
    let keys = ring();
    let sealed = seal(&keys, &CONTEXT, b"forty-two").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut forged = sealed.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&keys, &CONTEXT, &forged).is_err(), "bit {bit}");
    }
}

#[test]
fn a_cut_at_any_byte_is_found() {
    let keys = ring();
    let sealed = seal(&keys, &CONTEXT, b"forty-two").unwrap();
    for len in 0..sealed.len() {
        assert!(
            open(&keys, &CONTEXT, &sealed[..len]).is_err(),
            "{len} bytes"
        );
    }
}

#[test]
fn whole_chunks_cannot_be_cut_repeated_swapped_or_appended() {
    const SEALED: usize = CHUNK_LEN + TAG_LEN;
    let keys = ring();
    let sealed = seal(&keys, &CONTEXT, &vec![1; 3 * CHUNK_LEN]).unwrap();
    let (header, payload) = sealed.split_at(HEADER_LEN_SHARED_KEY);
    let chunks: Vec<&[u8]> = payload.chunks(SEALED).collect();
    let cases: [(&str, Vec<&[u8]>); 6] = [
        ("last cut", vec![chunks[0], chunks[1]]),
        ("middle cut", vec![chunks[0], chunks[2]]),
        ("swapped", vec![chunks[1], chunks[0], chunks[2]]),
        ("repeated", vec![chunks[0], chunks[0], chunks[1], chunks[2]]),
        (
            "after the final one",
            vec![chunks[0], chunks[1], chunks[2], chunks[2]],
        ),
        (
            "a byte after the final one",
            vec![chunks[0], chunks[1], chunks[2], b"x"],
        ),
    ];
    for (what, chunks) in cases {
        let forged = [header, &chunks.concat()].concat();
        assert_eq!(
            open(&keys, &CONTEXT, &forged),
            Err(OpenError::Payload),
            "{what}"
        );
    }
}

#[test]
fn an_older_key_still_opens_and_a_foreign_one_does_not() {
    let old = WorkloadKey::generate().unwrap();
    let sealed = seal(&Keyring::new(old.clone()), &CONTEXT, b"x").unwrap();
    let rotated = Keyring::with_opening(WorkloadKey::generate().unwrap(), [old]).unwrap();
    assert_eq!(*open(&rotated, &CONTEXT, &sealed).unwrap(), b"x");
    let error = open(&ring(), &CONTEXT, &sealed).unwrap_err();
    assert_eq!(error.to_string(), "cipher: message authentication failed");
}

#[test]
fn two_envelopes_of_one_text_share_nothing_but_their_layout() {
    let keys = ring();
    let first = seal(&keys, &CONTEXT, &[0; 64]).unwrap();
    let second = seal(&keys, &CONTEXT, &[0; 64]).unwrap();
    let random = HEADER_LEN_SHARED_KEY - 32 - 7 - 80;
    assert_eq!(first[..random], second[..random]);
    let same = first[random..].iter().zip(&second[random..]);
    assert!(same.filter(|(a, b)| a == b).count() < 16);
}

#[test]
fn a_key_that_is_not_one_is_refused_without_repeating_it() {
    let check = |text: &str, expected: &str| {
        let error = WorkloadKey::from_hex(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(text.is_empty() || !error.contains(text), "{error}");
    };
    check(
        "",
        "a workload key is 64 hexadecimal digits (32 bytes), got 0 characters",
    );
    check(
        &"ab".repeat(31),
        "a workload key is 64 hexadecimal digits (32 bytes), got 62 characters",
    );
    check(
        &format!("{}zz", "ab".repeat(31)),
        "a workload key is 64 hexadecimal digits, character 63",
    );
    check(&"0".repeat(64), "a workload key must be random");
    let key = WorkloadKey::generate().unwrap();
    let again = WorkloadKey::from_hex(&format!(" {}\n", *key.to_hex())).unwrap();
    assert_eq!(key.id(), again.id());
    assert!(!format!("{key:?}").contains(key.to_hex().as_str()));
    let twice = Keyring::with_opening(key.clone(), [key]);
    assert!(matches!(twice, Err(WorkloadKeyError::Repeated { .. })));
}
