//! Programs that are no runtimes: what they get, and what becomes of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use propeller_sandbox::external::{ExternalRuntime, StartError};
use propeller_sandbox::{Job, Runtime, Status};
use tokio::task::JoinSet;

use crate::support::{Folder, bound, config, job, job_of, line, marked, start, unique, until};

/// A folder with a shell script in it, called what a test wants.
struct Script {
    folder: Folder,
    path: PathBuf,
}

impl Script {
    /// A script that knows its version and then does `body`; the trial at the start goes as it should.
    fn new(name: &str, body: &str) -> Self {
        let version = r#"[ "$1" = --version ] && echo "script 1.0" && exit 0
            [ "$2" = --name=trial ] && exit 42"#;
        Self::raw(name, &format!("#!/bin/sh\n{version}\n{body}\n"))
    }

    fn raw(name: &str, text: &str) -> Self {
        let folder = Folder::new();
        let path = folder.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, path }
    }

    fn start(&self) -> Result<ExternalRuntime, StartError> {
        start(&self.path, Some("{module} --name={name} -- {args}"))
    }
}

fn nothing() -> Job {
    job(
        r#"(module (memory 1) (func (export "_start")))"#,
        "_start",
        &[],
    )
}

async fn printed(body: &str) -> String {
    let script = Script::new("probe", body);
    let runtime = script.start().expect("the script starts");
    let exit = runtime.run(nothing()).await.expect("the job runs");
    assert_eq!(
        exit.status,
        Status::Exited(0),
        "{:?}",
        String::from_utf8(exit.stderr)
    );
    String::from_utf8(exit.stdout).expect("text")
}

#[tokio::test]
async fn a_runtime_gets_its_streams_and_the_module_and_nothing_else() {
    let told = printed("exec /bin/ls -l /proc/self/fd").await;
    let open: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .map(|(_, to)| to)
        .collect();
    let module = open.iter().filter(|to| to.starts_with("/memfd:module"));
    assert_eq!(module.count(), 1, "{told}");
    // What is left is the folder that `ls` looks at.
    let others = open
        .iter()
        .filter(|to| !to.starts_with("pipe:") && !to.starts_with("/memfd:module"));
    let others: Vec<_> = others.collect();
    assert!(
        others.len() == 1 && others[0].starts_with("/proc/"),
        "{told}"
    );
    assert_eq!(open.len(), 5, "{told}");
}

#[tokio::test]
async fn a_runtime_has_no_environment_no_rights_and_no_core_dumps() {
    let environment = printed("tr '\\0' '\\n' < /proc/$$/environ").await;
    assert_eq!(environment, "");
    let told = printed("pwd; ulimit -c; ulimit -f; cat /proc/self/status").await;
    assert!(told.starts_with("/\n0\n0\n"), "{told}");
    assert!(told.contains("NoNewPrivs:\t1"), "{told}");
    assert!(told.contains("CapEff:\t0000000000000000"), "{told}");
    assert!(told.contains("CapPrm:\t0000000000000000"), "{told}");
}

#[tokio::test]
async fn a_runtime_writes_nothing_to_a_disk() {
    let script = Script::new("writes", "echo plaintext > \"${0%/*}/leak\"");
    let runtime = script.start().expect("the script starts");
    let end = line(&runtime.run(nothing()).await);
    // With landlock it cannot even make the file, and says so; without, the first byte ends it.
    let refused = end.starts_with("exit ") && end != "exit 0";
    assert!(refused || end.contains("it tried to write a file"), "{end}");
    let leak = fs::read(script.folder.0.join("leak")).unwrap_or_default();
    assert_eq!(leak, b"");
}

#[tokio::test]
async fn what_a_runtime_started_ends_with_it() {
    let mark = format!(
        "{}.5",
        u32::from_str_radix(&unique()[..6], 16).unwrap() + 1_000_000
    );
    let script = Script::new("forks", &format!("sleep {mark} & echo started"));
    let runtime = script.start().expect("the script starts");
    let exit = runtime.run(nothing()).await.expect("the job runs");
    assert_eq!(exit.stdout, b"started\n");
    assert_eq!(marked(&mark), 0);
}

#[tokio::test]
async fn a_runtime_that_will_not_end_is_ended() {
    let script = Script::new(
        "stubborn",
        "trap '' TERM INT HUP; while :; do sleep 1000; done",
    );
    let runtime = script.start().expect("the script starts");
    let mut late = nothing();
    late.limits.wall_ms = bound(300);
    let end = line(&runtime.run(late).await);
    assert_eq!(end, "limit: wall clock 300 ms (set by task)");
}

/// A module of 24 MB, which has nothing to call.
fn large() -> Vec<u8> {
    /// The longest function that a validator takes has a little more.
    const BODY: usize = 6_000_000;
    const FUNCTIONS: u8 = 4;
    // LEB128, as all numbers of a module.
    let number = |mut number: usize| {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        bytes.push(number.to_le_bytes()[0]);
        bytes
    };
    // No locals; `i32.const 0`, `drop`, again and again; `end`.
    let mut body = vec![0];
    body.extend([0x41, 0, 0x1a].repeat(BODY / 3));
    body.push(0x0b);
    let one = [number(body.len()), body].concat();
    let code = [vec![FUNCTIONS], one.repeat(FUNCTIONS.into())].concat();
    [
        &b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0"[..],
        &[3, FUNCTIONS + 1, FUNCTIONS, 0, 0, 0, 0],
        &[10],
        &number(code.len()),
        &code,
    ]
    .concat()
}

#[tokio::test]
async fn large_modules_hold_up_nobodys_wall_clock() {
    const LARGE: usize = 64;
    let mark = format!(
        "{}.5",
        u32::from_str_radix(&unique()[..6], 16).unwrap() + 1_000_000
    );
    let script = Script::new("sleeps", &format!("sleep {mark}"));
    let mut config = config(&script.path, Some("{module} --name={name} -- {args}"));
    config.module_bytes_max = 32 << 20;
    config.guests_max = LARGE + 1;
    let runtime = Arc::new(ExternalRuntime::new(config).expect("the script starts"));
    let mut sleeps = nothing();
    sleeps.limits.wall_ms = bound(300);
    let mut sleeping = runtime.run(sleeps);
    tokio::select! {
        end = &mut sleeping => panic!("it sleeps for long: {end:?}"),
        () = until(|| marked(&mark) > 0) => {}
    }
    // To look at each of them takes a core some 100 ms.
    let large = job_of(large());
    let mut looks = JoinSet::new();
    for _ in 0..LARGE {
        let (runtime, large) = (Arc::clone(&runtime), large.clone());
        looks.spawn(async move { line(&runtime.run(large).await) });
    }
    let end = line(&sleeping.await);
    assert_eq!(end, "limit: wall clock 300 ms (set by task)");
    // Those that have an end hear of it.
    tokio::task::yield_now().await;
    let mut looked = 0;
    while let Some(end) = looks.try_join_next() {
        let end = end.expect("it does not panic");
        let refused = "error: no function `guest` is exported";
        assert!(end.starts_with(refused), "{end}");
        looked += 1;
    }
    assert!(looked < LARGE / 2, "{looked} modules were looked at first");
}

#[tokio::test]
async fn a_signal_is_not_an_exit() {
    for (body, expected) in [
        ("kill -SEGV $$", "was ended by signal 11"),
        (
            "echo no memory >&2; kill -ABRT $$",
            "was ended by signal 6: no memory",
        ),
        ("kill -KILL $$", "was ended by signal 9 (not by us"),
        ("exit 255", "exit 255"),
    ] {
        let script = Script::new("dies", body);
        let runtime = script.start().expect("the script starts");
        let end = line(&runtime.run(nothing()).await);
        assert!(end.contains(expected), "{body}: {end}");
    }
}

#[tokio::test]
async fn what_is_no_runtime_is_refused_at_the_start_with_the_reason() {
    let check = |program: &Path, template: Option<&str>, expected: &str| {
        let error = start(program, template).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(
        Path::new("/no/such/wasmtime"),
        None,
        "No such file or directory",
    );
    check(
        Path::new("/bin/true"),
        None,
        "no template for a program called `true`",
    );
    check(
        Path::new("/bin/true"),
        Some("{module}"),
        "does not run a small module with `{module}`: Exited(0)",
    );
    let nonsense = Script::raw("wasmtime", "#!/bin/sh\necho nonsense\n");
    check(
        &nonsense.path,
        None,
        "asked for `--version`, it says `nonsense`",
    );
    let failing = Script::raw("wasmtime", "#!/bin/sh\necho wasmtime 48.0.0; exit 3\n");
    check(&failing.path, None, "(Some(Exited(3)))");
    let fails = "#!/bin/sh\n[ \"$1\" = --version ] && echo wasmtime 1.0 && exit\necho no such option >&2\nexit 2\n";
    let old = Script::raw("wasmtime", fails);
    check(
        &old.path,
        None,
        "does not run a small module with `run -Ccache=n",
    );
    check(&old.path, None, "no such option");
    fs::set_permissions(&old.path, fs::Permissions::from_mode(0o644)).unwrap();
    check(&old.path, None, "Permission denied");
    let wasmer = Script::raw("wasmer", "#!/bin/sh\n");
    check(&wasmer.path, None, "keeps compiled modules on the disk");
    check(&old.path, Some("{file}"), "takes the module as a file");
}

#[tokio::test]
async fn a_runtime_that_takes_only_files_gets_one_that_goes_with_the_job() {
    let body = r#"cd "${1%/*}" && ls -l | tail -n 1 | cut -c 1-10; head -c 4 "$1" | tail -c 3"#;
    let script = Script::new("files", body);
    let folder = script.folder.0.join("modules");
    let mut config = config(&script.path, Some("{file} --name={name}"));
    config.folder = Some(folder.clone());
    let runtime = ExternalRuntime::new(config).expect("the script starts");
    let exit = runtime.run(nothing()).await.expect("the job runs");
    assert_eq!(String::from_utf8_lossy(&exit.stdout), "-rw-------\nasm");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[tokio::test]
async fn a_template_without_an_end_of_options_takes_no_dashes() {
    let script = Script::new("open", "echo \"$@\"");
    let runtime =
        start(&script.path, Some("{module} --name={name} {args}")).expect("the script starts");
    let mut dashed = nothing();
    dashed.args = vec!["--allow-everything".to_owned()];
    let end = line(&runtime.run(dashed).await);
    assert!(
        end.contains("cannot pass arguments that begin with a dash"),
        "{end}"
    );
}
