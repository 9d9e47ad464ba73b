//! WASI commands: argv, environment, standard streams, exit codes.

use bytes::Bytes;
use propeller_sandbox::Status;

use crate::support::{check, exit, job};

/// Prints its arguments and its environment, each ended by a zero byte.
const ECHO: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "args_sizes_get"
        (func $args_sizes (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "args_get"
        (func $args (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_sizes_get"
        (func $environ_sizes (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "environ_get"
        (func $environ (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func $print (param $at i32) (param $len i32)
        (i32.store (i32.const 16) (local.get $at))
        (i32.store (i32.const 20) (local.get $len))
        (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))))
      (func (export "echo") (export "_start")
        (drop (call $args_sizes (i32.const 0) (i32.const 4)))
        (drop (call $args (i32.const 1024) (i32.const 2048)))
        (call $print (i32.const 2048) (i32.load (i32.const 4)))
        (drop (call $environ_sizes (i32.const 0) (i32.const 4)))
        (drop (call $environ (i32.const 3072) (i32.const 4096)))
        (call $print (i32.const 4096) (i32.load (i32.const 4)))))
"#;

/// Copies standard input to standard error.
const CAT: &str = r#"
    (module
      (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "_start") (local $n i32)
        (loop $more
          (i32.store (i32.const 0) (i32.const 64))
          (i32.store (i32.const 4) (i32.const 4))
          (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (local.set $n (i32.load (i32.const 8)))
          (if (local.get $n) (then
            (i32.store (i32.const 4) (local.get $n))
            (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br $more))))))
"#;

#[tokio::test]
async fn a_command_gets_its_name_arguments_and_environment_and_nothing_else() {
    let mut job = job(ECHO, "_start", &["one", "two words"]);
    job.env = vec![("KEY".to_owned(), "value".to_owned())];
    let exit = exit(job).await;
    assert_eq!(exit.status, Status::Exited(0));
    assert_eq!(exit.result, None);
    let stdout = String::from_utf8(exit.stdout).expect("arguments are text");
    assert_eq!(stdout, "guest\0one\0two words\0KEY=value\0");
}

#[tokio::test]
async fn a_function_gets_its_name_alone_and_may_print() {
    let exit = exit(job(ECHO, "echo", &[])).await;
    assert_eq!(exit.status, Status::Returned);
    assert_eq!(exit.stdout, b"guest\0");
}

#[tokio::test]
async fn a_command_reads_its_input_to_the_end() {
    let mut job = job(CAT, "_start", &[]);
    job.stdin = Bytes::from_static(b"some input").into();
    let exit = exit(job).await;
    assert_eq!(exit.status, Status::Exited(0));
    assert_eq!(exit.stderr, b"some input");
    assert_eq!(exit.stdout, b"");
}

#[tokio::test]
async fn a_guest_chooses_its_exit_code_also_from_a_function() {
    let leave = |entry: &str, code: u32| {
        let text = format!(
            r#"
            (module
              (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
              (memory (export "memory") 1)
              (func (export {entry:?}) (call $exit (i32.const {code})) unreachable))
            "#
        );
        job(&text, entry, &[])
    };
    check(leave("_start", 0), "exit 0").await;
    check(leave("_start", 3), "exit 3").await;
    check(leave("compute", 3), "exit 3").await;
    // What shells and `exit(255)` use, from 126 on.
    check(leave("_start", 127), "exit 127").await;
    check(leave("_start", 255), "exit 255").await;
}

#[tokio::test]
async fn there_are_no_files_to_open() {
    // Descriptor 3 would be the first directory. 8 is `badf`: there is no such descriptor.
    let text = r#"
        (module
          (import "wasi_snapshot_preview1" "fd_prestat_get"
            (func $prestat (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "first") (result i32) (call $prestat (i32.const 3) (i32.const 0))))
    "#;
    check(job(text, "first", &[]), "8").await;
}

#[tokio::test]
async fn a_guest_that_points_the_host_outside_its_memory_is_ended() {
    let text = r#"
        (module
          (import "wasi_snapshot_preview1" "fd_write"
            (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "_start")
            (drop
              (call $fd_write (i32.const 1) (i32.const 0xfffffff0) (i32.const 1) (i32.const 0)))))
    "#;
    let status = exit(job(text, "_start", &[])).await.status;
    assert!(matches!(status, Status::Trapped { .. }), "{status:?}");
}
