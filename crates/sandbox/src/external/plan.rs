//! A job as a runtime's command line, or the reason why there is none.
//!
//! A task is a stranger: nothing of it may become an option of the runtime, and nothing that it
//! asks for may be passed over.

use bytes::Bytes;
use propeller_model::{Limits, Profile, SetBy};
use serde::Serialize;
use wasmparser::{FuncType, ValType};

use super::catalog::{Dialect, Known};
use super::fill::Fill;
use super::module::{Held, Shape, Unfit, has_text};
use super::template::{Slot, Template};
use crate::chunks::Wanted;
use crate::excerpt::excerpt;
use crate::exit::{Exit, Limit, LimitHit, Status};
use crate::job::{Entry, Job};
use crate::numbers::{Number, NumberType, Signature};
use crate::runtime::RunError;

/// The entry point of a WASI command.
const COMMAND: &str = "_start";

/// What a WASI library wants called once, before any of its functions.
const INITIALIZER: &str = "_initialize";

/// What is called when nothing is named, in this order, after the hint.
const DEFAULTS: [&str; 3] = [COMMAND, "main", "run"];

/// How many exports an error lists: enough to find a typing error, too few to fill a screen.
const EXPORTS_LISTED_MAX: usize = 10;

/// The longest word of a command line: Linux takes 128 KiB, with its end.
const WORD_BYTES_MAX: usize = 128 * 1024 - 1;

/// The most that a command line has. Linux takes a quarter of the stack's limit, mostly 2 MiB, and
/// counts a pointer for every word.
const WORDS_BYTES_MAX: usize = 1024 * 1024;

/// What to do instead, where a runtime cannot.
const INSTEAD: &str = "use another runtime, or none (PROPLET_EXTERNAL_WASM_RUNTIME)";

/// A runtime, with the template that is in force.
#[derive(Debug)]
pub(super) struct Manner {
    pub(super) known: &'static Known,
    /// What it is called in what is said about it: its name, or that of its file.
    pub(super) called: String,
    pub(super) template: Template,
    /// Whether the template is the one that ships.
    pub(super) shipped: bool,
}

/// What becomes of a job before a runtime is started.
#[derive(Debug)]
pub(super) enum Planned {
    Run(Box<Plan>),
    /// Its memory is too large from the beginning.
    Over(Box<Exit>),
}

/// A job that the runtime can run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) words: Vec<String>,
    pub(super) module: Bytes,
    /// What our script reads.
    pub(super) request: Option<Vec<u8>>,
    pub(super) call: Call,
}

/// What is called.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) function: String,
    pub(super) command: bool,
    pub(super) params: usize,
    pub(super) results: Vec<ValType>,
}

/// What our script is told.
#[derive(Debug, Serialize)]
struct Request<'a> {
    name: &'a str,
    args: &'a [String],
    env: &'a [(String, String)],
    command: bool,
    function: &'a str,
    initialize: bool,
    params: Vec<(String, String)>,
    results: Vec<String>,
}

impl Manner {
    /// The limits that this runtime does not keep.
    pub(super) fn unheld(&self) -> Vec<Limit> {
        let holds = |limit| match limit {
            Limit::Fuel => self.template.has(Slot::Fuel),
            Limit::Stack => self.template.has(Slot::Stack) || self.template.has(Slot::StackKib),
            Limit::Handles => false,
            Limit::Memory | Limit::WallClock | Limit::Stdout | Limit::Stderr | Limit::Result => {
                true
            }
            // The validator allows a module no more than there may be.
            Limit::Memories | Limit::TableElements | Limit::HostCopy => true,
        };
        [Limit::Fuel, Limit::Stack, Limit::Handles]
            .into_iter()
            .filter(|limit| !holds(*limit))
            .collect()
    }

    /// How `job` is run, where `file` is the module if the runtime takes only files.
    pub(super) fn plan(&self, job: &Job, file: Option<&str>) -> Result<Planned, RunError> {
        let shape = Shape::read(&job.wasm).map_err(|unfit| match unfit {
            Unfit::Component => self.cannot("run components"),
            Unfit::Refused(error) => error,
        })?;
        self.refuse_world(job)?;
        self.refuse_limits(&job.limits)?;
        self.refuse_chunks(&shape, job)?;
        let (function, ty) = chosen(&shape, &job.entry)?;
        let call = Call {
            function: function.to_owned(),
            command: function == COMMAND && ty.params().is_empty() && ty.results().is_empty(),
            params: ty.params().len(),
            results: ty.results().to_vec(),
        };
        let initialize = initializes(&shape, function, &call);
        self.refuse_call(&shape, &call, initialize)?;
        let values = if call.command {
            Vec::new()
        } else {
            params(function, ty, &job.args)?
        };
        self.refuse_strings(job, &call)?;
        let (module, lowered) = match shape.held(&job.wasm, job.limits.memory_bytes.value) {
            Held::Exceeds => {
                let hit = LimitHit::new(Limit::Memory, &job.limits);
                return Ok(Planned::Over(Box::new(Exit::from(Status::LimitHit(hit)))));
            }
            Held::AsItIs => (job.wasm.clone(), false),
            Held::Lowered(module) => (module, true),
        };
        let args = if call.command {
            job.args.clone()
        } else {
            values.iter().map(text).collect()
        };
        let fill = Fill {
            job,
            function: (!call.command).then_some(function),
            args,
            lowered,
            file,
        };
        let words = self.template.words(|slot| fill.values(slot));
        bounded(&words)?;
        let request = (self.known.dialect == Dialect::Script).then(|| {
            let request = Request {
                name: &job.name,
                args: if call.command { &job.args } else { &[] },
                env: &job.env,
                command: call.command,
                function,
                initialize,
                params: values.iter().map(bits).collect(),
                results: call.results.iter().map(ToString::to_string).collect(),
            };
            serde_json::to_vec(&request)
        });
        let request = request.transpose();
        let request = request.map_err(|error| RunError::Runtime(std::sync::Arc::new(error)))?;
        Ok(Planned::Run(Box::new(Plan {
            words,
            module,
            request,
            call,
        })))
    }

    fn cannot(&self, what: &str) -> RunError {
        RunError::External {
            runtime: self.called.clone(),
            what: format!("cannot {what}; {INSTEAD}"),
        }
    }

    /// A command line calls functions with numbers.
    fn refuse_chunks(&self, shape: &Shape, job: &Job) -> Result<(), RunError> {
        let nothing_else = chosen(shape, &job.entry).is_err();
        let signature = |name: &str| shape.function(name).map(signature);
        match Wanted::by(job, signature, true, nothing_else) {
            Some(_) => Err(self.cannot("run jobs in chunks (split, execute, merge)")),
            None => Ok(()),
        }
    }

    /// What a guest sees beyond its sandbox is the runtime's own, so that nothing can be promised
    /// of it and nothing is granted.
    fn refuse_world(&self, job: &Job) -> Result<(), RunError> {
        if job.profile == Profile::Deterministic {
            return Err(self.cannot("hold the profile `deterministic`"));
        }
        if !job.capabilities.is_empty() {
            return Err(self.cannot("be granted directories, hosts or ports"));
        }
        Ok(())
    }

    /// A limit that the task asked for is kept or the task is not run.
    fn refuse_limits(&self, limits: &Limits) -> Result<(), RunError> {
        for limit in self.unheld() {
            let bound = LimitHit::new(limit, limits).bound;
            if bound.set_by == SetBy::Task {
                let what = format!("hold a limit of {limit}, and the task asks for one");
                return Err(self.cannot(&what));
            }
        }
        Ok(())
    }

    fn refuse_call(&self, shape: &Shape, call: &Call, initialize: bool) -> Result<(), RunError> {
        let scripted = self.template.has(Slot::Script);
        if call.command && !scripted && shape.function("").is_some() {
            // It would run that one: several take it for the older name of the entry point.
            return Err(
                self.cannot("run `_start` of a module that exports a nameless function too")
            );
        }
        if !call.command && !scripted && !self.template.has(Slot::Invoke) {
            let what = format!(
                "call the function `{}`: it runs commands (`{COMMAND}`) only",
                excerpt(&call.function)
            );
            return Err(self.cannot(&what));
        }
        if initialize && !self.known.initializes {
            return Err(self.cannot("initialise a reactor (`_initialize`) before a function"));
        }
        Ok(())
    }

    /// Nothing of a task becomes an option, ends a word early or splits a variable elsewhere.
    fn refuse_strings(&self, job: &Job, call: &Call) -> Result<(), RunError> {
        let pairs = job.env.iter().flat_map(|(name, value)| [name, value]);
        let mut all = job.args.iter().chain(pairs).chain([&job.name]);
        let named = match &job.entry {
            Entry::Named(name) | Entry::Default { hint: name } => name,
        };
        if all.any(|text| text.contains('\0')) || named.contains('\0') {
            return Err(self.cannot("pass a zero byte in an argument or a variable"));
        }
        for (name, value) in &job.env {
            let shown = excerpt(name);
            if name.is_empty() || name.contains('=') {
                let what =
                    format!("pass a variable called `{shown}`: its name is empty or has a =");
                return Err(self.cannot(&what));
            }
            if value.is_empty() && !self.known.env_empty {
                return Err(self.cannot(&format!("pass the variable `{shown}` empty")));
            }
        }
        if job.env.len() > self.known.env_max {
            let most = self.known.env_max;
            return Err(self.cannot(&format!("pass more than {most} variables")));
        }
        let ends = self.template.ends_options() || (self.shipped && self.known.module_ends_options);
        let dashed = call.command && job.args.iter().any(|arg| arg.starts_with('-'));
        if dashed && !ends {
            return Err(self.cannot(
                "pass arguments that begin with a dash: its template has no `--` before `{args}`",
            ));
        }
        if !call.command && !ends && !self.template.has(Slot::Script) {
            return Err(self.cannot(
                "call functions: its template has no `--` before `{args}`, and numbers may have a sign",
            ));
        }
        Ok(())
    }
}

fn chosen<'a>(shape: &'a Shape, entry: &'a Entry) -> Result<(&'a str, &'a FuncType), RunError> {
    let exported = |name: &'a str| Some((name, shape.function(name)?));
    let (name, found) = match entry {
        Entry::Named(name) => (name, exported(name)),
        Entry::Default { hint } => {
            let mut names = std::iter::once(hint.as_str()).chain(DEFAULTS);
            (hint, names.find_map(exported))
        }
    };
    found.ok_or_else(|| RunError::MissingExport {
        name: excerpt(name),
        exports: shape
            .names()
            .map(excerpt)
            .take(EXPORTS_LISTED_MAX)
            .collect(),
    })
}

fn initializes(shape: &Shape, function: &str, call: &Call) -> bool {
    let initializer = shape.function(INITIALIZER);
    !call.command
        && function != INITIALIZER
        && initializer.is_some_and(|ty| ty.params().is_empty() && ty.results().is_empty())
}

fn signature(ty: &FuncType) -> Signature {
    let numbers = |types: &[ValType]| types.iter().map(|ty| number(*ty)).collect();
    Signature {
        params: numbers(ty.params()),
        results: numbers(ty.results()),
    }
}

/// The arguments as values of the parameters' types.
fn params(function: &str, ty: &FuncType, args: &[String]) -> Result<Vec<Number>, RunError> {
    if !ty
        .params()
        .iter()
        .chain(ty.results())
        .all(|ty| has_text(*ty))
    {
        let listed = |types: &[ValType]| {
            let texts: Vec<String> = types.iter().map(ToString::to_string).collect();
            texts.join(", ")
        };
        let signature = format!("({}) -> ({})", listed(ty.params()), listed(ty.results()));
        return Err(RunError::UnsupportedSignature {
            function: excerpt(function),
            signature: excerpt(&signature),
            text_forms: "only i32, i64, f32 and f64 have a text form",
        });
    }
    if ty.params().len() != args.len() {
        return Err(RunError::ArgumentCount {
            function: excerpt(function),
            expected: ty.params().iter().map(ToString::to_string).collect(),
            got: args.len(),
        });
    }
    let args = ty.params().iter().zip(args).enumerate();
    args.map(|(index, (ty, arg))| {
        let value = number(*ty).and_then(|ty| ty.parse(arg));
        value.ok_or_else(|| RunError::ArgumentType {
            index,
            expected: ty.to_string(),
            got: excerpt(arg),
        })
    })
    .collect()
}

/// The engine's name for a type that has a text form.
pub(super) fn number(ty: ValType) -> Option<NumberType> {
    match ty {
        ValType::I32 => Some(NumberType::I32),
        ValType::I64 => Some(NumberType::I64),
        ValType::F32 => Some(NumberType::F32),
        ValType::F64 => Some(NumberType::F64),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

fn text(value: &Number) -> String {
    value.to_string()
}

/// A value's type and bits, as our script wants them.
fn bits(value: &Number) -> (String, String) {
    let (ty, bits) = match *value {
        Number::I32(number) => ("i32", u64::from(number.cast_unsigned())),
        Number::I64(number) => ("i64", number.cast_unsigned()),
        Number::F32(bits) => ("f32", u64::from(bits)),
        Number::F64(bits) => ("f64", bits),
    };
    (ty.to_owned(), bits.to_string())
}

fn bounded(words: &[String]) -> Result<(), RunError> {
    let all: usize = words.iter().map(|word| word.len() + 9).sum();
    let longest = words.iter().map(String::len).max().unwrap_or(0);
    let (len, len_max) = if longest > WORD_BYTES_MAX {
        (longest, WORD_BYTES_MAX)
    } else {
        (all, WORDS_BYTES_MAX)
    };
    if len > len_max {
        return Err(RunError::CommandLineTooLong { len, len_max });
    }
    Ok(())
}
