//! Which function is called, and with what.

use wasmtime::{Engine, FuncType, Instance, InstancePre, Module, Store, Val};

use super::chunked::ChunkedCall;
use super::code::Code;
use super::component::ComponentCall;
use super::guest::Guest;
use super::values;
use crate::exports::{self, COMMAND, INITIALIZER};
use crate::job::Job;
use crate::numbers;
use crate::runtime::RunError;

/// A call that its code can take: the function exists and the arguments are its parameters.
pub(super) enum Call {
    Module(ModuleCall),
    Chunked(ChunkedCall),
    Component(ComponentCall),
}

/// What came back from a guest that ended by itself.
pub(super) enum Returned {
    /// A command, with its exit code.
    Exited(i32),
    /// A function, with its results as text.
    Value(Option<String>),
    /// A job in chunks, with bytes for its standard output.
    Bytes(Vec<u8>),
}

impl Call {
    /// The call that `job` asks for.
    pub(super) fn resolve(code: &Code, job: &Job) -> Result<Self, RunError> {
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
            Self::Module(call) => call.command,
            Self::Chunked(_) => false,
            Self::Component(call) => call.command,
        }
    }

    /// Whether its code imports anything.
    pub(super) fn imports(&self) -> bool {
        match self {
            Self::Module(call) => call.linked.module().imports().len() > 0,
            Self::Chunked(call) => call.imports(),
            Self::Component(call) => call.imports(),
        }
    }

    /// Makes the call in a fresh store.
    pub(super) async fn drive(&self, store: &mut Store<Guest>) -> wasmtime::Result<Returned> {
        match self {
            Self::Module(call) => call.drive(store).await,
            Self::Chunked(call) => call.drive(store).await,
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
        let exported = |name: &str| exported(module, name);
        let (function, ty) = exports::chosen(&job.entry, exported, functions(module))?;
        let signature = values::signature(&ty);
        let command = function == COMMAND && signature.takes_and_gives_nothing();
        let params = if command {
            Vec::new()
        } else {
            let params = signature.arguments(function, &ty, &job.args)?;
            params.into_iter().map(values::value).collect()
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
            initialize(&mut *store, instance, name).await?;
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
        let results: Vec<_> = results.iter().map(values::number).collect();
        Ok(Returned::Value(numbers::render(&results)))
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
