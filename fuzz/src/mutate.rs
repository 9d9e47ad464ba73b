//! Changes an input a little, the way mistakes and attackers do.

use fastrand::Rng;

/// Longest input; longer ones only take longer.
const LEN_MAX: usize = 16 * 1024;
/// Changes to one input. With more, nothing of it is left.
const CHANGES_MAX: usize = 4;
/// Values at which lengths and counters go wrong.
const INTERESTING: [u64; 12] = [
    0,
    1,
    0x0f,
    0x7f,
    0x80,
    0xff,
    0x0100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    u64::MAX,
];

/// A changed `input`, perhaps with a part of `other`.
pub(crate) fn mutate(rng: &mut Rng, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut data = input.to_vec();
    for _ in 0..rng.usize(1..=CHANGES_MAX) {
        change(rng, &mut data, other);
    }
    data.truncate(LEN_MAX);
    data
}

fn change(rng: &mut Rng, data: &mut Vec<u8>, other: &[u8]) {
    let at = rng.usize(0..=data.len());
    let (from, to) = range(rng, data.len());
    match rng.u8(0..9) {
        0 | 1 => {
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << rng.u8(0..8);
            }
        }
        2 => {
            if let Some(byte) = data.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
        3 => overwrite(data, at, &interesting(rng)),
        4 => data.truncate(at),
        5 => drop(data.drain(from..to)),
        6 => {
            let again = data[from..to].to_vec();
            insert(data, at, &again);
        }
        7 => {
            let (from, to) = range(rng, other.len());
            insert(data, at, &other[from..to]);
        }
        _ => {
            let bytes: Vec<u8> = (0..rng.usize(1..9)).map(|_| rng.u8(..)).collect();
            insert(data, at, &bytes);
        }
    }
}

/// One to eight bytes, big-endian.
fn interesting(rng: &mut Rng) -> Vec<u8> {
    let value = INTERESTING[rng.usize(0..INTERESTING.len())].to_be_bytes();
    let len = [1, 2, 4, 8][rng.usize(0..4)];
    value[8 - len..].to_vec()
}

fn range(rng: &mut Rng, len: usize) -> (usize, usize) {
    let from = rng.usize(0..=len);
    (from, rng.usize(from..=len))
}

fn overwrite(data: &mut [u8], at: usize, bytes: &[u8]) {
    data[at..]
        .iter_mut()
        .zip(bytes)
        .for_each(|(old, new)| *old = *new);
}

fn insert(data: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    data.splice(at..at, bytes.iter().copied());
}
