//! Programs in C and C++: compiled, linked both ways, run, and run under valgrind.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installed::{Installed, crate_folder, has, run};
use crate::v0::Vector;

/// What the static library needs beside it; `propeller-ces.pc.in` says the same.
const PRIVATE: [&str; 7] = [
    "-lgcc_s",
    "-lutil",
    "-lrt",
    "-lpthread",
    "-lm",
    "-ldl",
    "-lc",
];

/// Programs that try every function.
const SOURCES: [&str; 3] = ["v1.c", "v2.c", "v2_failures.c"];

enum Link<'a> {
    Shared(&'a str),
    Static,
}

/// A program that is compiled with all warnings as errors.
fn compiled(compiler: &str, source: &str, link: &Link<'_>, installed: &Installed) -> PathBuf {
    let source = crate_folder().join("tests/c").join(source);
    let program = installed.folder.path().join(format!(
        "{}-{}",
        source.file_stem().unwrap().display(),
        match link {
            Link::Shared(name) => name,
            Link::Static => "static",
        }
    ));
    let mut command = Command::new(compiler);
    let standard = if compiler == "cc" {
        "-std=gnu11"
    } else {
        "-std=c++17"
    };
    command.args([standard, "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command
        .arg("-I")
        .arg(installed.include())
        .arg(source)
        .arg("-o")
        .arg(&program);
    match link {
        Link::Shared(name) => {
            let lib = installed.lib();
            command.arg("-L").arg(&lib).arg(format!("-l{name}"));
            let mut at_run_time = OsString::from("-Wl,-rpath,");
            at_run_time.push(lib);
            command.arg(at_run_time);
        }
        Link::Static => {
            command.arg(installed.lib().join("libpropeller_ces.a"));
            if cfg!(target_os = "linux") {
                command.args(PRIVATE);
            }
        }
    }
    run(command);
    program
}

fn says_ok(program: &Path) {
    assert_eq!(run(Command::new(program)), b"ok\n");
}

#[test]
fn programs_in_c_link_the_shared_library_and_run() {
    if has("cc", "--version") {
        let installed = Installed::new();
        for source in SOURCES {
            says_ok(&compiled(
                "cc",
                source,
                &Link::Shared("propeller_ces"),
                &installed,
            ));
        }
    }
}

#[test]
fn a_program_links_the_static_library() {
    if has("cc", "--version") {
        let installed = Installed::new();
        says_ok(&compiled("cc", "v1.c", &Link::Static, &installed));
    }
}

#[test]
fn a_program_links_under_the_name_of_the_older_implementation() {
    if has("cc", "--version") {
        let installed = Installed::new();
        says_ok(&compiled(
            "cc",
            "older.c",
            &Link::Shared("pangea_ces"),
            &installed,
        ));
    }
}

#[test]
fn a_program_in_cpp_links_and_runs() {
    if has("c++", "--version") {
        let installed = Installed::new();
        says_ok(&compiled(
            "c++",
            "cpp.cpp",
            &Link::Shared("propeller_ces"),
            &installed,
        ));
    }
}

#[test]
fn pkg_config_tells_how_to_compile_and_link() {
    if !has("cc", "--version") || !has("pkg-config", "--version") {
        return;
    }
    let installed = Installed::new();
    let flags = |arguments: &[&str]| {
        let mut command = Command::new("pkg-config");
        command.args(arguments).arg("propeller-ces");
        command.env("PKG_CONFIG_PATH", installed.lib().join("pkgconfig"));
        let flags = String::from_utf8(run(command)).unwrap();
        flags
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(flags(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let program = installed.folder.path().join("with-pkg-config");
    let mut command = Command::new("cc");
    command
        .arg(crate_folder().join("tests/c/v1.c"))
        .arg("-o")
        .arg(&program);
    command.args(flags(&["--cflags", "--libs"]));
    run(command);
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", installed.lib());
    assert_eq!(run(command), b"ok\n");
    let private = flags(&["--libs", "--static"]);
    assert!(
        PRIVATE
            .iter()
            .all(|library| private.iter().any(|flag| flag == library))
    );
}

/// No leak, and no byte read or written that is not ours.
#[test]
fn valgrind_finds_nothing() {
    if !has("cc", "--version") || !has("valgrind", "--version") {
        return;
    }
    let installed = Installed::new();
    for source in SOURCES {
        let program = compiled("cc", source, &Link::Shared("propeller_ces"), &installed);
        let mut command = Command::new("valgrind");
        command.args(["--quiet", "--error-exitcode=99", "--leak-check=full"]);
        command.args(["--show-leak-kinds=definite,indirect,possible"]);
        command.args(["--errors-for-leak-kinds=definite,indirect,possible"]);
        let mut known = OsString::from("--suppressions=");
        known.push(crate_folder().join("tests/c/valgrind.supp"));
        command.arg(known).arg(program);
        assert_eq!(run(command), b"ok\n");
    }
}

#[test]
fn shards_of_the_older_implementation_are_read() {
    if !has("cc", "--version") {
        return;
    }
    let installed = Installed::new();
    let program = compiled("cc", "v1.c", &Link::Shared("propeller_ces"), &installed);
    for (name, ours) in [
        ("ok-zstd.txt", 0),
        ("ok-four-lost.txt", 0),
        ("ok-four-damaged.txt", 0),
        ("ok-gzip.txt", 0),
        // Shards that begin like those of the new format are missing ones.
        ("ok-zstd.txt", 1),
        ("ok-zstd.txt", 4),
    ] {
        let mut vector = Vector::read(name);
        for shard in &mut vector.shards[..ours] {
            *shard = Some(b"PRPLCES of something else".to_vec());
        }
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        fs::write(&key, &vector.key).unwrap();
        let mut command = Command::new(&program);
        command.arg(&key);
        for (index, shard) in vector.shards.iter().enumerate() {
            let path = folder.path().join(index.to_string());
            if let Some(shard) = shard {
                fs::write(&path, shard).unwrap();
            }
            command.arg(path);
        }
        assert_eq!(run(command).len(), vector.plain_len, "{name}");
    }
}
