//! The first bytes: what a file claims to be, and whether it is all there.

use crate::error::InspectError;
use crate::report::Format;

const MAGIC: &[u8] = b"\0asm";
/// Magic, version, layer.
const HEADER_LEN: usize = 8;
/// Version and layer of core modules.
const CORE: (u16, u16) = (1, 0);
/// Version and layer of components.
const COMPONENT: (u16, u16) = (13, 1);

/// What other files begin with. The order matters where one begins like another.
const OTHERS: [(&[u8], &str); 9] = [
    (b"\x7fELF", "a native program or a precompiled module"),
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BC\xc0\xde", "LLVM bitcode"),
    (b"!<arch>", "an archive of object files"),
    (b"#!", "a script"),
    (b"<", "markup, perhaps an error page"),
    (b"{", "JSON"),
];

/// What the text format begins with, after white space.
const TEXT: [&[u8]; 4] = [b"(module", b"(component", b"(;", b";;"];

pub(crate) fn format(bytes: &[u8]) -> Result<Format, InspectError> {
    if bytes.is_empty() {
        return Err(InspectError::Empty);
    }
    let head = &bytes[..bytes.len().min(HEADER_LEN)];
    if bytes.len() < HEADER_LEN && MAGIC.starts_with(&head[..head.len().min(MAGIC.len())]) {
        return Err(truncated(bytes));
    }
    let &[b'\0', b'a', b's', b'm', v0, v1, l0, l1] = head else {
        return Err(other(bytes));
    };
    let (version, layer) = (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([l0, l1]));
    match (version, layer) {
        CORE => Ok(Format::Core),
        COMPONENT => Ok(Format::Component),
        _ => Err(InspectError::Version { version, layer }),
    }
}

/// Whether the last of the outermost sections is longer than what is left of the file.
pub(crate) fn ends_early(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(HEADER_LEN..).unwrap_or_default();
    while let Some((_id, after)) = rest.split_first() {
        let Some((len, after)) = leb128(after) else {
            // A number that goes on where the file does not; other bad numbers are bad anyway.
            return after.len() < LEB128_LEN_MAX && after.iter().all(|byte| byte & 0x80 != 0);
        };
        match after.get(len as usize..) {
            Some(after) => rest = after,
            None => return true,
        }
    }
    false
}

pub(crate) fn truncated(bytes: &[u8]) -> InspectError {
    InspectError::Truncated {
        bytes: bytes.len() as u64,
    }
}

/// Bytes of a number below 2³² in LEB128.
const LEB128_LEN_MAX: usize = 5;

/// The unsigned number at the start of `bytes`, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(LEB128_LEN_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, &bytes[index + 1..]));
        }
    }
    None
}

fn other(bytes: &[u8]) -> InspectError {
    let text = bytes.trim_ascii_start();
    if TEXT.iter().any(|start| text.starts_with(start)) {
        return InspectError::Text;
    }
    let known = OTHERS.iter().find(|(start, _)| bytes.starts_with(start));
    InspectError::NotWasm {
        looks_like: known.map_or("something else", |(_, name)| name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let found = match format(bytes) {
            Ok(format) => format!("{format:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{bytes:?}");
    }

    #[test]
    fn modules_and_components_are_told_apart() {
        check(b"\0asm\x01\0\0\0", "Core");
        check(b"\0asm\x0d\0\x01\0", "Component");
        check(
            b"\0asm\x0c\0\x01\0",
            "it is WebAssembly of version 12, layer 1, which nothing here knows",
        );
    }

    #[test]
    fn what_is_no_webassembly_is_named_if_it_can_be() {
        check(b"", "it is empty");
        check(b"\0as", "it ends in the middle, after 3 bytes");
        check(b"\0asm\x01\0\0", "it ends in the middle, after 7 bytes");
        for text in ["(module)", "\n ;; hello\n(module)", "(; a ;)", "(component"] {
            check(
                text.as_bytes(),
                "it is WebAssembly text, which has to be compiled",
            );
        }
        check(b"\x1f\x8b\x08", "it is not WebAssembly but gzip");
        check(b"hello", "it is not WebAssembly but something else");
    }

    #[test]
    fn a_section_that_is_cut_off_is_seen() {
        let file = b"\0asm\x01\0\0\0\0\x05\x04name\x01\x80\x00";
        assert!(!ends_early(file));
        for (cut, early) in [
            (17, true),
            (16, true),
            (15, false),
            (14, true),
            (9, true),
            (8, false),
        ] {
            assert_eq!(ends_early(&file[..cut]), early, "{cut}");
        }
        assert!(ends_early(b"\0asm\x01\0\0\0\0\x80"));
        assert!(!ends_early(b"\0asm\x01\0\0\0\0\x80\x80\x80\x80\x80\x80"));
    }
}
