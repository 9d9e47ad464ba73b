//! Which engine runs guests, of those that this program was built with.

use std::fmt;
use std::str::FromStr;

/// What runs guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// wasmtime: guests are compiled.
    Wasmtime,
    /// wasmi: guests are interpreted.
    Interpreter,
}

/// The engines of this program, the one that is chosen by itself first.
pub const BUILT_IN: &[Engine] = &[
    #[cfg(feature = "wasmtime")]
    Engine::Wasmtime,
    #[cfg(feature = "interpreter")]
    Engine::Interpreter,
];

/// The engine where nothing is configured.
pub(crate) const DEFAULT: &str = BUILT_IN[0].name();

/// What `--version` says: the version, and which engines there are.
pub const VERSION: &str = match BUILT_IN {
    [_, _] => concat!(
        env!("CARGO_PKG_VERSION"),
        "\nengines: wasmtime, interpreter"
    ),
    [Engine::Wasmtime, ..] => concat!(env!("CARGO_PKG_VERSION"), "\nengines: wasmtime"),
    _ => concat!(env!("CARGO_PKG_VERSION"), "\nengines: interpreter"),
};

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Wasmtime => "wasmtime",
            Self::Interpreter => "interpreter",
        }
    }

    /// What the manager hears, in upstream's form.
    pub(crate) fn runtime_name(self) -> &'static str {
        match self {
            Self::Wasmtime => "wasmtime-internal",
            Self::Interpreter => "wasmi-internal",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no engine of this program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// There is no such engine.
    #[error("write `wasmtime` or `interpreter`")]
    Unknown,
    /// There is, and this program was built without it.
    #[error("this proplet was built without it; it has {}", names())]
    NotBuiltIn,
}

impl FromStr for Engine {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = [Self::Wasmtime, Self::Interpreter];
        let named = known.into_iter().find(|engine| engine.name() == name);
        let engine = named.ok_or(EngineError::Unknown)?;
        match BUILT_IN.contains(&engine) {
            true => Ok(engine),
            false => Err(EngineError::NotBuiltIn),
        }
    }
}

fn names() -> String {
    let names: Vec<&str> = BUILT_IN.iter().map(|engine| engine.name()).collect();
    names.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_known_by_its_name() {
        for engine in BUILT_IN {
            assert_eq!(engine.to_string().parse(), Ok(*engine));
        }
        assert_eq!("v8".parse::<Engine>(), Err(EngineError::Unknown));
    }

    #[cfg(not(feature = "wasmtime"))]
    #[test]
    fn an_engine_that_is_not_there_cannot_be_chosen() {
        let refused = "wasmtime".parse::<Engine>().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "this proplet was built without it; it has interpreter"
        );
    }
}
