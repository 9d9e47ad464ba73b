//! What a module is, read before a runtime sees it, and its memories held to the job's limit.
//!
//! Most runtimes have no option for the most memory of a guest, but all of them keep to the maximum
//! that a module declares. So the maximum is written into the module: `memory.grow` then answers -1
//! where the limit is.

use std::ops::Range;

use bytes::Bytes;
use wasmparser::types::EntityType;
use wasmparser::{FuncType, MemoryType, Parser, Payload, ValType, Validator, WasmFeatures};

use crate::excerpt::excerpt;
use crate::runtime::RunError;

/// The module that guests may import functions from: WASI preview 1.
const OFFERED: &str = "wasi_snapshot_preview1";

/// What an element of a table costs: a pointer.
const TABLE_ELEMENT_BYTES: u64 = 8;

/// The bytes of a page where a memory does not say otherwise, as a power of two.
const PAGE_LOG2: u32 = 16;

/// A valid core module.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Its exported functions.
    functions: Vec<(String, FuncType)>,
    /// Where its exports say that they are.
    memories: Vec<MemoryType>,
    /// What holds them, in the bytes.
    memory_section: Range<usize>,
    /// Elements of its tables when it begins.
    table_elements: u64,
}

/// How a module was made to keep to a limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// What it begins with is more than the limit.
    Exceeds,
    /// Its own maximum is below the limit.
    AsItIs,
    /// With the limit as its maximum.
    Lowered(Bytes),
}

/// What of a file keeps it from being run by any external runtime.
#[derive(Debug)]
pub(super) enum Unfit {
    Component,
    Refused(RunError),
}

impl From<wasmparser::BinaryReaderError> for Unfit {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Refused(RunError::Invalid {
            reason: excerpt(&error.to_string()),
        })
    }
}

impl Shape {
    /// Reads and validates `wasm`.
    pub(super) fn read(wasm: &[u8]) -> Result<Self, Unfit> {
        if !wasm.starts_with(b"\0asm") {
            return Err(Unfit::Refused(RunError::NotWasm));
        }
        if Parser::is_component(wasm) {
            return Err(Unfit::Component);
        }
        let types = Validator::new_with_features(WasmFeatures::all()).validate_all(wasm)?;
        let types = types.as_ref();
        for (module, name, ty) in types.core_imports().into_iter().flatten() {
            if module != OFFERED || !matches!(ty, EntityType::Func(_)) {
                return Err(Unfit::Refused(RunError::MissingImport {
                    module: excerpt(module),
                    name: excerpt(name),
                }));
            }
        }
        let mut shape = Self::default();
        for (name, ty) in types.core_exports().into_iter().flatten() {
            if let EntityType::Func(id) | EntityType::FuncExact(id) = ty {
                let ty = types[id].unwrap_func().clone();
                shape.functions.push((name.to_owned(), ty));
            }
        }
        shape.read_memories(wasm)?;
        Ok(shape)
    }

    fn read_memories(&mut self, wasm: &[u8]) -> Result<(), Unfit> {
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::MemorySection(memories) => {
                    self.memory_section = memories.range();
                    self.memories = memories.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::TableSection(tables) => {
                    for table in tables {
                        let initial = table?.ty.initial;
                        self.table_elements = self.table_elements.saturating_add(initial);
                    }
                }
                _ => {}
            }
        }
        if self.memories.iter().any(|memory| memory.shared) {
            return Err(Unfit::Refused(RunError::Invalid {
                reason: "shared memory is not supported".to_owned(),
            }));
        }
        Ok(())
    }

    /// The function called `name`.
    pub(super) fn function(&self, name: &str) -> Option<&FuncType> {
        let found = self.functions.iter().find(|(known, _)| known == name);
        found.map(|(_, ty)| ty)
    }

    /// Names of functions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().map(|(name, _)| name.as_str())
    }

    /// Holds the memories of `wasm`, which this is the shape of, to `limit` bytes, together with
    /// what its tables begin with. What several memories may grow by is shared out evenly.
    pub(super) fn held(&self, wasm: &[u8], limit: u64) -> Held {
        let memory: u64 = self.memories.iter().fold(0, |sum, memory| {
            sum.saturating_add(memory.initial.saturating_mul(page(memory)))
        });
        let tables = self.table_elements.saturating_mul(TABLE_ELEMENT_BYTES);
        let Some(left) = limit.checked_sub(memory.saturating_add(tables)) else {
            return Held::Exceeds;
        };
        let each = left.checked_div(self.memories.len() as u64).unwrap_or(0);
        let memories: Vec<MemoryType> = self
            .memories
            .iter()
            .map(|memory| {
                let most = memory.initial.saturating_add(each / page(memory));
                MemoryType {
                    maximum: Some(memory.maximum.map_or(most, |maximum| maximum.min(most))),
                    ..*memory
                }
            })
            .collect();
        if memories == self.memories {
            return Held::AsItIs;
        }
        Held::Lowered(self.rewritten(wasm, &memories))
    }

    /// `wasm` with other memories.
    fn rewritten(&self, wasm: &[u8], memories: &[MemoryType]) -> Bytes {
        let mut content = Vec::new();
        leb(&mut content, memories.len() as u64);
        for memory in memories {
            let flags = u8::from(memory.maximum.is_some())
                | u8::from(memory.memory64) << 2
                | u8::from(memory.page_size_log2.is_some()) << 3;
            content.push(flags);
            leb(&mut content, memory.initial);
            if let Some(maximum) = memory.maximum {
                leb(&mut content, maximum);
            }
            if let Some(log2) = memory.page_size_log2 {
                leb(&mut content, log2.into());
            }
        }
        // The length stands before the range, and its own length is unknown: it may be padded.
        let mut head = self.memory_section.start - 1;
        while wasm[head - 1] & 0x80 != 0 && head > 1 {
            head -= 1;
        }
        let mut bytes = Vec::with_capacity(wasm.len() + 16);
        bytes.extend_from_slice(&wasm[..head]);
        leb(&mut bytes, content.len() as u64);
        bytes.extend_from_slice(&content);
        bytes.extend_from_slice(&wasm[self.memory_section.end..]);
        bytes.into()
    }
}

/// Whether a type is a number, which has a text form.
pub(super) fn has_text(ty: ValType) -> bool {
    matches!(
        ty,
        ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64
    )
}

fn page(memory: &MemoryType) -> u64 {
    1 << memory.page_size_log2.unwrap_or(PAGE_LOG2).min(PAGE_LOG2)
}

/// Appends a number as WebAssembly writes it: LEB128.
fn leb(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 65536;

    /// The memories of the module written as `text`, held to `limit`; 0 elements of tables.
    fn check(text: &str, limit: u64, expected: &str) {
        let wasm = wat::parse_str(text).expect("well-formed");
        let shape = match Shape::read(&wasm) {
            Ok(shape) => shape,
            Err(Unfit::Component) => return assert_eq!("a component", expected),
            Err(Unfit::Refused(error)) => return assert_eq!(error.to_string(), expected),
        };
        let told = match shape.held(&wasm, limit) {
            Held::Exceeds => "exceeds".to_owned(),
            Held::AsItIs => "as it is".to_owned(),
            Held::Lowered(bytes) => {
                let Ok(lowered) = Shape::read(&bytes) else {
                    panic!("{text}: no longer a module");
                };
                assert_eq!(lowered.held(&bytes, limit), Held::AsItIs, "{text}");
                let sizes = lowered.memories.iter();
                let sizes = sizes.map(|m| format!("{}..{}", m.initial, m.maximum.unwrap()));
                sizes.collect::<Vec<_>>().join(" ")
            }
        };
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn a_memory_gets_the_limit_for_its_maximum() {
        check("(module (memory 1))", 4 * PAGE, "1..4");
        check("(module (memory 1))", 4 * PAGE + 1, "1..4");
        check("(module (memory 1 9))", 4 * PAGE, "1..4");
        check("(module (memory 1 3))", 4 * PAGE, "as it is");
        check("(module (memory i64 1))", 4 * PAGE, "1..4");
        check("(module (memory 5))", 4 * PAGE, "exceeds");
        check("(module)", 0, "as it is");
    }

    #[test]
    fn memories_and_tables_share_the_limit() {
        check("(module (memory 1) (memory 2))", 9 * PAGE, "1..4 2..5");
        check("(module (memory 1) (table 8192 funcref))", 4 * PAGE, "1..3");
        check("(module (table 8193 funcref))", PAGE, "exceeds");
    }

    #[test]
    fn what_stands_around_the_memories_stays() {
        let text = r#"(module (memory (export "m") 1) (data (i32.const 0) "abc")
            (func (export "f") (result i32) (memory.size)))"#;
        check(text, 200 * PAGE, "1..200");
    }

    #[test]
    fn what_no_runtime_gets_to_see_is_refused() {
        check("(component)", 0, "a component");
        check(
            r#"(module (import "env" "f" (func)))"#,
            0,
            "import `env.f` is not offered to guests",
        );
        check(
            r#"(module (import "wasi_snapshot_preview1" "m" (memory 1)))"#,
            0,
            "import `wasi_snapshot_preview1.m` is not offered to guests",
        );
        check(
            "(module (memory 1 2 shared))",
            0,
            "invalid WebAssembly module: shared memory is not supported",
        );
    }
}
