//! Which function is called, and with what.

use wasmi::{F32, F64, FuncType, Val, ValType};

use super::module::Loaded;
use crate::chunks::{MEMORY, Step, Wanted};
use crate::exports::{self, COMMAND, INITIALIZER};
use crate::job::Job;
use crate::numbers::{Number, NumberType, Signature};
use crate::runtime::RunError;

/// A call that its module can take: the function exists and the arguments are its parameters.
pub(super) struct Call {
    pub(super) what: What,
    /// Whether the arguments are the guest's `argv[1..]`, and coming back is an exit.
    pub(super) command: bool,
    /// What to call first, in this order.
    pub(super) before: Vec<String>,
}

/// What is called.
pub(super) enum What {
    /// A function of numbers.
    Function {
        name: String,
        params: Vec<Val>,
        /// Room for the results.
        results: Vec<Val>,
    },
    /// A job in chunks.
    Chunks(Wanted),
}

impl Call {
    /// Whether the guest's input goes into its memory before it runs, so that all of it has to be
    /// there.
    pub(super) fn takes_stdin_as_a_whole(&self) -> bool {
        matches!(self.what, What::Chunks(_))
    }

    /// The call that `job` asks for.
    pub(super) fn resolve(loaded: &Loaded, job: &Job) -> Result<Self, RunError> {
        let exported = |name: &str| loaded.exported(name);
        if let Some(wanted) = chunks(loaded, job) {
            return Ok(Self {
                what: What::Chunks(wanted),
                command: false,
                before: before(loaded, Step::Split.name()),
            });
        }
        let (function, ty) = exports::chosen(&job.entry, exported, loaded.functions())?;
        let signature = signature(&ty);
        let command = function == COMMAND && signature.takes_and_gives_nothing();
        let params = if command {
            Vec::new()
        } else {
            signature.arguments(function, &spelled(&ty), &job.args, value)?
        };
        Ok(Self {
            what: What::Function {
                name: function.to_owned(),
                params,
                results: ty.results().iter().map(|ty| Val::default(*ty)).collect(),
            },
            command,
            before: before(loaded, function),
        })
    }
}

/// What `job` wants of a module with chunks, if it wants that.
fn chunks(loaded: &Loaded, job: &Job) -> Option<Wanted> {
    let nothing_else = !exports::fits(&job.entry, |name| loaded.exported(name).is_some());
    let memory = loaded.module.get_export(MEMORY);
    let memory = memory.is_some_and(|export| export.memory().is_some());
    let signature = |name: &str| loaded.exported(name).as_ref().map(signature);
    Wanted::by(job, signature, memory, nothing_else)
}

/// The start function and the initializer, as far as there are any.
fn before(loaded: &Loaded, function: &str) -> Vec<String> {
    let initializer = exports::wants_initializer(function)
        .then(|| loaded.exported(INITIALIZER))
        .flatten()
        .filter(|ty| signature(ty).takes_and_gives_nothing())
        .map(|_| INITIALIZER.to_owned());
    loaded
        .start
        .clone()
        .into_iter()
        .chain(initializer)
        .collect()
}

fn signature(ty: &FuncType) -> Signature {
    Signature {
        params: ty.params().iter().copied().map(number_type).collect(),
        results: ty.results().iter().copied().map(number_type).collect(),
    }
}

fn number_type(ty: ValType) -> Option<NumberType> {
    match ty {
        ValType::I32 => Some(NumberType::I32),
        ValType::I64 => Some(NumberType::I64),
        ValType::F32 => Some(NumberType::F32),
        ValType::F64 => Some(NumberType::F64),
        ValType::V128 | ValType::FuncRef | ValType::ExternRef => None,
    }
}

/// The type as wasmtime writes it.
fn spelled(ty: &FuncType) -> String {
    let list = |what: &str, types: &[ValType]| {
        if types.is_empty() {
            return String::new();
        }
        let names: Vec<&str> = types.iter().copied().map(name).collect();
        format!(" ({what} {})", names.join(" "))
    };
    let (params, results) = (list("param", ty.params()), list("result", ty.results()));
    format!("(type (func{params}{results}))")
}

fn name(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        ValType::F32 => "f32",
        ValType::F64 => "f64",
        ValType::V128 => "v128",
        ValType::FuncRef => "funcref",
        ValType::ExternRef => "externref",
    }
}

fn value(number: Number) -> Val {
    match number {
        Number::I32(number) => Val::I32(number),
        Number::I64(number) => Val::I64(number),
        Number::F32(bits) => Val::F32(F32::from_bits(bits)),
        Number::F64(bits) => Val::F64(F64::from_bits(bits)),
    }
}

pub(super) fn number(value: &Val) -> Number {
    match *value {
        Val::I32(number) => Number::I32(number),
        Val::I64(number) => Number::I64(number),
        Val::F32(number) => Number::F32(number.to_bits()),
        Val::F64(number) => Number::F64(number.to_bits()),
        _ => unreachable!("a call is resolved only if all results have a text form"),
    }
}
