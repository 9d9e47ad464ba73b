//! The process that compiles: one module, once.

use std::fmt::Display;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{ARGUMENT, Answer, Order, Work};
use crate::engine::split;
use crate::process::wire::{MESSAGE_BYTES_MAX, decode, encode};
use crate::process::zygote::{started_by_a_proplet, turn_away};
use crate::process::{lock, memfd, socket, sys};
use crate::runtime::RunError;

/// What runs in place of the compiler where it would have been taken over, if that is what a module
/// is for: only in a build that tests the locks.
pub(in crate::process) type TakenOver = fn(&[u8]) -> Option<String>;

/// Compiles, if that is what this process was started for, and then never returns.
pub(in crate::process) fn enter(taken_over: Option<TakenOver>) {
    let argument = std::env::args_os().nth(1);
    if argument.is_none_or(|argument| argument != ARGUMENT) {
        return;
    }
    if !started_by_a_proplet() {
        turn_away(ARGUMENT);
    }
    let (answer, code) = match work(taken_over) {
        Ok(Some(code)) => (Answer::Compiled, Some(code)),
        Ok(None) => sys::exit(0),
        Err(RunError::Invalid { reason }) => (Answer::Invalid { reason }, None),
        Err(error) => {
            let reason = match &error {
                RunError::Runtime(source) => source.to_string(),
                _ => error.to_string(),
            };
            (Answer::Failed { reason }, None)
        }
    };
    let with: Vec<_> = code.iter().map(AsFd::as_fd).collect();
    say(&answer, &with);
    sys::exit(0)
}

fn say(answer: &Answer, with: &[BorrowedFd<'_>]) {
    // Without anybody who listens there is nothing left to do.
    socket::send(rustix::stdio::stdin(), &encode(answer), with).ok();
}

/// Compiled code, in a memory file; nothing if it is only asked what holds it.
fn work(taken_over: Option<TakenOver>) -> Result<Option<OwnedFd>, RunError> {
    sys::close_from(3).map_err(host)?;
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let mut with = Vec::new();
    let stdin = rustix::stdio::stdin();
    let len = socket::receive(stdin, &mut buffer, &mut with).map_err(host)?;
    let order: Option<Order> = decode(&buffer[..len]);
    let order = order.ok_or_else(|| host("an order that means nothing here"))?;
    let result = memfd::empty("code").map_err(host)?;
    let mechanisms = lock::compiler(order.memory_bytes_max, order.cpu_seconds_max).map_err(host)?;
    say(&Answer::Locked { mechanisms }, &[]);
    let Some(Work { target, wasm_len }) = order.work else {
        return Ok(None);
    };
    let module = with
        .pop()
        .ok_or_else(|| host("an order without its module"))?;
    let wasm_len = usize::try_from(wasm_len).map_err(host)?;
    let wasm = memfd::contents(&module, wasm_len).map_err(host)?;
    if let Some(told) = taken_over.and_then(|run| run(&wasm)) {
        return Err(host(told));
    }
    let code = split::compiled(target, &wasm)?;
    memfd::fill(&result, &[&code]).map_err(host)?;
    Ok(Some(result))
}

fn host(error: impl Display) -> RunError {
    RunError::Runtime(std::sync::Arc::from(Box::from(error.to_string())))
}
