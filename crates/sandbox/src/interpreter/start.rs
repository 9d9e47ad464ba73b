//! Makes the start function of a module an export.
//!
//! wasmi runs a start function inside of instantiation, where it cannot be interrupted. As an
//! export, it is called like any other function, right after an instantiation that runs nothing.

use std::collections::HashSet;
use std::ops::Range;

/// The magic number and the version.
const HEAD_LEN: usize = 8;

const EXPORTS: u8 = 7;
const START: u8 = 8;

/// The kind of an export that is a function.
const FUNCTION: u8 = 0;

/// A module without a start function.
pub(super) struct Lifted {
    pub(super) wasm: Vec<u8>,
    /// What exports the function that was the start.
    pub(super) name: String,
}

/// `wasm` with its start function as an export; `None` if it has none, or is no valid module, which
/// is for the validator to say.
pub(super) fn lifted(wasm: &[u8]) -> Option<Lifted> {
    let sections = sections(wasm)?;
    let content = |id| {
        let mut found = sections.iter().filter(|section| section.id == id);
        found.next().map(|section| &wasm[section.content.clone()])
    };
    let function = Reader(content(START)?).number()?;
    let old = match content(EXPORTS) {
        Some(exports) => Exports::read(exports)?,
        None => Exports::default(),
    };
    let mut candidates = (0_u32..).map(|number| format!("start {number}"));
    let name = candidates.find(|name| !old.names.contains(name.as_bytes()))?;

    let mut exports = Vec::with_capacity(old.entries.len() + name.len() + 16);
    write_number(&mut exports, old.count.checked_add(1)?);
    exports.extend_from_slice(old.entries);
    write_number(&mut exports, u32::try_from(name.len()).ok()?);
    exports.extend_from_slice(name.as_bytes());
    exports.push(FUNCTION);
    write_number(&mut exports, function);

    let has_exports = content(EXPORTS).is_some();
    let mut out = Vec::with_capacity(wasm.len() + exports.len());
    out.extend_from_slice(&wasm[..HEAD_LEN]);
    for section in &sections {
        match section.id {
            // Exports come right before the start: whichever there is makes room for the new ones.
            EXPORTS => write_section(&mut out, &exports)?,
            START if !has_exports => write_section(&mut out, &exports)?,
            START => {}
            _ => out.extend_from_slice(&wasm[section.whole.clone()]),
        }
    }
    Some(Lifted { wasm: out, name })
}

struct Section {
    id: u8,
    whole: Range<usize>,
    content: Range<usize>,
}

fn sections(wasm: &[u8]) -> Option<Vec<Section>> {
    let mut sections = Vec::new();
    let mut rest = Reader(wasm.get(HEAD_LEN..)?);
    while !rest.0.is_empty() {
        let from = wasm.len() - rest.0.len();
        let id = rest.byte()?;
        let len = usize::try_from(rest.number()?).ok()?;
        let content = wasm.len() - rest.0.len();
        rest.bytes(len)?;
        sections.push(Section {
            id,
            whole: from..content + len,
            content: content..content + len,
        });
    }
    Some(sections)
}

/// The exports that a module has.
#[derive(Default)]
struct Exports<'a> {
    count: u32,
    names: HashSet<&'a [u8]>,
    /// All of them, as they are written after the count.
    entries: &'a [u8],
}

impl<'a> Exports<'a> {
    fn read(content: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(content);
        let count = reader.number()?;
        let entries = reader.0;
        let mut names = HashSet::new();
        for _ in 0..count {
            let len = usize::try_from(reader.number()?).ok()?;
            names.insert(reader.bytes(len)?);
            reader.byte()?;
            reader.number()?;
        }
        Some(Self {
            count,
            names,
            entries,
        })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A number of 32 bits: seven bits in each byte, the lowest first.
    fn number(&mut self) -> Option<u32> {
        let mut number = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn write_number(out: &mut Vec<u8>, mut number: u32) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

fn write_section(out: &mut Vec<u8>, exports: &[u8]) -> Option<()> {
    out.push(EXPORTS);
    write_number(out, u32::try_from(exports.len()).ok()?);
    out.extend_from_slice(exports);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lifts the start of `text` and compares what comes out, which calls it `name`.
    fn check(text: &str, name: &str, expected: &str) {
        let lifted = lifted(&wat::parse_str(text).unwrap()).unwrap();
        assert_eq!(lifted.name, name);
        assert_eq!(lifted.wasm, wat::parse_str(expected).unwrap(), "{text}");
    }

    #[test]
    fn the_start_becomes_an_export() {
        check(
            r#"(module (func (export "a")) (func nop) (start 1) (memory 1) (data (i32.const 0) "x"))"#,
            "start 0",
            r#"(module (func (export "a")) (func (export "start 0") nop) (memory 1) (data (i32.const 0) "x"))"#,
        );
        check(
            "(module (func nop) (start 0))",
            "start 0",
            r#"(module (func (export "start 0") nop))"#,
        );
    }

    #[test]
    fn no_other_export_has_its_name() {
        check(
            r#"(module (func (export "start 0") (export "start 1")) (start 0))"#,
            "start 2",
            r#"(module (func (export "start 0") (export "start 1") (export "start 2")))"#,
        );
    }

    #[test]
    fn numbers_of_many_bytes_are_read_and_written() {
        for number in [0, 127, 128, 16_383, 16_384, u32::MAX] {
            let mut bytes = Vec::new();
            write_number(&mut bytes, number);
            assert_eq!(Reader(&bytes).number(), Some(number));
        }
    }

    #[test]
    fn what_is_cut_off_is_left_to_the_validator() {
        let whole = wat::parse_str(r#"(module (func (export "a")) (start 0))"#).unwrap();
        for len in 0..whole.len() {
            let cut = lifted(&whole[..len]);
            assert!(cut.is_none_or(|lifted| lifted.name == "start 0"), "{len}");
        }
    }
}
