//! What there is to say about a file.

use std::fmt;

use propeller_model::Digest;

use crate::ITEMS_MAX;
use crate::offer::{Need, Needs};
use crate::verdict::{Call, Verdict};

/// Everything about one file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Core module or component.
    pub format: Format,
    /// What it is for.
    pub role: Role,
    /// Whether it exports `split`, `execute` and `merge` for bytes: a job in chunks.
    pub chunked: bool,
    /// Length of the file.
    pub size_bytes: u64,
    /// Digest of the file, as a task names its module.
    pub digest: Digest,
    /// The memory it brings along.
    pub memory: Memory,
    /// What it imports; the functions of an imported interface one by one.
    pub imports: Listed<Import>,
    /// What it exports; the functions of an exported interface one by one.
    pub exports: Listed<Export>,
    /// What it could ask the host for, in a fixed order.
    pub needs: Vec<Need>,
    /// Imports that Propeller does not offer.
    pub missing: Listed<String>,
    /// Whether Propeller can run it, and how.
    pub verdict: Verdict,
}

/// How a file is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A core module.
    Core,
    /// A component.
    Component,
}

/// What a module is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is started and ends: `_start`, or `wasi:cli/run`.
    Command,
    /// A core module that is initialised once and then called: `_initialize`.
    Reactor,
    /// A component that answers HTTP requests: `wasi:http/incoming-handler`.
    Service,
    /// Its exports are called.
    Library,
}

/// The linear memories that a module defines, also in the core modules of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What it has at the start.
    pub minimum_bytes: u64,
    /// What it allows itself to grow to; none if one of its memories has no bound of its own.
    pub maximum_bytes: Option<u64>,
}

/// The first entries of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// At most [`ITEMS_MAX`].
    pub items: Vec<T>,
    /// How many there are besides.
    pub more: u64,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The module of a core import, the interface of a component's.
    pub from: Option<String>,
    /// Its name there.
    pub name: String,
    /// What kind of thing.
    pub kind: ItemKind,
    /// Its type, such as `func(i32) -> i32`.
    pub ty: String,
    /// Whether Propeller offers it.
    pub offered: bool,
}

/// One export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its name; `instance#function` in an exported interface.
    pub name: String,
    /// What kind of thing.
    pub kind: ItemKind,
    /// Its type, such as `func(a: s32, b: s32) -> s32`.
    pub ty: String,
    /// Whether it is a function whose arguments and results have a text form.
    pub callable: bool,
}

/// What can be imported and exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the words of the specification")]
pub enum ItemKind {
    Function,
    Memory,
    Table,
    Global,
    Tag,
    Type,
    Instance,
    Module,
    Component,
    Value,
}

/// What a reader of either format brings home.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) role: Role,
    pub(crate) chunked: bool,
    pub(crate) imports: Listed<Import>,
    pub(crate) exports: Listed<Export>,
    pub(crate) needs: Vec<Need>,
    pub(crate) missing: Listed<String>,
    /// How to call it, if there is something to call.
    pub(crate) call: Option<Call>,
    /// An interface that it is made for and that Propeller has in another version.
    pub(crate) other_version: Option<String>,
}

/// The imports while they are being read.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    pub(crate) listed: Listed<Import>,
    pub(crate) needs: Needs,
    pub(crate) missing: Listed<String>,
}

impl<T> Listed<T> {
    /// Adds what `make` makes, or counts it if the list is full.
    pub(crate) fn add(&mut self, make: impl FnOnce() -> T) {
        if self.items.len() < ITEMS_MAX {
            self.items.push(make());
        } else {
            self.more += 1;
        }
    }

    /// How many there are, listed or not.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.items.len() as u64 + self.more
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            more: 0,
        }
    }
}

impl Format {
    /// Its name in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Component => "component",
        }
    }
}

impl Role {
    /// Its name in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Reactor => "reactor",
            Self::Service => "service",
            Self::Library => "library",
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Function => "function",
            Self::Memory => "memory",
            Self::Table => "table",
            Self::Global => "global",
            Self::Tag => "tag",
            Self::Type => "type",
            Self::Instance => "instance",
            Self::Module => "module",
            Self::Component => "component",
            Self::Value => "value",
        })
    }
}
