//! What a run printed, and the exit code that it ends with.

use std::io::{self, Write};

use propeller_api::{Results, Task, TaskState};

use super::{EXIT_CANNOT_RUN, RunError, say};

/// Prints what a run gave, the result alone on stdout.
pub(super) fn print(
    task: &Task,
    results: &Results,
    stdout: &[u8],
    json: bool,
) -> Result<u8, RunError> {
    let mut out = io::stdout().lock();
    if json {
        let value = serde_json::json!({"task": task, "results": results});
        writeln!(out, "{value:#}").map_err(RunError::Write)?;
    } else {
        io::stderr()
            .write_all(results.stderr.as_bytes())
            .map_err(RunError::Write)?;
        out.write_all(stdout).map_err(RunError::Write)?;
        if let (true, Some(text)) = (results.exit_code.is_none(), results.results.as_str())
            && text.as_bytes() != stdout
        {
            writeln!(out, "{text}").map_err(RunError::Write)?;
        }
    }
    out.flush().map_err(RunError::Write)?;
    let (code, lines) = ending(task, results);
    lines.iter().for_each(|line| say(line));
    Ok(code)
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
