//! Whether the bytes are valid, and what one pass over their sections shows.

use wasmparser::types::Types;
use wasmparser::{MemoryType, Parser, Payload, Validator, WasmFeatures};

use crate::error::InspectError;
use crate::header;
use crate::report::Memory;
use crate::text::{REASON_CHARS_MAX, excerpt};

/// What the sandbox has switched on.
const ENGINE: WasmFeatures = WasmFeatures::WASM2
    .union(WasmFeatures::COMPONENT_MODEL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::TAIL_CALL);

const PAGE_SIZE_LOG2: u32 = 16;

/// A file that is valid WebAssembly.
pub(crate) struct Checked<'b> {
    pub(crate) types: Types,
    /// A proposal that it uses and the sandbox has switched off.
    pub(crate) switched_off: Option<String>,
    pub(crate) memory: Memory,
    /// The names that a component imports, in their order; empty for a core module.
    pub(crate) imports: Vec<&'b str>,
    /// The names that a component exports, in their order; empty for a core module.
    pub(crate) exports: Vec<&'b str>,
}

impl<'b> Checked<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Result<Self, InspectError> {
        let invalid = |error: wasmparser::Error| broken(bytes, &error);
        let (features, types, switched_off) = match validate(bytes, ENGINE) {
            Ok(types) => (ENGINE, types, None),
            Err(refusal) => {
                let all = WasmFeatures::all();
                let types = validate(bytes, all).map_err(invalid)?;
                (all, types, Some(proposal(&refusal)))
            }
        };
        let mut checked = Self {
            types,
            switched_off,
            memory: Memory {
                minimum_bytes: 0,
                maximum_bytes: Some(0),
            },
            imports: Vec::new(),
            exports: Vec::new(),
        };
        checked.scan(bytes, features).map_err(invalid)?;
        Ok(checked)
    }

    /// Goes over the sections, also those of nested modules and components.
    fn scan(&mut self, bytes: &'b [u8], features: WasmFeatures) -> wasmparser::Result<()> {
        let mut parser = Parser::new(0);
        parser.set_features(features);
        let mut depth = 0_u32;
        for payload in parser.parse_all(bytes) {
            match payload? {
                Payload::Version { .. } => depth += 1,
                Payload::End(_) => depth -= 1,
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        self.memory.add(&memory?);
                    }
                }
                Payload::ComponentImportSection(imports) if depth == 1 => {
                    for import in imports {
                        self.imports.push(import?.name.name);
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 1 => {
                    for export in exports {
                        self.exports.push(export?.name.name);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Memory {
    fn add(&mut self, memory: &MemoryType) {
        let page_size_log2 = memory.page_size_log2.unwrap_or(PAGE_SIZE_LOG2);
        let bytes = |pages: u64| pages.saturating_mul(1 << page_size_log2);
        self.minimum_bytes = self.minimum_bytes.saturating_add(bytes(memory.initial));
        let both = self.maximum_bytes.zip(memory.maximum);
        self.maximum_bytes = both.map(|(sum, pages)| sum.saturating_add(bytes(pages)));
    }
}

fn validate(bytes: &[u8], features: WasmFeatures) -> wasmparser::Result<Types> {
    Validator::new_with_features(features).validate_all(bytes)
}

/// The proposal that validation stopped at, as its repository is called.
fn proposal(refusal: &wasmparser::Error) -> String {
    let missing = refusal.missing_wasm_feature();
    match missing.and_then(|missing| missing.iter_names().next()) {
        Some((name, _)) => name.to_ascii_lowercase().replace('_', "-"),
        None => excerpt(refusal.message(), REASON_CHARS_MAX),
    }
}

fn broken(bytes: &[u8], error: &wasmparser::Error) -> InspectError {
    if header::ends_early(bytes) {
        return header::truncated(bytes);
    }
    InspectError::Invalid {
        offset: error.offset() as u64,
        reason: excerpt(error.message(), REASON_CHARS_MAX),
    }
}
