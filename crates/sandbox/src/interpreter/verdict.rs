//! How a guest ended, judged by the error that ended it.

use std::sync::Arc;

use propeller_model::Limits;
use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{Error, TrapCode};

use super::memory::MemoryMeter;
use super::wasi::Fail;
use crate::exit::{Limit, LimitHit, Status, Trap};
use crate::runtime::RunError;

/// What `error` says about the guest; an error if it says nothing about the guest but something
/// about the host.
pub(super) fn status(
    error: Error,
    memory: &MemoryMeter,
    limits: &Limits,
) -> Result<Status, RunError> {
    let hit = |limit| Ok(Status::LimitHit(LimitHit::new(limit, limits)));
    // wasmi's error says only that somebody refused.
    if let Some(limit) = memory.exceeded() {
        return hit(limit);
    }
    match error.downcast_ref::<Fail>() {
        Some(&Fail::Exceeded(limit)) => return hit(limit),
        Some(&Fail::Exit(code)) => return Ok(Status::Exited(code)),
        Some(Fail::Trap(reason)) => return Ok(trapped(Trap::HostCall, reason)),
        Some(why @ Fail::Chunks(_)) => return Ok(trapped(Trap::Chunks, &why.to_string())),
        Some(Fail::Errno(_) | Fail::Wait(_)) | None => {}
    }
    match trap(&error) {
        Some(TrapCode::OutOfFuel) => hit(Limit::Fuel),
        Some(TrapCode::StackOverflow) => hit(Limit::Stack),
        Some(code) => match reason(code) {
            Some(reason) => Ok(trapped(kind(code), reason)),
            None => Err(RunError::Runtime(Arc::new(error))),
        },
        None => Err(RunError::Runtime(Arc::new(error))),
    }
}

fn trap(error: &Error) -> Option<TrapCode> {
    match error.kind() {
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => {
            Some(TrapCode::TableOutOfBounds)
        }
        _ => error.as_trap_code(),
    }
}

/// The trap in our words.
fn kind(code: TrapCode) -> Trap {
    match code {
        TrapCode::UnreachableCodeReached => Trap::Unreachable,
        TrapCode::MemoryOutOfBounds => Trap::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds => Trap::TableOutOfBounds,
        TrapCode::IndirectCallToNull => Trap::IndirectCallToNull,
        TrapCode::IntegerDivisionByZero => Trap::DivisionByZero,
        TrapCode::IntegerOverflow => Trap::IntegerOverflow,
        TrapCode::BadConversionToInteger => Trap::BadConversion,
        TrapCode::BadSignature => Trap::BadSignature,
        TrapCode::StackOverflow | TrapCode::OutOfFuel | TrapCode::GrowthOperationLimited => {
            Trap::Other
        }
    }
}

/// What wasmtime says. The host's own failures have no reason.
fn reason(code: TrapCode) -> Option<&'static str> {
    Some(match code {
        TrapCode::UnreachableCodeReached => "wasm trap: wasm `unreachable` instruction executed",
        TrapCode::MemoryOutOfBounds => "wasm trap: out of bounds memory access",
        TrapCode::TableOutOfBounds => "wasm trap: undefined element: out of bounds table access",
        TrapCode::IndirectCallToNull => "wasm trap: uninitialized element",
        TrapCode::IntegerDivisionByZero => "wasm trap: integer divide by zero",
        TrapCode::IntegerOverflow => "wasm trap: integer overflow",
        TrapCode::BadConversionToInteger => "wasm trap: invalid conversion to integer",
        TrapCode::BadSignature => "wasm trap: indirect call type mismatch",
        TrapCode::StackOverflow | TrapCode::OutOfFuel | TrapCode::GrowthOperationLimited => {
            return None;
        }
    })
}

/// wasmi keeps neither names nor a backtrace.
fn trapped(trap: Trap, reason: &str) -> Status {
    Status::Trapped {
        trap,
        message: reason.to_owned(),
    }
}
