//! Bulk instructions in pieces, so that whoever is in the middle of a large one can be stopped.
//!
//! An engine does `memory.fill` and its siblings at one go: 256 MiB that nobody has touched yet take
//! a tenth of a second, in which it looks at neither epoch nor fuel. So before a module is made
//! ready, each of them whose length is no small constant becomes the call of a function that does
//! the same in pieces, and which the module gets for that:
//!
//! ```text
//!  types │ functions │ …  │ code                                 │ …
//!   + 1  │    + 1    │ as │ memory.fill → call $memory.fill, + 1 │ as they were, and a name for it
//! ```
//!
//! All is appended, so that no index changes, and what has no such instruction stays as it is.

mod instruction;

use wasm_encoder::{Component, Encode, Module, NameMap, NameSection, RawSection};
use wasmparser::{
    BinaryReader, BinaryReaderError, CodeSectionReader, FunctionBody, FunctionSectionReader,
    ImportSectionReader, Operator, TableSectionReader, TypeRef, TypeSectionReader, Validator,
    WasmFeatures,
};

use instruction::Instruction;

/// What is done at one go: some 0.3 ms where every page has to come from the operating system.
pub(crate) const PIECES: Pieces = Pieces {
    bytes: 1 << 20,
    elements: 1 << 16,
};

/// How deep components may lie in one another.
const DEPTH_MAX: usize = 100;

/// How every module and every component begins, and which of them it is.
const HEADER_BYTES: usize = 8;
const LAYER: usize = 6;
const LAYER_OF_COMPONENTS: u8 = 1;

/// Sections of modules, in the core specification's numbers, and those of components that hold more
/// of either.
const CUSTOM: u8 = 0;
const TYPES: u8 = 1;
const IMPORTS: u8 = 2;
const FUNCTIONS: u8 = 3;
const TABLES: u8 = 4;
const CODE: u8 = 10;
const MODULE_IN_COMPONENT: u8 = 1;
const COMPONENT_IN_COMPONENT: u8 = 4;

/// How the type of a function begins, and each of the instructions that this is about.
const FUNCTION_TYPE: u8 = 0x60;
const BULK_PREFIX: u8 = 0xfc;

/// Custom sections that point at instructions. Here these move.
const ABOUT_CODE: &str = "metadata.code.";

/// How much is done at one go.
#[derive(Clone, Copy)]
pub(crate) struct Pieces {
    /// Of memory.
    pub(crate) bytes: u32,
    /// Of a table.
    pub(crate) elements: u32,
}

/// This is no module or component, of which an engine says more, or one that is made so that it
/// cannot be brought into pieces.
#[derive(Debug, thiserror::Error)]
#[error(
    "its bulk instructions cannot be made interruptible: components lie in one another too deep"
)]
pub(crate) struct Unreadable;

impl From<BinaryReaderError> for Unreadable {
    fn from(_: BinaryReaderError) -> Self {
        Self
    }
}

/// The module or component `wasm` with its bulk instructions in `pieces`; nothing if it has none.
pub(crate) fn in_pieces(wasm: &[u8], pieces: Pieces) -> Result<Option<Vec<u8>>, Unreadable> {
    // What names a function or type that is not there would name one of ours.
    Validator::new_with_features(WasmFeatures::all()).validate_all(wasm)?;
    rewritten(wasm, pieces, 0)
}

fn rewritten(wasm: &[u8], pieces: Pieces, depth: usize) -> Result<Option<Vec<u8>>, Unreadable> {
    if depth > DEPTH_MAX {
        return Err(Unreadable);
    }
    match wasm.get(LAYER) {
        Some(&LAYER_OF_COMPONENTS) => component(wasm, pieces, depth),
        _ => module(wasm, pieces),
    }
}

/// The sections of a module or component, each with its number.
fn sections(wasm: &[u8]) -> Result<Vec<(u8, &[u8])>, Unreadable> {
    let body = wasm.get(HEADER_BYTES..).ok_or(Unreadable)?;
    let mut reader = BinaryReader::new(body, HEADER_BYTES);
    let mut sections = Vec::new();
    while !reader.eof() {
        let id = reader.read_u8()?;
        let len = usize::try_from(reader.read_var_u32()?).map_err(|_| Unreadable)?;
        sections.push((id, reader.read_bytes(len)?));
    }
    Ok(sections)
}

fn component(wasm: &[u8], pieces: Pieces, depth: usize) -> Result<Option<Vec<u8>>, Unreadable> {
    let mut component = Component::new();
    let mut changed = false;
    for (id, data) in sections(wasm)? {
        let inner = match id {
            MODULE_IN_COMPONENT | COMPONENT_IN_COMPONENT => rewritten(data, pieces, depth + 1)?,
            _ => None,
        };
        changed |= inner.is_some();
        let data = inner.as_deref().unwrap_or(data);
        component.section(&RawSection { id, data });
    }
    Ok(changed.then(|| component.finish()))
}

fn module(wasm: &[u8], pieces: Pieces) -> Result<Option<Vec<u8>>, Unreadable> {
    let sections = sections(wasm)?;
    let mut added = Added::to(&sections, pieces)?;
    let code = sections.iter().find(|(id, _)| *id == CODE);
    let bodies = code.map(|(_, code)| added.calls(code)).transpose()?;
    let Some(bodies) = bodies.filter(|_| !added.functions.is_empty()) else {
        return Ok(None);
    };
    let mut module = Module::new();
    for &(id, data) in &sections {
        match id {
            TYPES => put(&mut module, id, &added.types(data)?),
            FUNCTIONS => put(&mut module, id, &added.signatures(data)?),
            CODE => put(&mut module, id, &added.code(data, &bodies)?),
            CUSTOM if is_about_code(data) => {}
            _ => put(&mut module, id, data),
        }
    }
    module.section(&added.names());
    Ok(Some(module.finish()))
}

fn put(module: &mut Module, id: u8, data: &[u8]) {
    module.section(&RawSection { id, data });
}

fn is_about_code(custom: &[u8]) -> bool {
    let name = BinaryReader::new(custom, 0).read_string();
    name.is_ok_and(|name| name.starts_with(ABOUT_CODE))
}

/// The functions that a module gets, in the order of their indices.
struct Added {
    pieces: Pieces,
    functions: Vec<Instruction>,
    /// How many functions and types it has without them.
    first_function: u32,
    first_type: u32,
    /// What each of its tables holds.
    elements: Vec<wasmparser::RefType>,
}

impl Added {
    fn to(sections: &[(u8, &[u8])], pieces: Pieces) -> Result<Self, Unreadable> {
        let mut added = Self {
            pieces,
            functions: Vec::new(),
            first_function: 0,
            first_type: 0,
            elements: Vec::new(),
        };
        for &(id, data) in sections {
            let reader = BinaryReader::new(data, 0);
            match id {
                TYPES => {
                    for group in TypeSectionReader::new(reader)? {
                        let types = group?.types().len();
                        added.first_type += u32::try_from(types).map_err(|_| Unreadable)?;
                    }
                }
                IMPORTS => {
                    for import in ImportSectionReader::new(reader)?.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) | TypeRef::FuncExact(_) => added.first_function += 1,
                            TypeRef::Table(table) => added.elements.push(table.element_type),
                            _ => {}
                        }
                    }
                }
                FUNCTIONS => {
                    let defined = FunctionSectionReader::new(reader)?.count();
                    added.first_function = added.first_function.saturating_add(defined);
                }
                TABLES => {
                    for table in TableSectionReader::new(reader)? {
                        added.elements.push(table?.ty.element_type);
                    }
                }
                _ => {}
            }
        }
        Ok(added)
    }

    /// The bodies of the section `code`, which call functions of ours for bulk instructions.
    fn calls(&mut self, code: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut bodies = Vec::with_capacity(code.len());
        for body in CodeSectionReader::new(BinaryReader::new(code, 0))? {
            let body = body?;
            let new = match body.as_bytes().contains(&BULK_PREFIX) {
                true => self.body(&body)?,
                false => None,
            };
            new.as_deref()
                .unwrap_or(body.as_bytes())
                .encode(&mut bodies);
        }
        Ok(bodies)
    }

    /// One body, if it changes.
    fn body(&mut self, body: &FunctionBody<'_>) -> Result<Option<Vec<u8>>, Unreadable> {
        let old = body.as_bytes();
        let start = body.range().start;
        let mut operators = body.get_operators_reader()?;
        let (mut new, mut copied) = (Vec::new(), 0);
        let mut constant = None;
        // Between two looks at the epoch there may be a whole body.
        let mut left = self.pieces;
        while !operators.eof() {
            let at = operators.original_position() - start;
            let operator = operators.read()?;
            if let Some(instruction) = Instruction::of(&operator)
                && !constant.is_some_and(|len| instruction.fits(len, &mut left))
            {
                new.extend_from_slice(old.get(copied..at).ok_or(Unreadable)?);
                wasm_encoder::Instruction::Call(self.function(instruction)?).encode(&mut new);
                copied = operators.original_position() - start;
            }
            constant = match operator {
                Operator::I32Const { value } => Some(value.cast_unsigned()),
                _ => None,
            };
        }
        if copied == 0 {
            return Ok(None);
        }
        new.extend_from_slice(old.get(copied..).ok_or(Unreadable)?);
        Ok(Some(new))
    }

    /// The index of the function that does `instruction` in pieces.
    fn function(&mut self, instruction: Instruction) -> Result<u32, Unreadable> {
        let known = self.functions.iter().position(|one| *one == instruction);
        let place = known.unwrap_or_else(|| {
            self.functions.push(instruction);
            self.functions.len() - 1
        });
        let place = u32::try_from(place).map_err(|_| Unreadable)?;
        self.first_function.checked_add(place).ok_or(Unreadable)
    }

    /// The type section, with one type for each function of ours.
    fn types(&self, section: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut types = Vec::new();
        for instruction in &self.functions {
            let params = instruction.params(&self.elements).ok_or(Unreadable)?;
            types.push(FUNCTION_TYPE);
            params.len().encode(&mut types);
            params.iter().for_each(|param| param.encode(&mut types));
            let results = 0_u32;
            results.encode(&mut types);
        }
        self.longer(section, &types)
    }

    /// The function section, which says the type of each.
    fn signatures(&self, section: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut types = Vec::new();
        for (place, _) in (self.first_type..).zip(&self.functions) {
            place.encode(&mut types);
        }
        self.longer(section, &types)
    }

    /// The code section `section`, all of whose functions have the new `bodies`.
    fn code(&self, section: &[u8], bodies: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (defined, _) = items(section)?;
        let mut ours = Vec::new();
        for instruction in &self.functions {
            instruction.in_pieces(self.pieces).encode(&mut ours);
        }
        self.counted(defined, &[bodies, &ours])
    }

    /// What a trap in a function of ours says: the instruction that the module had there.
    fn names(&self) -> NameSection {
        let mut functions = NameMap::new();
        for (index, instruction) in (self.first_function..).zip(&self.functions) {
            functions.append(index, instruction.name());
        }
        let mut names = NameSection::new();
        names.functions(&functions);
        names
    }

    /// A section with one more item for each function of ours.
    fn longer(&self, section: &[u8], more: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (count, items) = items(section)?;
        self.counted(count, &[items, more])
    }

    fn counted(&self, count: u32, items: &[&[u8]]) -> Result<Vec<u8>, Unreadable> {
        let ours = u32::try_from(self.functions.len()).map_err(|_| Unreadable)?;
        let mut section = Vec::new();
        count
            .checked_add(ours)
            .ok_or(Unreadable)?
            .encode(&mut section);
        items
            .iter()
            .for_each(|items| section.extend_from_slice(items));
        Ok(section)
    }
}

/// How many items a section has, and they.
fn items(section: &[u8]) -> Result<(u32, &[u8]), Unreadable> {
    let mut reader = BinaryReader::new(section, 0);
    let count = reader.read_var_u32()?;
    Ok((
        count,
        section.get(reader.current_position()..).ok_or(Unreadable)?,
    ))
}

#[cfg(all(test, feature = "wasmtime"))]
mod tests;
