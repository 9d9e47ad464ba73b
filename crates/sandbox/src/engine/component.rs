//! Which function of a component is called, and with what: WAVE in, WAVE out.
//!
//! WAVE is the text form of component values, <https://github.com/bytecodealliance/wasm-tools>,
//! crate `wasm-wave`. Its writer panics on values without a text form, and the guest chooses the
//! types: they are looked at before anything is called.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::wasm_wave::{self, wasm::DisplayFunc, wasm::DisplayType};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Type, Val};
use wasmtime::{Engine, Store};

use super::call::Returned;
use super::excerpt::excerpt;
use super::guest::Guest;
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

/// A call that its component can take.
pub(super) struct ComponentCall {
    linked: InstancePre<Guest>,
    function: ComponentExportIndex,
    params: Vec<Val>,
    results: usize,
    pub(super) command: bool,
}

impl ComponentCall {
    /// The call of a function that `job` asks for.
    pub(super) fn resolve(linked: &InstancePre<Guest>, job: &Job) -> Result<Self, RunError> {
        let component = linked.component();
        let engine = component.engine();
        let Found {
            name,
            ty,
            function,
            command,
        } = chosen(component, &job.entry).ok_or_else(|| missing(engine, component, &job.entry))?;
        let params = match command {
            true => Vec::new(),
            false => params(&name, &ty, &job.args)?,
        };
        Ok(Self {
            linked: linked.clone(),
            function,
            params,
            results: ty.results().len(),
            command,
        })
    }

    /// The engine that the component was compiled for.
    pub(super) fn engine(&self) -> &Engine {
        self.linked.component().engine()
    }

    /// Whether the component imports anything.
    pub(super) fn imports(&self) -> bool {
        let ty = self.linked.component().component_type();
        ty.imports(self.engine()).len() > 0
    }

    /// Makes the call in a fresh store.
    pub(super) async fn drive(&self, store: &mut Store<Guest>) -> wasmtime::Result<Returned> {
        let instance = self.linked.instantiate_async(&mut *store).await?;
        let function = instance.get_func(&mut *store, self.function);
        let function = function.expect("a call is resolved against its component's exports");
        let mut results = vec![Val::Bool(false); self.results];
        function
            .call_async(&mut *store, &self.params, &mut results)
            .await?;
        if self.command {
            let failed = matches!(results.first(), Some(Val::Result(Err(_))));
            return Ok(Returned::Exited(i32::from(failed)));
        }
        let text = results.first().map(wasm_wave::to_string).transpose()?;
        Ok(Returned::Value(text))
    }
}

struct Found {
    name: String,
    ty: ComponentFunc,
    function: ComponentExportIndex,
    command: bool,
}

/// Whether `entry` asks for the component as a service: by name, or because nothing else fits.
pub(super) fn serves(component: &Component, entry: &Entry) -> bool {
    if component.get_export_index(None, SERVICE).is_none() {
        return false;
    }
    match entry {
        Entry::Named(name) => name.split_once('#').is_some_and(|(interface, function)| {
            function == HANDLE && interface.split('@').next() == SERVICE.split('@').next()
        }),
        Entry::Default { .. } => chosen(component, entry).is_none(),
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

fn missing(engine: &Engine, component: &Component, entry: &Entry) -> RunError {
    let (Entry::Named(name) | Entry::Default { hint: name }) = entry;
    RunError::MissingExport {
        name: excerpt(name),
        exports: functions(engine, component),
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

/// The arguments as values of the parameters' types.
fn params(name: &str, ty: &ComponentFunc, args: &[String]) -> Result<Vec<Val>, RunError> {
    let types: Vec<Type> = ty.params().map(|(_, ty)| ty).collect();
    if ty.async_() || !types.iter().cloned().chain(ty.results()).all(has_text) {
        return Err(RunError::UnsupportedSignature {
            function: excerpt(name),
            signature: excerpt(&DisplayFunc(ty.clone()).to_string()),
            text_forms: "resources, streams, futures and asynchronous functions have no text form",
        });
    }
    if types.len() != args.len() {
        let expected = types.iter().map(|ty| excerpt(&DisplayType(ty).to_string()));
        return Err(RunError::ArgumentCount {
            function: excerpt(name),
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
