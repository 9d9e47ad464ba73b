//! A module of so many bytes that nothing compresses.

/// A module with one function, `main`, that does nothing.
const HEAD: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x04\x01\x60\0\0\
    \x03\x02\x01\0\
    \x07\x08\x01\x04main\0\0\
    \x0a\x04\x01\x02\0\x0b";

/// The module, and a custom section of so many bytes that look random.
pub(crate) fn module(bytes: usize) -> Vec<u8> {
    let mut wasm = HEAD.to_vec();
    wasm.push(0);
    let mut len = bytes;
    while len >= 128 {
        wasm.push(low(len) | 128);
        len /= 128;
    }
    wasm.push(low(len));
    wasm.push(0);
    let mut state = 1_u64;
    let end = wasm.len() + bytes - 1;
    while wasm.len() < end {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        wasm.extend_from_slice(&(state ^ (state >> 33)).to_le_bytes());
    }
    wasm.truncate(end);
    wasm
}

/// The lowest 7 bits, for LEB128.
fn low(number: usize) -> u8 {
    (number & 127).to_le_bytes()[0]
}
