//! Which function is called, and with what.

use wasmtime::{Engine, ExternType, FuncType, InstancePre, Module, Store, Val};

use super::code::Code;
use super::component::ComponentCall;
use super::excerpt::excerpt;
use super::guest::Guest;
use super::values;
use crate::job::{Entry, Job};
use crate::runtime::RunError;

/// The entry point of a WASI command.
const COMMAND: &str = "_start";

/// What a WASI library wants called once, before any of its functions.
const INITIALIZER: &str = "_initialize";

/// What is called when nothing is named, in this order, after the hint.
const DEFAULTS: [&str; 3] = [COMMAND, "main", "run"];

/// How many exports an error lists: enough to find a typing error, too few to fill a screen.
pub(super) const EXPORTS_LISTED_MAX: usize = 10;

/// A call that its code can take: the function exists and the arguments are its parameters.
pub(super) enum Call {
    Module(ModuleCall),
    Component(ComponentCall),
}

/// What came back from a guest that ended by itself.
pub(super) enum Returned {
    /// A command, with its exit code.
    Exited(i32),
    /// A function, with its results as text.
    Value(Option<String>),
}

impl Call {
    /// The call that `job` asks for.
    pub(super) fn resolve(engine: &Engine, code: &Code, job: &Job) -> Result<Self, RunError> {
        match code {
            Code::Module(linked) => ModuleCall::resolve(linked, job).map(Self::Module),
            Code::Component(linked) => {
                ComponentCall::resolve(engine, linked, job).map(Self::Component)
            }
        }
    }

    /// Whether the arguments are the guest's `argv[1..]`, and coming back is an exit.
    pub(super) fn is_command(&self) -> bool {
        match self {
            Self::Module(call) => call.command,
            Self::Component(call) => call.command,
        }
    }

    /// Makes the call in a fresh store.
    pub(super) async fn drive(&self, store: &mut Store<Guest>) -> wasmtime::Result<Returned> {
        match self {
            Self::Module(call) => call.drive(store).await,
            Self::Component(call) => call.drive(store).await,
        }
    }
}

/// A call of a core module's function.
pub(super) struct ModuleCall {
    linked: InstancePre<Guest>,
    function: String,
    params: Vec<Val>,
    results: usize,
    command: bool,
    /// What to call first.
    initializer: Option<&'static str>,
}

impl ModuleCall {
    fn resolve(linked: &InstancePre<Guest>, job: &Job) -> Result<Self, RunError> {
        let module = linked.module();
        let (function, ty) = chosen(module, &job.entry)?;
        let command = function == COMMAND && takes_and_gives_nothing(&ty);
        let params = if command {
            Vec::new()
        } else {
            params(function, &ty, &job.args)?
        };
        Ok(Self {
            linked: linked.clone(),
            params,
            results: ty.results().len(),
            command,
            initializer: initializer(module, function),
            function: function.to_owned(),
        })
    }

    async fn drive(&self, store: &mut Store<Guest>) -> wasmtime::Result<Returned> {
        let instance = self.linked.instantiate_async(&mut *store).await?;
        if let Some(name) = self.initializer {
            let initializer = instance.get_func(&mut *store, name);
            let initializer = initializer.expect("a call is resolved against its module's exports");
            initializer.call_async(&mut *store, &[], &mut []).await?;
        }
        let function = instance.get_func(&mut *store, &self.function);
        let function = function.expect("a call is resolved against its module's exports");
        let mut results = vec![Val::I32(0); self.results];
        function
            .call_async(store, &self.params, &mut results)
            .await?;
        if self.command {
            return Ok(Returned::Exited(0));
        }
        Ok(Returned::Value(values::render(&results)))
    }
}

fn chosen<'a>(module: &Module, entry: &'a Entry) -> Result<(&'a str, FuncType), RunError> {
    let (name, found) = match entry {
        Entry::Named(name) => (name, exported(module, name)),
        Entry::Default { hint } => {
            let mut names = std::iter::once(hint.as_str()).chain(DEFAULTS);
            (hint, names.find_map(|name| exported(module, name)))
        }
    };
    found.ok_or_else(|| RunError::MissingExport {
        name: excerpt(name),
        exports: functions(module),
    })
}

/// The exported function called `name`, if there is one.
fn exported<'a>(module: &Module, name: &'a str) -> Option<(&'a str, FuncType)> {
    match module.get_export(name)? {
        ExternType::Func(ty) => Some((name, ty)),
        _ => None,
    }
}

fn functions(module: &Module) -> Vec<String> {
    let functions = module
        .exports()
        .filter(|export| export.ty().func().is_some());
    let names = functions.map(|export| excerpt(export.name()));
    names.take(EXPORTS_LISTED_MAX).collect()
}

fn initializer(module: &Module, function: &str) -> Option<&'static str> {
    if [COMMAND, INITIALIZER].contains(&function) {
        return None;
    }
    let (name, ty) = exported(module, INITIALIZER)?;
    takes_and_gives_nothing(&ty).then_some(name)
}

fn takes_and_gives_nothing(ty: &FuncType) -> bool {
    ty.params().len() == 0 && ty.results().len() == 0
}

/// The arguments as values of the parameters' types.
fn params(function: &str, ty: &FuncType, args: &[String]) -> Result<Vec<Val>, RunError> {
    if !ty
        .params()
        .chain(ty.results())
        .all(|ty| values::has_text(&ty))
    {
        return Err(RunError::UnsupportedSignature {
            function: excerpt(function),
            signature: excerpt(&ty.to_string()),
            text_forms: "only i32, i64, f32 and f64 have a text form",
        });
    }
    if ty.params().len() != args.len() {
        return Err(RunError::ArgumentCount {
            function: excerpt(function),
            expected: ty.params().map(|ty| ty.to_string()).collect(),
            got: args.len(),
        });
    }
    let args = ty.params().zip(args).enumerate();
    args.map(|(index, (ty, arg))| {
        values::parse(&ty, arg).ok_or_else(|| RunError::ArgumentType {
            index,
            expected: ty.to_string(),
            got: excerpt(arg),
        })
    })
    .collect()
}
