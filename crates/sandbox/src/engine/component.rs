//! Which function of a component is called, and with what: WAVE in, WAVE out.
//!
//! WAVE is the text form of component values, <https://github.com/bytecodealliance/wasm-tools>,
//! crate `wasm-wave`. Its writer panics on values without a text form, and the guest chooses the
//! types: they are looked at before anything is called.

use std::fmt;

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::wasm_wave::{self, wasm::DisplayFunc, wasm::DisplayType};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Type, Val};
use wasmtime::{Engine, Store};

use super::call::Returned;
use super::excerpt::excerpt;
use super::guest::Guest;
use super::remembered::{self, Remembered};
use super::verdict::Exceeded;
use crate::exit::Limit;
use crate::exports::EXPORTS_LISTED_MAX;
use crate::job::{Entry, Job};
use crate::runtime::RunError;

/// The interface of a command. Lookups are tolerant: any 0.2.x fits.
const COMMAND: &str = "wasi:cli/run@0.2.0";
/// The interface of a service, and its only function.
const SERVICE: &str = "wasi:http/incoming-handler@0.2.0";
const HANDLE: &str = "handle";
/// Its only function.
const RUN: &str = "run";
/// What is called when nothing is named and there is no command, in this order, after the hint.
const DEFAULTS: [&str; 2] = ["main", "run"];
/// All arguments together, in bytes: values take some forty times their text.
const ARGS_LEN_MAX: usize = 256 * 1024;

/// A linked component, and what is looked at for every job, as for a module.
pub(super) struct LinkedComponent {
    pub(super) code: InstancePre<Guest>,
    /// Whether it imports anything.
    imports: bool,
    /// Whether it answers requests.
    pub(super) has_service: bool,
    functions: Remembered<Function>,
}

/// A function of a component, and which jobs mean it.
struct Function {
    entry: Entry,
    name: String,
    ty: ComponentFunc,
    params: Vec<Type>,
    results: usize,
    /// Whether all that it takes and gives has a text form.
    has_text: bool,
    export: ComponentExportIndex,
    command: bool,
}

impl LinkedComponent {
    pub(super) fn new(code: InstancePre<Guest>) -> Self {
        let component = code.component();
        let imports = component.component_type().imports(component.engine()).len() > 0;
        let has_service = component.get_export_index(None, SERVICE).is_some();
        Self {
            code,
            imports,
            has_service,
            functions: Remembered::default(),
        }
    }

    pub(super) fn component(&self) -> &Component {
        self.code.component()
    }

    /// The function that `entry` asks for.
    fn function(&self, entry: &Entry) -> Result<remembered::Function<'_, Function>, RunError> {
        let is = |function: &Function| function.entry == *entry;
        let component = self.component();
        let find = || Function::find(component, entry).ok_or_else(|| missing(component, entry));
        self.functions.get(is, find)
    }
}

impl Function {
    fn find(component: &Component, entry: &Entry) -> Option<Self> {
        let Found {
            name,
            ty,
            function,
            command,
        } = chosen(component, entry)?;
        let params: Vec<Type> = ty.params().map(|(_, ty)| ty).collect();
        let results = ty.results().len();
        let has_text = !ty.async_() && params.iter().cloned().chain(ty.results()).all(has_text);
        Some(Self {
            entry: entry.clone(),
            name,
            params,
            results,
            has_text,
            ty,
            export: function,
            command,
        })
    }
}

/// A call that its component can take.
pub(super) struct ComponentCall<'code> {
    linked: &'code LinkedComponent,
    function: remembered::Function<'code, Function>,
    params: Vec<Val>,
}

impl<'code> ComponentCall<'code> {
    /// The call of a function that `job` asks for.
    pub(super) fn resolve(linked: &'code LinkedComponent, job: &Job) -> Result<Self, RunError> {
        let function = linked.function(&job.entry)?;
        let params = match function.command {
            true => Vec::new(),
            false => function.arguments(&job.args)?,
        };
        Ok(Self {
            linked,
            function,
            params,
        })
    }

    /// The engine that the component was compiled for.
    pub(super) fn engine(&self) -> &Engine {
        self.linked.component().engine()
    }

    /// Whether the component imports anything.
    pub(super) fn imports(&self) -> bool {
        self.linked.imports
    }

    /// Whether the arguments are the guest's `argv[1..]`.
    pub(super) fn is_command(&self) -> bool {
        self.function.command
    }

    /// Makes the call in a fresh store.
    pub(super) async fn drive(
        &self,
        store: &mut Store<Guest>,
        result_bytes: u64,
    ) -> wasmtime::Result<Returned> {
        let Function {
            export,
            results,
            command,
            ..
        } = &*self.function;
        let instance = self.linked.code.instantiate_async(&mut *store).await?;
        let function = instance.get_func(&mut *store, export);
        let function = function.expect("a call is resolved against its component's exports");
        let mut results = vec![Val::Bool(false); *results];
        function
            .call_async(&mut *store, &self.params, &mut results)
            .await?;
        if *command {
            let failed = matches!(results.first(), Some(Val::Result(Err(_))));
            return Ok(Returned::Exited(i32::from(failed)));
        }
        let text = results.first().map(|result| text(result, result_bytes));
        Ok(Returned::Value(text.transpose()?))
    }
}

/// A value as text, unless that is longer than it may be: a byte may take five.
fn text(value: &Val, len_max: u64) -> wasmtime::Result<String> {
    let mut bounded = Bounded {
        text: String::new(),
        len_max: usize::try_from(len_max).unwrap_or(usize::MAX),
        exceeded: false,
    };
    let written = wasm_wave::writer::Writer::new(&mut bounded).write_value(value);
    match bounded.exceeded {
        true => Err(Exceeded(Limit::Result).into()),
        false => Ok(written.map(|()| bounded.text)?),
    }
}

/// Text up to a length.
struct Bounded {
    text: String,
    len_max: usize,
    exceeded: bool,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if more.len() > self.len_max - self.text.len() {
            self.exceeded = true;
            return Err(fmt::Error);
        }
        self.text.push_str(more);
        Ok(())
    }
}

struct Found {
    name: String,
    ty: ComponentFunc,
    function: ComponentExportIndex,
    command: bool,
}

/// Whether `entry` asks for the component as a service: by name, or because nothing else fits.
pub(super) fn serves(linked: &LinkedComponent, entry: &Entry) -> bool {
    if !linked.has_service {
        return false;
    }
    match entry {
        Entry::Named(name) => name.split_once('#').is_some_and(|(interface, function)| {
            function == HANDLE && interface.split('@').next() == SERVICE.split('@').next()
        }),
        Entry::Default { .. } => chosen(linked.component(), entry).is_none(),
    }
}

fn chosen(component: &Component, entry: &Entry) -> Option<Found> {
    let command = || {
        let interface = component.get_export_index(None, COMMAND)?;
        let found = exported(component, Some(&interface), RUN)?;
        Some(Found {
            command: true,
            ..found
        })
    };
    match entry {
        Entry::Named(name) => match name.split_once('#') {
            Some((interface, function)) => {
                let interface = component.get_export_index(None, interface)?;
                exported(component, Some(&interface), function)
            }
            // A core command's entry point is the component's too.
            None if name == "_start" => command(),
            None => exported(component, None, name),
        },
        Entry::Default { hint } => {
            let root = |name: &str| exported(component, None, name);
            let found = root(hint).or_else(command);
            found.or_else(|| DEFAULTS.into_iter().find_map(root))
        }
    }
}

fn missing(component: &Component, entry: &Entry) -> RunError {
    let (Entry::Named(name) | Entry::Default { hint: name }) = entry;
    RunError::MissingExport {
        name: excerpt(name),
        exports: functions(component.engine(), component),
    }
}

fn exported(
    component: &Component,
    interface: Option<&ComponentExportIndex>,
    name: &str,
) -> Option<Found> {
    match component.get_export(interface, name)? {
        (ComponentItem::ComponentFunc(ty), function) => Some(Found {
            name: name.to_owned(),
            ty,
            function,
            command: false,
        }),
        _ => None,
    }
}

/// Some functions of the component and of the interfaces that it exports.
fn functions(engine: &Engine, component: &Component) -> Vec<String> {
    let mut names = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => names.push(excerpt(name)),
            ComponentItem::ComponentInstance(instance) => {
                let exports = instance.exports(engine);
                let functions =
                    exports.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
                let functions = functions.take(EXPORTS_LISTED_MAX);
                names.extend(functions.map(|(function, _)| excerpt(&format!("{name}#{function}"))));
            }
            _ => {}
        }
        if names.len() >= EXPORTS_LISTED_MAX {
            break;
        }
    }
    names.truncate(EXPORTS_LISTED_MAX);
    names
}

impl Function {
    /// The arguments as values of the parameters' types.
    fn arguments(&self, args: &[String]) -> Result<Vec<Val>, RunError> {
        let types = &self.params;
        if !self.has_text {
            return Err(RunError::UnsupportedSignature {
                function: excerpt(&self.name),
                signature: excerpt(&DisplayFunc(self.ty.clone()).to_string()),
                text_forms: "resources, streams, futures and asynchronous functions have no text form",
            });
        }
        if types.len() != args.len() {
            let expected = types.iter().map(|ty| excerpt(&DisplayType(ty).to_string()));
            return Err(RunError::ArgumentCount {
                function: excerpt(&self.name),
                expected: expected.collect(),
                got: args.len(),
            });
        }
        let len: usize = args.iter().map(String::len).sum();
        if len > ARGS_LEN_MAX {
            return Err(RunError::ArgumentsTooLong {
                len,
                len_max: ARGS_LEN_MAX,
            });
        }
        let parsed = types.iter().zip(args).enumerate();
        parsed
            .map(|(index, (ty, arg))| {
                wasm_wave::from_str::<Val>(ty, arg).map_err(|_| RunError::ArgumentType {
                    index,
                    expected: match ty {
                        // The usual mistake: a shell has taken the quotes.
                        Type::String => "string, in double quotes".to_owned(),
                        Type::Char => "char, in single quotes".to_owned(),
                        ty => excerpt(&DisplayType(ty).to_string()),
                    },
                    got: excerpt(arg),
                })
            })
            .collect()
    }
}

/// Whether all values of this type have a text form.
fn has_text(ty: Type) -> bool {
    match ty {
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::String
        | Type::Enum(_)
        | Type::Flags(_) => true,
        Type::List(list) => has_text(list.ty()),
        Type::Record(record) => record.fields().all(|field| has_text(field.ty)),
        Type::Tuple(tuple) => tuple.types().all(has_text),
        Type::Variant(variant) => variant.cases().all(|case| case.ty.is_none_or(has_text)),
        Type::Option(option) => has_text(option.ty()),
        Type::Result(result) => {
            result.ok().is_none_or(has_text) && result.err().is_none_or(has_text)
        }
        _ => false,
    }
}
