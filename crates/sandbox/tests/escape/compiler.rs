//! A module that has taken over its compiler: the same attempts, there.

use std::path::Path;

use propeller_sandbox::{Job, RunError, Runtime, WasmtimeRuntime};

use crate::attempts::ATTEMPTS;
use crate::table::DONE;
use crate::{ENGINE, Outside, SCAN_WORKS, attempt, told};

/// How a compiler gives its code away, which it therefore can: there is nothing else to send.
pub(crate) const COMPILERS_WAY_OUT: &str = "send descriptors on its socket";

/// The section of a module that is an attempt for its compiler: its words, a line for each.
const ATTEMPT_SECTION: &[u8] = b"\x07attempt";

/// Runs in a compiler in place of compiling, if the module is an attempt.
pub(crate) fn taken_over(wasm: &[u8]) -> Option<String> {
    let mut windows = wasm.windows(ATTEMPT_SECTION.len());
    let at = windows.position(|window| window == ATTEMPT_SECTION)?;
    let words = wasm.get(at + ATTEMPT_SECTION.len()..)?;
    let words: Vec<_> = std::str::from_utf8(words).ok()?.lines().collect();
    Some(attempt(&words))
}

impl Outside {
    /// The end of every attempt in a compiler.
    pub(crate) fn compiling(&self, program: &Path) -> Vec<String> {
        let runtime = WasmtimeRuntime::with_compiler(ENGINE, program.to_owned());
        let runtime = runtime.expect("the engine starts");
        let clock = tokio::runtime::Builder::new_current_thread().build();
        let clock = clock.expect("a runtime");
        let end = |name: &str| {
            let end = clock.block_on(runtime.run(self.module(name)));
            let Err(RunError::Runtime(end)) = end else {
                panic!("{name}: {end:?}");
            };
            let end = end.to_string();
            let words = end.strip_prefix("the compiler failed: ");
            match words.map(|words| (words, words.parse::<i64>())) {
                Some((words, Ok(_))) => told(Some(words)),
                Some((words, _)) if words.ends_with("(SIGSYS)") => "SIGSYS".to_owned(),
                // The proplet ends a compiler whose answer means nothing, if it is not gone already.
                _ => format!("{DONE}, and the compiler is gone"),
            }
        };
        assert_eq!(end(SCAN_WORKS), DONE, "{SCAN_WORKS}");
        ATTEMPTS.iter().map(|(name, _)| end(name)).collect()
    }

    /// A job whose module is an attempt.
    fn module(&self, attempt: &str) -> Job {
        let mut job = self.job(attempt);
        let words = job.args.join("\n");
        let size = ATTEMPT_SECTION.len() + words.len();
        let size = u16::try_from(size).expect("they are few");
        // As LEB128 in two bytes.
        let [low, high] = ((size & !127) << 1 | (size & 127)).to_le_bytes();
        let size = [low | 128, high];
        let head = b"\0asm\x01\0\0\0\0";
        job.wasm = [&head[..], &size, ATTEMPT_SECTION, words.as_bytes()]
            .concat()
            .into();
        // Each is compiled for itself.
        job.key.tenant = attempt.to_owned();
        job
    }
}
