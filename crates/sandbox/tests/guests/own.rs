//! What holds where modules are compiled on threads.

use std::time::Duration;

use propeller_sandbox::{EngineConfig, Runtime};

use crate::bounds::long;
use crate::runtime::with;
use crate::support::{CONFIG, line};

#[tokio::test]
async fn a_compilation_that_nobody_waits_for_any_more_goes_on() {
    let runtime = with(EngineConfig {
        compile_max: Duration::ZERO,
        ..CONFIG
    });
    let refused =
        "error: limit: compile time 0 ms (set by proplet): the module is not compiled yet";
    assert_eq!(line(&runtime.run(long()).await), refused);
    // Whoever comes when it is over need not wait.
    while line(&runtime.run(long()).await) == refused {
        tokio::task::yield_now().await;
    }
    assert_eq!(line(&runtime.run(long()).await), "nothing");
    assert_eq!(runtime.compilations(), 1);
}
