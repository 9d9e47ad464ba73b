//! What a run printed, and the exit code that it ends with.

use std::io::{self, IsTerminal, Write};

use propeller_api::{Results, Task, TaskState};
use propeller_cli::{printable, printable_json};

use super::{EXIT_CANNOT_RUN, RunError};

/// Where results and messages go, and which of the two a person looks at.
pub(super) struct Screen<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    out_is_terminal: bool,
    err_is_terminal: bool,
}

/// Prints what a run gave to this process's own streams.
pub(super) fn print(
    task: &Task,
    results: &Results,
    stdout: &[u8],
    json: bool,
) -> Result<u8, RunError> {
    // Standard error is not locked: whoever ends this while a reader is slow may have to say something.
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let mut screen = Screen {
        out_is_terminal: out.is_terminal(),
        err_is_terminal: err.is_terminal(),
        out: &mut out,
        err: &mut err,
    };
    screen
        .show(task, results, stdout, json)
        .map_err(RunError::Write)?;
    let (code, lines) = ending(task, results);
    for line in lines {
        // If standard error is gone there is nobody left to tell.
        writeln!(screen.err, "{}", printable(line.as_bytes())).ok();
    }
    Ok(code)
}

impl Screen<'_> {
    /// The result alone on the one stream; what the guest said of itself on the other. Byte for byte,
    /// but no byte of a guest moves anybody's cursor.
    fn show(
        &mut self,
        task: &Task,
        results: &Results,
        stdout: &[u8],
        json: bool,
    ) -> io::Result<()> {
        if json {
            let value = serde_json::json!({"task": task, "results": results});
            let text = format!("{value:#}");
            let shown = if self.out_is_terminal {
                printable_json(&text)
            } else {
                text.into()
            };
            writeln!(self.out, "{shown}")?;
            return self.out.flush();
        }
        guest(self.err, self.err_is_terminal, results.stderr.as_bytes())?;
        guest(self.out, self.out_is_terminal, stdout)?;
        if let (true, Some(text)) = (results.exit_code.is_none(), results.results.as_str())
            && text.as_bytes() != stdout
        {
            guest(self.out, self.out_is_terminal, text.as_bytes())?;
            writeln!(self.out)?;
        }
        self.out.flush()
    }
}

fn guest(stream: &mut dyn Write, is_terminal: bool, bytes: &[u8]) -> io::Result<()> {
    if is_terminal {
        stream.write_all(printable(bytes).as_bytes())
    } else {
        stream.write_all(bytes)
    }
}

/// The exit code of ours that tells how the task ended, and what it does not tell.
fn ending(task: &Task, results: &Results) -> (u8, Vec<String>) {
    if task.state == TaskState::Completed as u8 {
        return (0, Vec::new());
    }
    let Some(code) = results.exit_code else {
        let mut lines = vec![format!("error: {}", results.error)];
        if !results.hint.is_empty() {
            lines.push(format!("hint: {}", results.hint));
        }
        return (EXIT_CANNOT_RUN, lines);
    };
    match u8::try_from(code) {
        Ok(code) => (code, Vec::new()),
        Err(_) => {
            let line = format!(
                "error: exit code {code}, in whose place {EXIT_CANNOT_RUN} stands: a program's ends at 255"
            );
            (EXIT_CANNOT_RUN, vec![line])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &[u8] = b"\x1b]0;title\x07\x1b[2J\xff\n";

    fn failed(exit_code: Option<i32>) -> (Task, Results) {
        let task = Task {
            state: TaskState::Failed as u8,
            ..Task::default()
        };
        let results = Results {
            exit_code,
            error: "exit code 300".to_owned(),
            stderr: "\u{1b}[2J\u{202e}\n".to_owned(),
            ..Results::default()
        };
        (task, results)
    }

    fn shown(is_terminal: (bool, bool), results: &Results, json: bool) -> (Vec<u8>, Vec<u8>) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen = Screen {
            out: &mut out,
            err: &mut err,
            out_is_terminal: is_terminal.0,
            err_is_terminal: is_terminal.1,
        };
        screen.show(&Task::default(), results, NASTY, json).unwrap();
        (out, err)
    }

    #[test]
    fn no_guest_writes_on_somebodys_terminal() {
        let (_, results) = failed(Some(3));
        let (out, err) = shown((true, true), &results, false);
        let expected = "\\u{1b}]0;title\\u{7}\\u{1b}[2J\\xff\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(String::from_utf8(err).unwrap(), "\\u{1b}[2J\\u{202e}\n");
        let (_, mut results) = failed(None);
        results.results = "\u{9b}2J".into();
        let (out, _) = shown((true, false), &results, false);
        assert!(out.ends_with(b"\\u{9b}2J\n"));
    }

    #[test]
    fn files_and_pipes_get_a_guests_bytes_as_they_are() {
        let (_, results) = failed(Some(3));
        let (out, err) = shown((false, false), &results, false);
        assert_eq!((out, err), (NASTY.to_vec(), results.stderr.into_bytes()));
    }

    #[test]
    fn json_on_a_terminal_says_the_same_and_moves_nothing() {
        let (_, mut results) = failed(Some(3));
        results.stderr = "\u{9b}2J\u{7f}\u{202e}".to_owned();
        let (on_terminal, _) = shown((true, true), &results, true);
        let (in_file, _) = shown((false, false), &results, true);
        let read = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(read(&on_terminal), read(&in_file));
        let text = String::from_utf8(on_terminal).unwrap();
        assert!(text.contains("\\u009b2J\\u007f\\u202e"), "{text}");
    }

    #[test]
    fn an_exit_code_that_does_not_fit_is_said() {
        for code in [256, 300, -1] {
            let (task, results) = failed(Some(code));
            let (ours, lines) = ending(&task, &results);
            assert_eq!(ours, EXIT_CANNOT_RUN);
            let expected = format!("error: exit code {code}, ");
            assert!(lines[0].starts_with(&expected), "{lines:?}");
        }
        let (task, results) = failed(Some(255));
        assert_eq!(ending(&task, &results), (255, Vec::new()));
    }
}
