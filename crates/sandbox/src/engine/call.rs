//! Which function is called, and with what.

use wasmtime::{Engine, Extern, FuncType, Instance, InstancePre, Module, ModuleExport, Store, Val};

use super::chunked::ChunkedCall;
use super::code::Code;
use super::component::ComponentCall;
use super::guest::Guest;
use super::output::Output;
use super::remembered::{self, Remembered};
use super::values;
use crate::chunks::Step;
use crate::exports::{self, COMMAND, INITIALIZER};
use crate::job::{Entry, Job};
use crate::numbers::{self, Signature};
use crate::runtime::RunError;

/// A call that its code can take: the function exists and the arguments are its parameters.
pub(super) enum Call<'code> {
    Module(ModuleCall<'code>),
    Chunked(ChunkedCall<'code>),
    Component(ComponentCall<'code>),
}

/// What came back from a guest that ended by itself.
pub(super) enum Returned {
    /// A command, with its exit code.
    Exited(i32),
    /// A function, with its results as text, or a job in chunks, which has printed its result.
    Value(Option<String>),
}

impl<'code> Call<'code> {
    /// The call that `job` asks for.
    pub(super) fn resolve(code: &'code Code, job: &Job) -> Result<Self, RunError> {
        match code {
            Code::Module(linked) => match ChunkedCall::resolve(linked, job) {
                Some(call) => Ok(Self::Chunked(call)),
                None => ModuleCall::resolve(linked, job).map(Self::Module),
            },
            Code::Component(linked) => ComponentCall::resolve(linked, job).map(Self::Component),
        }
    }

    /// The engine that its code was compiled for.
    pub(super) fn engine(&self) -> &Engine {
        match self {
            Self::Module(call) => call.linked.module().engine(),
            Self::Chunked(call) => call.engine(),
            Self::Component(call) => call.engine(),
        }
    }

    /// Whether the arguments are the guest's `argv[1..]`, and coming back is an exit.
    pub(super) fn is_command(&self) -> bool {
        match self {
            Self::Module(call) => call.function.command,
            Self::Chunked(_) => false,
            Self::Component(call) => call.is_command(),
        }
    }

    /// Whether its code imports anything.
    pub(super) fn imports(&self) -> bool {
        match self {
            Self::Module(call) => call.linked.imports,
            Self::Chunked(call) => call.imports(),
            Self::Component(call) => call.imports(),
        }
    }

    /// Whether the guest's input goes into its memory before it runs, so that all of it has to be
    /// there.
    pub(super) fn takes_stdin_as_a_whole(&self) -> bool {
        matches!(self, Self::Chunked(_))
    }

    /// Makes the call in a fresh store.
    pub(super) async fn drive(
        &self,
        store: &mut Store<Guest>,
        job: &Job,
        stdout: &Output,
    ) -> wasmtime::Result<Returned> {
        match self {
            Self::Module(call) => call.drive(store).await,
            // Boxed, because they would make the future of every call of a module larger.
            Self::Chunked(call) => {
                let input = job.stdin.whole().cloned();
                Box::pin(call.drive(store, input.unwrap_or_default(), stdout)).await
            }
            Self::Component(call) => {
                Box::pin(call.drive(store, job.limits.result_bytes.value)).await
            }
        }
    }
}

/// A linked core module, and what is looked at for every job.
pub(super) struct LinkedModule {
    pub(super) code: InstancePre<Guest>,
    /// Whether it imports anything.
    pub(super) imports: bool,
    /// Whether it may have jobs in chunks: most modules have no such function.
    pub(super) splits: bool,
    functions: Remembered<Function>,
}

/// A function of a module, and which jobs mean it.
struct Function {
    entry: Entry,
    name: String,
    export: ModuleExport,
    ty: FuncType,
    signature: Signature,
    command: bool,
    /// What to call first.
    initializer: Option<&'static str>,
}

impl LinkedModule {
    pub(super) fn new(code: InstancePre<Guest>) -> Self {
        let imports = code.module().imports().len() > 0;
        let splits = exported(code.module(), Step::Split.name()).is_some();
        Self {
            code,
            imports,
            splits,
            functions: Remembered::default(),
        }
    }

    pub(super) fn module(&self) -> &Module {
        self.code.module()
    }

    /// The function that `entry` asks for.
    fn function(&self, entry: &Entry) -> Result<remembered::Function<'_, Function>, RunError> {
        let is = |function: &Function| function.entry == *entry;
        let find = || Function::find(self.module(), entry);
        self.functions.get(is, find)
    }
}

impl Function {
    fn find(module: &Module, entry: &Entry) -> Result<Self, RunError> {
        let exported = |name: &str| {
            let ty = exported(module, name)?;
            Some((ty, module.get_export_index(name)?))
        };
        let (name, (ty, export)) = exports::chosen(entry, exported, functions(module))?;
        let signature = values::signature(&ty);
        Ok(Self {
            entry: entry.clone(),
            name: name.to_owned(),
            export,
            command: name == COMMAND && signature.takes_and_gives_nothing(),
            initializer: initializer(module, name),
            signature,
            ty,
        })
    }
}

/// A call of a core module's function.
pub(super) struct ModuleCall<'code> {
    linked: &'code LinkedModule,
    function: remembered::Function<'code, Function>,
    params: Vec<Val>,
}

impl<'code> ModuleCall<'code> {
    fn resolve(linked: &'code LinkedModule, job: &Job) -> Result<Self, RunError> {
        let function = linked.function(&job.entry)?;
        let params = if function.command {
            Vec::new()
        } else {
            let Function {
                name,
                ty,
                signature,
                ..
            } = &*function;
            signature.arguments(name, ty, &job.args, values::value)?
        };
        Ok(Self {
            linked,
            function,
            params,
        })
    }

    async fn drive(&self, store: &mut Store<Guest>) -> wasmtime::Result<Returned> {
        let instance = self.linked.code.instantiate_async(&mut *store).await?;
        let Function {
            export,
            signature,
            command,
            initializer,
            ..
        } = &*self.function;
        if let Some(name) = initializer {
            Box::pin(initialize(&mut *store, instance, name)).await?;
        }
        let function = instance.get_module_export(&mut *store, export);
        let function = function.and_then(Extern::into_func);
        let function = function.expect("a call is resolved against its module's exports");
        let mut results = vec![Val::I32(0); signature.results.len()];
        function
            .call_async(store, &self.params, &mut results)
            .await?;
        if *command {
            return Ok(Returned::Exited(0));
        }
        let results = results.iter().map(values::number);
        Ok(Returned::Value(numbers::render(results)))
    }
}

/// Calls the initializer.
pub(super) async fn initialize(
    store: &mut Store<Guest>,
    instance: Instance,
    name: &str,
) -> wasmtime::Result<()> {
    let initializer = instance.get_func(&mut *store, name);
    let initializer = initializer.expect("a call is resolved against its module's exports");
    initializer.call_async(&mut *store, &[], &mut []).await
}

/// The type of the exported function called `name`, if there is one.
pub(super) fn exported(module: &Module, name: &str) -> Option<FuncType> {
    module.get_export(name)?.func().cloned()
}

fn functions(module: &Module) -> impl Iterator<Item = &str> {
    let functions = module
        .exports()
        .filter(|export| export.ty().func().is_some());
    functions.map(|export| export.name())
}

pub(super) fn initializer(module: &Module, function: &str) -> Option<&'static str> {
    if !exports::wants_initializer(function) {
        return None;
    }
    let ty = exported(module, INITIALIZER)?;
    let signature = values::signature(&ty);
    signature.takes_and_gives_nothing().then_some(INITIALIZER)
}
