//! Runs other programs: cargo itself, the product, scripts.

use std::{
    env,
    ffi::OsString,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus, Output},
};

/// How many lines of a failed program's complaint a reader gets to see.
const COMPLAINT_LINES: usize = 5;

/// The cargo that runs this program, so that a chosen toolchain stays chosen.
pub(crate) fn cargo(root: &Path) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(root);
    command
}

/// Runs `command` with its output going to the terminal and takes over its verdict.
pub(crate) fn pass_through(mut command: Command) -> Result<ExitCode, String> {
    let status = command
        .status()
        .map_err(|error| cannot_start(&command, &error))?;
    Ok(exit_code(status))
}

/// Runs `command` and gives what it printed, or what it complained about.
pub(crate) fn output(mut command: Command) -> Result<Vec<u8>, String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .map_err(|error| cannot_start(&command, &error))?;
    if status.success() {
        return Ok(stdout);
    }
    let complaint = last_lines(&String::from_utf8_lossy(&stderr), COMPLAINT_LINES);
    Err(format!("`{}` failed: {complaint}", shown(&command)))
}

/// Where `program` is, looking in PATH and in `also`.
pub(crate) fn find(program: &str, also: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(also.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn exit_code(status: ExitStatus) -> ExitCode {
    // A program ended by a signal has no code.
    match status.code().map(u8::try_from) {
        Some(Ok(code)) => ExitCode::from(code),
        Some(Err(_)) | None => ExitCode::FAILURE,
    }
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    match error.kind() {
        ErrorKind::NotFound => format!("`{program}` is not installed"),
        _ => format!("cannot start `{program}`: {error}"),
    }
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    if lines.is_empty() {
        return "it gave no reason".to_owned();
    }
    let from = lines.len().saturating_sub(count);
    lines[from..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_cut_to_its_last_lines() {
        assert_eq!(last_lines("a\n\nb\nc\n", 2), "b | c");
        assert_eq!(last_lines("\n", 2), "it gave no reason");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = output(Command::new("no-such-program-here")).unwrap_err();
        assert_eq!(error, "`no-such-program-here` is not installed");
    }

    #[test]
    fn a_failing_program_is_shown_with_its_arguments() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo bad luck >&2; exit 3"]);
        let error = output(command).unwrap_err();
        assert!(error.ends_with("failed: bad luck"), "{error}");
    }
}
