//! What holds where modules are compiled on threads.

use std::time::Duration;

use propeller_sandbox::{EngineConfig, Runtime};

use crate::bounds::long;
use crate::runtime::{runtime, with};
use crate::support::{CONFIG, line, until};

#[tokio::test]
async fn nobody_waits_longer_for_the_compiler_than_the_operator_says() {
    let runtime = with(EngineConfig {
        compile_max: Duration::ZERO,
        ..CONFIG
    });
    let refused =
        "error: limit: compile time 0 ms (set by proplet): the module is not compiled yet";
    assert_eq!(line(&runtime.run(long()).await), refused);
}

#[tokio::test]
async fn a_compilation_that_has_begun_goes_on_for_whoever_asks_next() {
    let runtime = runtime();
    tokio::select! {
        biased;
        () = until(|| runtime.compilations() == 1) => {}
        _ = runtime.run(long()) => {}
    }
    assert_eq!(line(&runtime.run(long()).await), "nothing");
    assert_eq!(runtime.compilations(), 1);
}
