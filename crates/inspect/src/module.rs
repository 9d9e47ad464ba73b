//! Core modules: imports, exports and their types.

use wasmparser::types::{CoreTypeId, EntityType, TypesRef};
use wasmparser::{CompositeInnerType, FuncType, GlobalType, MemoryType, TableType, ValType};

use crate::check::Checked;
use crate::preview1;
use crate::report::{Export, Found, Import, Imports, ItemKind, Listed, Role};
use crate::text::{Line, TYPE_CHARS_MAX, name};
use crate::verdict::{Call, Suggestion};

/// The entry point of a command.
const COMMAND: &str = "_start";
/// What a reactor wants called before anything else.
const INITIALIZER: &str = "_initialize";

/// What is in a checked core module.
pub(crate) fn read(checked: &Checked<'_>) -> Found {
    let types = checked.types.as_ref();
    let imports = imports(types);
    let mut exports = Listed::default();
    let mut roles = Roles::default();
    let mut suggestion = Suggestion::default();
    for (export, ty) in types.core_exports().into_iter().flatten() {
        let function = function(types, ty);
        let callable = function.is_some_and(has_text);
        match function {
            Some(function) => roles.see(export, function),
            None => roles.chunked.see_other(export, ty),
        }
        if let Some(function) = function.filter(|_| callable) {
            let params = function.params().iter();
            suggestion.offer(export, params.map(|ty| ty.to_string().to_uppercase()));
        }
        exports.add(|| Export {
            name: name(export),
            kind: kind(ty),
            ty: type_text(types, ty),
            callable,
        });
    }
    let call = match roles.role() {
        Role::Command => Some(Call::Command),
        _ if roles.chunked.all() && !roles.called => Some(Call::Chunks),
        _ => suggestion.call(),
    };
    Found {
        role: roles.role(),
        chunked: roles.chunked.all(),
        imports: imports.listed,
        exports,
        needs: imports.needs.into_vec(),
        missing: imports.missing,
        call,
        other_version: None,
    }
}

fn imports(types: TypesRef<'_>) -> Imports {
    let mut imports = Imports::default();
    for (from, import, ty) in types.core_imports().into_iter().flatten() {
        let function = function(types, ty).filter(|_| from == preview1::MODULE);
        let known = function.and_then(|ty| preview1::function(import, ty));
        if let Some(Some(capability)) = known {
            imports.needs.add(capability, import);
        }
        let offered = known.is_some();
        if !offered {
            imports.missing.add(|| name(&format!("{from}.{import}")));
        }
        imports.listed.add(|| Import {
            from: Some(name(from)),
            name: name(import),
            kind: kind(ty),
            ty: type_text(types, ty),
            offered,
        });
    }
    imports
}

/// What the exported functions make of a module.
#[derive(Debug, Default)]
struct Roles {
    command: bool,
    reactor: bool,
    /// Whether there is a function that is called when nothing is named.
    called: bool,
    chunked: Chunked,
}

impl Roles {
    fn see(&mut self, export: &str, ty: &FuncType) {
        let plain = ty.params().is_empty() && ty.results().is_empty();
        self.command |= plain && export == COMMAND;
        self.reactor |= plain && export == INITIALIZER;
        self.called |= ["main", "run", COMMAND].contains(&export);
        self.chunked.see(export, ty);
    }

    fn role(&self) -> Role {
        match self {
            Self { command: true, .. } => Role::Command,
            Self { reactor: true, .. } => Role::Reactor,
            _ => Role::Library,
        }
    }
}

/// What a job in chunks exports: docs/formats/chunks.md.
#[derive(Debug, Default)]
struct Chunked {
    memory: bool,
    alloc: bool,
    split: bool,
    execute: bool,
    merge: bool,
}

impl Chunked {
    fn see(&mut self, export: &str, ty: &FuncType) {
        use ValType::{I32, I64};
        let makes_room = ty.params() == [I32] && ty.results() == [I32];
        let takes_bytes = ty.params() == [I32, I32] && ty.results() == [I64];
        match export {
            "alloc" => self.alloc = makes_room,
            "split" => self.split = takes_bytes,
            "execute" => self.execute = takes_bytes,
            "merge" => self.merge = takes_bytes,
            _ => {}
        }
    }

    fn see_other(&mut self, export: &str, ty: EntityType) {
        self.memory |= export == "memory" && matches!(ty, EntityType::Memory(_));
    }

    fn all(&self) -> bool {
        self.memory && self.alloc && self.split && self.execute && self.merge
    }
}

fn function(types: TypesRef<'_>, ty: EntityType) -> Option<&FuncType> {
    match ty {
        EntityType::Func(id) | EntityType::FuncExact(id) => signature(types, id),
        _ => None,
    }
}

fn signature(types: TypesRef<'_>, id: CoreTypeId) -> Option<&FuncType> {
    match types.get(id).map(|ty| &ty.composite_type.inner) {
        Some(CompositeInnerType::Func(ty)) => Some(ty),
        _ => None,
    }
}

/// Whether every argument and result is a number, which has a text form.
fn has_text(ty: &FuncType) -> bool {
    let mut values = ty.params().iter().chain(ty.results());
    values.all(|ty| !matches!(ty, ValType::V128 | ValType::Ref(_)))
}

fn kind(ty: EntityType) -> ItemKind {
    match ty {
        EntityType::Func(_) | EntityType::FuncExact(_) => ItemKind::Function,
        EntityType::Table(_) => ItemKind::Table,
        EntityType::Memory(_) => ItemKind::Memory,
        EntityType::Global(_) => ItemKind::Global,
        EntityType::Tag(_) => ItemKind::Tag,
    }
}

fn type_text(types: TypesRef<'_>, ty: EntityType) -> String {
    let mut line = Line::new(TYPE_CHARS_MAX);
    match ty {
        EntityType::Func(id) | EntityType::FuncExact(id) => match signature(types, id) {
            Some(ty) => function_text(&mut line, "func", ty),
            None => line.push("func"),
        },
        EntityType::Table(ty) => line.push(&table_text(&ty)),
        EntityType::Memory(ty) => line.push(&memory_text(&ty)),
        EntityType::Global(ty) => line.push(&global_text(&ty)),
        EntityType::Tag(id) => match signature(types, id) {
            Some(ty) => function_text(&mut line, "tag", ty),
            None => line.push("tag"),
        },
    }
    line.finish()
}

/// `func(i32, i64) -> f32`, and parentheses around several results.
fn function_text(line: &mut Line, word: &str, ty: &FuncType) {
    line.push(word);
    values_text(line, ty.params());
    match ty.results() {
        [] => {}
        [one] => {
            line.push(" -> ");
            line.push(&one.to_string());
        }
        several => {
            line.push(" -> ");
            values_text(line, several);
        }
    }
}

fn values_text(line: &mut Line, values: &[ValType]) {
    line.push("(");
    for (index, ty) in values.iter().enumerate() {
        if index > 0 {
            line.push(", ");
        }
        line.push(&ty.to_string());
    }
    line.push(")");
}

fn memory_text(ty: &MemoryType) -> String {
    let limits = limits(ty.initial, ty.maximum);
    let size = ty.page_size_log2.map_or_else(String::new, |log2| {
        format!(" of {} bytes", 1_u64 << log2.min(63))
    });
    let index = if ty.memory64 { ", 64-bit" } else { "" };
    let shared = if ty.shared { ", shared" } else { "" };
    format!("memory {limits} pages{size}{index}{shared}")
}

fn table_text(ty: &TableType) -> String {
    let limits = limits(ty.initial, ty.maximum);
    format!("table {limits} {}", ty.element_type)
}

fn global_text(ty: &GlobalType) -> String {
    let mutable = if ty.mutable { "mut " } else { "" };
    format!("global {mutable}{}", ty.content_type)
}

/// `1..2`, or `1..` without a maximum.
fn limits(initial: u64, maximum: Option<u64>) -> String {
    let maximum = maximum.map_or_else(String::new, |maximum| maximum.to_string());
    format!("{initial}..{maximum}")
}
