//! Which function of a module is called, and with what.

use wasmtime::{ExternType, FuncType, Module, Val};

use super::excerpt::excerpt;
use super::values;
use crate::job::Entry;
use crate::runtime::RunError;

/// The entry point of a WASI command.
const COMMAND: &str = "_start";

/// What a WASI library wants called once, before any of its functions.
const INITIALIZER: &str = "_initialize";

/// What is called when nothing is named, in this order, after the hint.
const DEFAULTS: [&str; 3] = [COMMAND, "main", "run"];

/// How many exports an error lists: enough to find a typing error, too few to fill a screen.
const EXPORTS_LISTED_MAX: usize = 10;

/// A call that its module can take: the function exists and the arguments are its parameters.
pub(super) struct Call {
    pub(super) function: String,
    pub(super) params: Vec<Val>,
    pub(super) results: usize,
    /// The arguments are the guest's `argv[1..]`, and coming back is an exit with 0.
    pub(super) command: bool,
    /// What to call first.
    pub(super) initializer: Option<&'static str>,
}

impl Call {
    /// The call that `entry` and `args` ask for.
    pub(super) fn resolve(
        module: &Module,
        entry: &Entry,
        args: &[String],
    ) -> Result<Self, RunError> {
        let (function, ty) = chosen(module, entry)?;
        let command = function == COMMAND && takes_and_gives_nothing(&ty);
        let params = if command {
            Vec::new()
        } else {
            params(function, &ty, args)?
        };
        Ok(Self {
            params,
            results: ty.results().len(),
            command,
            initializer: initializer(module, function),
            function: function.to_owned(),
        })
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
