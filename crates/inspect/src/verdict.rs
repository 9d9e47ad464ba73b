//! Whether Propeller can run a module, and how.

use std::fmt;

use crate::report::Found;
use crate::text::name;

/// Arguments that a suggestion spells out. More do not fit a line.
const ARGS_MAX: usize = 6;

/// Whether Propeller can run a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It can, in this way.
    Runs(Call),
    /// It cannot, for these reasons; there is at least one.
    Refused(Vec<Obstacle>),
}

/// How to call a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// It is started with arguments of its own.
    Command,
    /// It serves HTTP until it is stopped, as a daemon with a port.
    Service,
    /// Its input is split, executed chunk by chunk, and merged.
    Chunks,
    /// An exported function is called.
    Function {
        /// One that can be called, or `NAME` if no name is easily typed.
        name: String,
        /// What stands for its arguments.
        args: Vec<String>,
    },
}

/// Why Propeller cannot run a module.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// It uses a proposal that the sandbox has switched off.
    SwitchedOff {
        /// Name of the proposal.
        proposal: String,
    },
    /// It is made for another version of WASI.
    OtherVersion {
        /// The interface that it exports.
        interface: String,
    },
    /// It imports what Propeller does not offer.
    Missing {
        /// The first of them.
        import: String,
        /// How many others.
        more: u64,
    },
    /// It exports no function that can be called with text.
    NothingToCall,
}

impl Call {
    /// The command line of `propeller` that runs `file`, a path as a shell takes it.
    #[must_use]
    pub fn command_line(&self, file: &str) -> String {
        match self {
            Self::Command => format!("propeller run {file} -- ARGS"),
            Self::Service => format!(
                "propeller tasks create NAME --file {file} --daemon --grant-port PORT --start"
            ),
            Self::Chunks => format!("propeller run {file} --stdin INPUT"),
            Self::Function { name, args } if args.is_empty() => {
                format!("propeller run {file} --invoke {name}")
            }
            Self::Function { name, args } => {
                format!("propeller run {file} --invoke {name} -- {}", args.join(" "))
            }
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SwitchedOff { proposal } => {
                write!(f, "it uses {proposal}, which Propeller has switched off")
            }
            Self::OtherVersion { interface } => {
                write!(
                    f,
                    "it is made for {interface}, and Propeller has version 0.2"
                )
            }
            Self::Missing { import, more: 0 } => {
                write!(f, "it imports {import}, which Propeller does not offer")
            }
            Self::Missing { import, more } => write!(
                f,
                "it imports {import} and {more} more that Propeller does not offer"
            ),
            Self::NothingToCall => {
                f.write_str("it exports no function whose arguments can be written as text")
            }
        }
    }
}

/// What follows from what was found.
pub(crate) fn verdict(found: &Found, switched_off: Option<String>) -> Verdict {
    let mut obstacles = Vec::new();
    if let Some(interface) = found.other_version.clone() {
        obstacles.push(Obstacle::OtherVersion { interface });
    }
    if let Some(proposal) = switched_off {
        obstacles.push(Obstacle::SwitchedOff { proposal });
    }
    if let Some(import) = found.missing.items.first() {
        obstacles.push(Obstacle::Missing {
            import: import.clone(),
            more: found.missing.total() - 1,
        });
    }
    match &found.call {
        Some(call) if obstacles.is_empty() => Verdict::Runs(call.clone()),
        None if obstacles.is_empty() => Verdict::Refused(vec![Obstacle::NothingToCall]),
        _ => Verdict::Refused(obstacles),
    }
}

/// The function to suggest: the first with a short name that is for callers, else the first of
/// all.
#[derive(Debug, Default)]
pub(crate) struct Suggestion {
    best: Option<Call>,
    other: Option<Call>,
}

impl Suggestion {
    /// Takes a function that can be called into consideration.
    pub(crate) fn offer(&mut self, function: &str, args: impl Iterator<Item = String>) {
        if self.best.is_some() {
            return;
        }
        let call = || Call::Function {
            name: function.to_owned(),
            args: shown(args),
        };
        if !is_typed(function) {
            let anything = Call::Function {
                name: "NAME".to_owned(),
                args: vec!["ARGS".to_owned()],
            };
            self.other.get_or_insert(anything);
        } else if function.contains('#') || is_plumbing(function) {
            self.other.get_or_insert_with(call);
        } else {
            self.best = Some(call());
        }
    }

    pub(crate) fn call(self) -> Option<Call> {
        self.best.or(self.other)
    }
}

fn shown(mut args: impl Iterator<Item = String>) -> Vec<String> {
    let mut shown: Vec<_> = args.by_ref().take(ARGS_MAX).map(|arg| name(&arg)).collect();
    if args.next().is_some() {
        shown.push("...".to_owned());
    }
    shown
}

/// Whether a shell takes `text` for one word and itself.
fn is_typed(text: &str) -> bool {
    const LEN_MAX: usize = 100;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@#".contains(&byte);
    text.len() <= LEN_MAX
        && text.bytes().all(plain)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
}

/// What compilers export for themselves.
fn is_plumbing(function: &str) -> bool {
    function.starts_with('_')
        || function.starts_with("cabi_")
        || ["malloc", "free", "calloc", "realloc", "alloc", "dealloc"].contains(&function)
}
