//! What to do about an end that nobody wanted: one sentence, the next step, nothing of the guest's.

use propeller_model::SetBy;

use crate::exit::{Inconclusive, Limit, LimitHit, Status, Trap};
use crate::runtime::RunError;

/// How the message of a trap names a function, where it names some.
const FRAME: &str = "\n    at ";

impl Status {
    /// What to do about it; nothing if it is how guests should end, or if the guest says it better.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Returned | Self::Exited(_) => None,
            Self::Trapped { trap, message } if message.contains(FRAME) => Some(trap.hint()),
            Self::Trapped { trap, .. } => Some(trap.hint_without_backtrace()),
            Self::LimitHit(hit) | Self::Inconclusive(Inconclusive::LimitHit(hit)) => {
                Some(hit.hint())
            }
            Self::Inconclusive(Inconclusive::HostMemory) => {
                Some("run it again, or on a machine with more memory")
            }
        }
    }
}

impl Trap {
    /// What to do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "a panic, an abort or a failed assertion ends like this; \
                 what the guest wrote to standard error says why"
            }
            Self::MemoryOutOfBounds => {
                "the guest used a wrong pointer or index: build it with debug assertions or a \
                 sanitizer and run it again"
            }
            Self::TableOutOfBounds | Self::IndirectCallToNull => {
                "the guest called through a function pointer that points nowhere, such as one that \
                 was never set: look at the function that the backtrace names first"
            }
            Self::BadSignature => {
                "the guest called a function through a pointer of another type: look for casts of \
                 function pointers, and for libraries that were built against other headers"
            }
            Self::DivisionByZero => {
                "the guest divided an integer by zero: check its arguments and input"
            }
            Self::IntegerOverflow => {
                "a result does not fit its type, such as the smallest integer divided by -1: check \
                 the guest's arguments and input"
            }
            Self::BadConversion => {
                "the guest made an integer of a number that is NaN, infinite or too large: check its \
                 arguments and input"
            }
            Self::Deadlock => {
                "the guest waits for what nothing can bring: look for a read of a stream or a future \
                 that nobody writes"
            }
            Self::ComponentRule => {
                "the component breaks a rule of the component model: build it again with current \
                 versions of its tools"
            }
            Self::HostCall => {
                "a call of the guest into its host failed, as the first line says: see what guests \
                 are offered with `propeller inspect FILE`"
            }
            Self::Chunks => {
                "let `split` give a count, then length and bytes of each chunk, all numbers as u32, \
                 little-endian: docs/formats/chunks.md"
            }
            Self::Other => {
                "look at the function that the backtrace names first; a build with debug information \
                 in its name section names more"
            }
        }
    }
}

impl Trap {
    /// What to do about it where nothing names the functions that were active: the interpreter and
    /// some external runtimes have no backtrace.
    fn hint_without_backtrace(self) -> &'static str {
        match self {
            Self::TableOutOfBounds | Self::IndirectCallToNull => {
                "the guest called through a function pointer that points nowhere, such as one that \
                 was never set; a proplet with PROPLET_ENGINE=wasmtime names the functions"
            }
            Self::Other => {
                "to see the functions that were active, which this runtime does not name, run it on \
                 a proplet with its own engine, PROPLET_ENGINE=wasmtime"
            }
            named => named.hint(),
        }
    }
}

impl LimitHit {
    /// What to do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match (self.limit, self.bound.set_by) {
            // Standard output may have more than these, so that a task may ask for what they lack.
            (Limit::Stderr, SetBy::Proplet) => {
                "print it to standard output, which may have more in an object store: here it has at \
                 most PROPLET_MAX_OUTPUT, however much a task asks for with --output-limit"
            }
            (Limit::Result, SetBy::Proplet) => {
                "print the result, which may have more in an object store: here it has at most \
                 PROPLET_MAX_OUTPUT, however much a task asks for with --output-limit"
            }
            (limit, _) => limit.hint(),
        }
    }
}

impl Limit {
    /// What to do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Memory => {
                "let the task have more with --memory, up to what its proplet allows \
                 (PROPLET_MAX_MEMORY)"
            }
            Self::Fuel => {
                "if the guest is not in an endless loop, let the task have more with --fuel, up to \
                 what its proplet allows (PROPLET_MAX_FUEL)"
            }
            Self::WallClock => {
                "if the guest does not wait for ever, let the task have more time with --timeout, up \
                 to what its proplet allows (PROPLET_MAX_WALL), or make it a daemon"
            }
            Self::Stack => {
                "look for a recursion without an end, or for very large values on the stack, which \
                 cannot be made larger"
            }
            Self::Stdout => {
                "let the task print more with --output-limit, up to what its proplet allows \
                 (PROPLET_MAX_OUTPUT; with an object store, PROPLET_MAX_STORED_OUTPUT), or make it a \
                 daemon, which may print for ever"
            }
            Self::Stderr => {
                "let the task print more with --output-limit, up to what its proplet allows \
                 (PROPLET_MAX_OUTPUT), or make it a daemon, which may print for ever"
            }
            Self::Result => {
                "let the task return more with --output-limit, up to what its proplet allows \
                 (PROPLET_MAX_OUTPUT), or print the result"
            }
            Self::Memories => {
                "the component is made of very many modules: put those together that belong together"
            }
            Self::TableElements => {
                "no program needs a larger table: look for a loop that makes one grow without an end"
            }
            Self::HostCopy => {
                "let the guest take and give less at a time: a stream, a file or several calls in \
                 place of one long list or text"
            }
            Self::Handles => {
                "the guest opens streams or timers and does not close them: close them, or ask the \
                 proplet's operator for more (PROPLET_MAX_HANDLES)"
            }
        }
    }
}

impl RunError {
    /// What to do about it, where the error itself does not say.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotWasm => "see what the file is with `propeller inspect FILE`",
            // As the parser says it of every one of them.
            Self::Invalid { reason }
                if ["must be enabled", "not enabled"]
                    .iter()
                    .any(|it| reason.contains(it)) =>
            {
                "it is valid with a proposal that Propeller has switched off: build it without; \
                 `propeller inspect FILE` names it"
            }
            Self::Invalid { .. } => {
                "copy or build the module again; `propeller inspect FILE` says more"
            }
            Self::MissingExport { .. } => {
                "name one of them with --invoke, or see all with `propeller inspect FILE`"
            }
            Self::MissingImport { module, .. } => missing_import(module),
            // Of the two ways to give arguments to a task, one cuts lists and texts apart.
            Self::ArgumentCount { .. } => {
                "see the types with `propeller inspect FILE`; of `tasks create`, --inputs splits at \
                 commas, and --arg VALUE does not"
            }
            Self::ArgumentType { .. } => "see the types with `propeller inspect FILE`",
            Self::ArgumentsTooLong { .. } => "pass what is large on standard input",
            Self::StdinTooLong { .. } => {
                "a module that reads its standard input itself takes any length of it with --profile \
                 pure; otherwise create several tasks, each with a part"
            }
            Self::StdinTime(_) => Limit::WallClock.hint(),
            Self::TooLarge { .. } => "optimise the module for size and strip it",
            Self::ConvertsText { .. } => {
                "ask for less with --memory, build all parts of the component for UTF-8, or send it to a \
                 proplet with PROPLET_ISOLATION=process"
            }
            Self::CopiesAtOneGo { .. } => {
                "ask for less with --memory, or send it to a proplet with PROPLET_ISOLATION=process"
            }
            Self::Instances { .. } => {
                "put modules together that belong together, and see what the component is made of \
                 with `propeller inspect FILE`"
            }
            Self::ServiceNotDaemon => "create the task with --daemon and --grant-port PORT",
            Self::ServiceWithoutPort => {
                "ask for one with --grant-port PORT; the proplet's operator has to allow it \
                 (PROPLET_POLICY_FILE)"
            }
            Self::Listen { .. } => {
                "something else listens there, or only root may: ask for another port with \
                 --grant-port"
            }
            Self::Killed { .. } => {
                "see in the machine's log (`journalctl -k`) who ended it: if memory ran out, run fewer \
                 guests at a time or give them less; otherwise raise the proplet's own limit \
                 (`ulimit -t`)"
            }
            Self::Escaped | Self::Forged => {
                "do not run this module again; its bytes are evidence: tell the proplet's operator"
            }
            // Its program is built without, whatever a module is called with.
            Self::External { runtime, what } if runtime == "wasmi" && what.contains("SIMD") => {
                "wasmi's program knows no SIMD: build the module without it (simd128), or send it to \
                 a proplet with its own engine or another PROPLET_EXTERNAL_WASM_RUNTIME"
            }
            _ => return None,
        })
    }
}

/// Imports of well-known origin are missing for well-known reasons.
fn missing_import(module: &str) -> &'static str {
    match module {
        "wasi_snapshot_preview1" => {
            "this version of WASI preview 1 has no such function: build the module with a current \
             WASI SDK"
        }
        "wasi_unstable" => "the module is for a WASI before preview 1: build it for wasm32-wasip1",
        "env" => {
            "the module was linked with functions left open, as for Emscripten or a browser: build \
             it for wasm32-wasip1, and link everything it calls"
        }
        "wbg" | "__wbindgen_placeholder__" => {
            "the module was made for a browser by wasm-bindgen: build it for wasm32-wasip1"
        }
        name if name.starts_with("wasi:") => {
            "guests are not offered this part of WASI; see what the module needs with `propeller \
             inspect FILE`"
        }
        _ => {
            "guests get WASI and nothing else: see what the module needs with `propeller inspect \
             FILE`"
        }
    }
}

#[cfg(test)]
mod tests;
