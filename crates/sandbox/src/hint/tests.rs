//! Every kind of end has a hint that says what to do, or none.

use std::sync::Arc;

use propeller_model::{Bound, Limits};

use super::*;

/// A hint is one short sentence in lower case, without a full stop, that says what to do.
fn check(hint: &str, says: &str) {
    assert!(hint.contains(says), "{hint}");
    assert!(hint.len() <= 200, "{} bytes: {hint}", hint.len());
    assert!(!hint.ends_with('.') && !hint.contains("  "), "{hint}");
    assert!(hint.starts_with(char::is_lowercase), "{hint}");
}

#[test]
fn every_trap_has_a_next_step() {
    for (trap, says) in [
        (Trap::Unreachable, "standard error"),
        (Trap::MemoryOutOfBounds, "pointer or index"),
        (Trap::TableOutOfBounds, "function pointer"),
        (Trap::IndirectCallToNull, "function pointer"),
        (Trap::BadSignature, "pointer of another type"),
        (Trap::DivisionByZero, "by zero"),
        (Trap::IntegerOverflow, "does not fit"),
        (Trap::BadConversion, "NaN"),
        (Trap::Deadlock, "waits"),
        (Trap::ComponentRule, "current versions"),
        (Trap::HostCall, "inspect"),
        (Trap::Chunks, "u32"),
        (Trap::Other, "backtrace"),
    ] {
        check(trap.hint(), says);
    }
}

#[test]
fn no_hint_speaks_of_a_backtrace_that_is_not_there() {
    let trapped = |trap, message: &str| Status::Trapped {
        trap,
        message: message.to_owned(),
    };
    for (trap, says) in [
        (Trap::Unreachable, "standard error"),
        (Trap::TableOutOfBounds, "function pointer"),
        (Trap::IndirectCallToNull, "PROPLET_ENGINE=wasmtime"),
        (Trap::Other, "PROPLET_ENGINE=wasmtime"),
    ] {
        let without = trapped(trap, "wasm trap: reason").hint().unwrap();
        check(without, says);
        assert!(!without.contains("backtrace"), "{without}");
        let with = trapped(trap, "wasm trap: reason\n    at inner");
        assert_eq!(with.hint(), Some(trap.hint()));
    }
}

#[test]
fn every_limit_says_how_to_have_more() {
    for (limit, says) in [
        (Limit::Memory, "--memory"),
        (Limit::Fuel, "--fuel"),
        (Limit::WallClock, "--timeout"),
        (Limit::Stack, "recursion"),
        (Limit::Stdout, "PROPLET_MAX_STORED_OUTPUT"),
        (Limit::Stderr, "--output-limit"),
        (Limit::Result, "--output-limit"),
        (Limit::Handles, "PROPLET_MAX_HANDLES"),
        (Limit::Memories, "modules"),
        (Limit::TableElements, "loop"),
        (Limit::HostCopy, "stream"),
    ] {
        let hit = LimitHit::new(limit, &Limits::default());
        check(Status::LimitHit(hit).hint().unwrap(), says);
    }
}

#[test]
fn nobody_is_told_to_ask_for_what_the_proplet_does_not_give() {
    for limit in [Limit::Stderr, Limit::Result] {
        let bound = Bound {
            value: 1,
            set_by: SetBy::Proplet,
        };
        let hint = LimitHit { limit, bound }.hint();
        check(hint, "at most PROPLET_MAX_OUTPUT");
        let set_by = SetBy::Task;
        let bound = Bound { set_by, ..bound };
        assert_eq!(LimitHit { limit, bound }.hint(), limit.hint());
    }
}

#[test]
fn a_missing_import_is_known_by_where_it_comes_from() {
    for (module, says) in [
        ("wasi_snapshot_preview1", "current WASI SDK"),
        ("wasi_unstable", "wasm32-wasip1"),
        ("env", "left open"),
        ("wbg", "browser"),
        ("wasi:sockets/tcp@0.2.0", "this part of WASI"),
        ("acme", "nothing else"),
    ] {
        let error = RunError::MissingImport {
            module: module.to_owned(),
            name: "f".to_owned(),
        };
        check(error.hint().unwrap(), says);
    }
}

#[test]
fn arguments_that_do_not_fit_in_number_may_have_been_cut_apart() {
    let error = RunError::ArgumentCount {
        function: "total".to_owned(),
        expected: vec!["list<u32>".to_owned()],
        got: 3,
    };
    check(error.hint().unwrap(), "--arg VALUE");
}

#[test]
fn an_end_as_it_should_be_has_no_hint() {
    for status in [Status::Returned, Status::Exited(0), Status::Exited(7)] {
        assert_eq!(status.hint(), None);
    }
    let failed = RunError::Runtime(Arc::new(std::io::Error::other("x")));
    assert_eq!(failed.hint(), None);
    let long = RunError::StdinTooLong { len_max: 1 };
    check(long.hint().unwrap(), "--profile pure");
    check(RunError::Escaped.hint().unwrap(), "evidence");
    let simd = RunError::External {
        runtime: "wasmi".to_owned(),
        what: "cannot run it: unexpected SIMD opcode: 0xfd".to_owned(),
    };
    check(simd.hint().unwrap(), "without it");
    let killed = RunError::Killed {
        signal: "SIGKILL",
        cpu_ms: 5384,
        cpu_seconds_max: None,
    };
    check(killed.hint().unwrap(), "journalctl");
}
