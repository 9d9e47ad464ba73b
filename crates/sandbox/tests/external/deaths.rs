//! The death of the proplet, in whose place another process of this test runs a guest.

use std::process::{Command, Stdio};

use propeller_sandbox::Runtime;

use crate::support::{find, job, marked, start, unique, until};

/// Names the mark of the guest, in the process that is to die.
const MARK: &str = "PROPELLER_TEST_EXTERNAL_MARK";

/// Does nothing, unless it runs in the process that is to die.
#[tokio::test]
async fn the_process_that_dies() {
    let Some(mark) = std::env::var_os(MARK) else {
        return;
    };
    let Some(program) = find("wasmtime") else {
        return;
    };
    let runtime = start(&program, None).expect("the runtime starts");
    let spin = r#"(module (func (export "_start") (loop $again (br $again))))"#;
    let mut job = job(spin, "_start", &[mark.to_str().expect("text")]);
    job.limits.fuel.value = u64::MAX;
    job.limits.wall_ms.value = 60_000;
    runtime.run(job).await.ok();
}

#[tokio::test]
async fn a_guest_dies_with_the_proplet() {
    if find("wasmtime").is_none() {
        return;
    }
    let mark = format!("death-{}", unique());
    let mut proplet = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "deaths::the_process_that_dies"])
        .env(MARK, &mark)
        .stdout(Stdio::null())
        .spawn()
        .expect("another process of this test");
    until(|| marked(&mark) > 0).await;
    proplet.kill().expect("it is killed as by `kill -9`");
    proplet.wait().expect("it is gone");
    until(|| marked(&mark) == 0).await;
}
