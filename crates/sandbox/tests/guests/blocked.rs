//! Host calls that never come back: they keep nobody but their guests waiting.

use std::path::PathBuf;
use std::time::Duration;

use propeller_model::Access;
use propeller_sandbox::{Capabilities, Job, OpenDirectory, Runtime};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use tokio::task::JoinSet;

use crate::support::{bound, job, line, runtime};

/// Opens a named pipe to read it, which takes until somebody opens it to write.
const OPENS: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 64) "pipe")
      (func (export "open") (result i32)
        (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4)
          (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 128))))
"#;

/// A folder with a named pipe in it. What waits for the pipe goes on when this goes.
struct Pipe(PathBuf);

impl Pipe {
    fn new() -> Self {
        let name = format!("propeller-blocked-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let pipe = Self(folder);
        let owner = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, pipe.path(), FileType::Fifo, owner, 0).expect("a named pipe");
        pipe
    }

    fn path(&self) -> PathBuf {
        self.0.join("pipe")
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Whoever opens both ends waits for nobody, and opens it for all who wait.
        open(self.path(), OFlags::RDWR | OFlags::NONBLOCK, Mode::empty()).ok();
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test]
async fn calls_that_do_not_come_back_keep_nobody_from_compiling() {
    let pipe = Pipe::new();
    let opens = || Job {
        capabilities: Capabilities {
            directories: vec![OpenDirectory {
                guest: "/data".to_owned(),
                path: pipe.0.clone(),
                kept: None,
                access: Access::Read,
            }],
            ..Capabilities::default()
        },
        ..job(OPENS, "open", &[])
    };
    let runtime = std::sync::Arc::new(runtime());
    let mut guests = JoinSet::new();
    // More than there are threads that compile.
    for _ in 0..8 {
        let runtime = std::sync::Arc::clone(&runtime);
        let mut waits = opens();
        waits.limits.wall_ms = bound(300);
        guests.spawn(async move { line(&runtime.run(waits).await) });
    }
    for end in guests.join_all().await {
        assert_eq!(end, "limit: wall clock 300 ms (set by task)");
    }
    // Their calls are still in the kernel. None of these modules is compiled yet.
    for at in 0..4 {
        let text = format!(r#"(module (func (export "run") (result i32) (i32.const {at})))"#);
        let end =
            tokio::time::timeout(Duration::from_secs(20), runtime.run(job(&text, "run", &[])));
        let end = end.await.expect("it is compiled");
        assert_eq!(line(&end), at.to_string());
    }
}
