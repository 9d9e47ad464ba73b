//! How a guest ended, judged by the error that ended it.

use std::char::CharTryFromError;
use std::fmt::{Display, Write};
use std::str::Utf8Error;
use std::sync::Arc;

use propeller_model::Limits;
use wasmtime::component::ResourceTableError;
use wasmtime::{OutOfMemory, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::excerpt::{excerpt, excerpt_of};
use crate::chunks::ListError;
use crate::exit::{Inconclusive, Limit, LimitHit, Status};
use crate::runtime::RunError;

/// A limit that the host's own code found exceeded. It travels through wasmtime as the error that
/// ends the guest.
#[derive(Debug, thiserror::Error)]
#[error("limit exceeded: {0}")]
pub(super) struct Exceeded(pub(super) Limit);

/// The host has no memory for what a guest may have.
#[derive(Debug, thiserror::Error)]
#[error("the host has no memory left")]
pub(super) struct HostMemory;

/// How wasmtime's error begins that says so; it has no type of its own.
const COPIES_TOO_MUCH: &str = "too much data is being copied between the host and the guest";

/// What `error` says about the guest; an error if it says nothing about the guest but something
/// about the host.
pub(super) fn status(error: wasmtime::Error, limits: &Limits) -> Result<Status, RunError> {
    let hit = |limit| Ok(Status::LimitHit(LimitHit::new(limit, limits)));
    if let Some(&Exceeded(limit)) = error.downcast_ref() {
        return hit(limit);
    }
    if let Some(why) = error.downcast_ref::<ListError>() {
        let why = format_args!("`split` gave no list of chunks: {why}");
        return Ok(trapped(crate::Trap::Chunks, &why, &error));
    }
    if error.is::<HostMemory>() || error.is::<OutOfMemory>() {
        return Ok(Status::Inconclusive(Inconclusive::HostMemory));
    }
    if error.root_cause().to_string().starts_with(COPIES_TOO_MUCH) {
        return hit(Limit::HostCopy);
    }
    if let Some(&I32Exit(code)) = error.downcast_ref() {
        return Ok(Status::Exited(code));
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return hit(Limit::Handles);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => hit(Limit::Fuel),
        Some(Trap::StackOverflow) => hit(Limit::Stack),
        Some(trap) => Ok(trapped(kind(*trap), trap, &error)),
        // An error with a backtrace left a function of the host that the guest had called.
        None if error.is::<WasmBacktrace>() => {
            Ok(trapped(crate::Trap::HostCall, error.root_cause(), &error))
        }
        // What a component gives back is read when none of its functions is active any more.
        None if error.is::<CharTryFromError>() || error.is::<Utf8Error>() => Ok(trapped(
            crate::Trap::ComponentRule,
            &format_args!("a result is no value of its type: {}", error.root_cause()),
            &error,
        )),
        None => Err(RunError::Runtime(Arc::from(error.into_boxed_dyn_error()))),
    }
}

/// The traps that somebody can do something about; wasmtime has many that only its host can cause.
fn kind(trap: Trap) -> crate::Trap {
    match trap {
        Trap::UnreachableCodeReached => crate::Trap::Unreachable,
        Trap::MemoryOutOfBounds | Trap::HeapMisaligned => crate::Trap::MemoryOutOfBounds,
        Trap::TableOutOfBounds => crate::Trap::TableOutOfBounds,
        Trap::IndirectCallToNull => crate::Trap::IndirectCallToNull,
        Trap::BadSignature => crate::Trap::BadSignature,
        Trap::IntegerDivisionByZero => crate::Trap::DivisionByZero,
        Trap::IntegerOverflow => crate::Trap::IntegerOverflow,
        Trap::BadConversionToInteger => crate::Trap::BadConversion,
        Trap::AsyncDeadlock => crate::Trap::Deadlock,
        Trap::CannotEnterComponent
        | Trap::CannotLeaveComponent
        | Trap::CannotBlockSyncTask
        | Trap::InvalidChar
        | Trap::InvalidDiscriminant
        | Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::UnalignedPointer
        | Trap::NoAsyncResult => crate::Trap::ComponentRule,
        _ => crate::Trap::Other,
    }
}

fn trapped(trap: crate::Trap, reason: &dyn Display, error: &wasmtime::Error) -> Status {
    let mut message = excerpt(&reason.to_string());
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        for frame in backtrace.frames() {
            let name = frame
                .func_name()
                .map_or_else(|| format!("function {}", frame.func_index()), source_name);
            write!(message, "\n    at {name}").expect("a string takes any text");
        }
    }
    Status::Trapped { trap, message }
}

/// The name of a function as its source has it, if Rust's compiler made it up from that. Those of
/// C++ stay as they are: a short one may stand for more text than anybody has memory for.
fn source_name(name: &str) -> String {
    match rustc_demangle::try_demangle(name) {
        Ok(demangled) => excerpt_of(format_args!("{demangled:#}")),
        Err(_) => excerpt(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_as_in_their_source() {
        for (name, said) in [
            (
                "_RNvNtCs65odhARDMYf_3std7process5abort",
                "std::process::abort",
            ),
            (
                "_ZN4core9panicking5panic17h0123456789abcdefE",
                "core::panicking::panic",
            ),
            ("_Z3addii", "_Z3addii"),
            ("main", "main"),
            ("a\nb", "a\\nb"),
        ] {
            assert_eq!(source_name(name), said);
        }
    }

    #[test]
    fn a_name_that_stands_for_a_book_is_cut() {
        let module = format!("100{}", "m".repeat(100));
        let name = format!("_ZN{}17h0123456789abcdefE", module.repeat(1000));
        let said = source_name(&name);
        assert!(said.starts_with("mmm") && said.len() < 200, "{said}");
    }
}
