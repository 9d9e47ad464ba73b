//! The only place that writes to the terminal.

use std::fmt;
use std::io::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use propeller_sdk::Reply;

use crate::error::{CliError, Exit, Explanation};
use crate::json::pretty;
use crate::printable::{Printable, printable_json};
use crate::table::visible;

/// From this size on, an upload shows a progress bar; less is over before one can read it.
const PROGRESS_BYTES_MIN: u64 = 1_000_000;

const PROGRESS_STYLE: &str = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta}";

const UNBOUNDED_STYLE: &str = "{msg}: {bytes}, {bytes_per_sec}";

/// Where results and messages go: results to one stream, everything else to the other.
pub struct Ui<'a> {
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    interactive: bool,
    /// What guests printed, on its way to a terminal; `None` where there is none.
    guest_out: Option<Printable>,
    guest_err: Option<Printable>,
}

impl<'a> Ui<'a> {
    /// Results go to `out`, messages to `err`. Progress is drawn on the process's standard error,
    /// if `interactive` says that somebody is looking at it.
    pub fn new(
        out: &'a mut (dyn Write + Send),
        err: &'a mut (dyn Write + Send),
        interactive: bool,
    ) -> Self {
        Self {
            out,
            err,
            interactive,
            guest_out: None,
            guest_err: None,
        }
    }

    /// Says which of the two streams a person looks at: what guests print there is made harmless.
    #[must_use]
    pub fn on_terminal(mut self, out: bool, err: bool) -> Self {
        self.guest_out = out.then(Printable::default);
        self.guest_err = err.then(Printable::default);
        self
    }

    /// Writes what a guest wrote to its standard output.
    pub(crate) fn guest_out(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        match &mut self.guest_out {
            Some(printable) => {
                let shown = printable.push(bytes);
                self.raw(shown.as_bytes())
            }
            None => self.raw(bytes),
        }
    }

    /// Writes what a guest wrote to its standard error.
    pub(crate) fn guest_err(&mut self, bytes: &[u8]) {
        match &mut self.guest_err {
            Some(printable) => {
                let shown = printable.push(bytes);
                self.raw_note(shown.as_bytes());
            }
            None => self.raw_note(bytes),
        }
    }

    /// Writes what is left of a guest that prints no more.
    pub(crate) fn guest_done(&mut self) -> Result<(), CliError> {
        let rest = self.guest_err.as_mut().map(Printable::finish);
        self.raw_note(rest.unwrap_or_default().as_bytes());
        let rest = self.guest_out.as_mut().map(Printable::finish);
        self.raw(rest.unwrap_or_default().as_bytes())
    }

    /// Writes bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.out.write_all(bytes).map_err(CliError::Output)
    }

    /// Writes text whose variable parts are [`visible`].
    pub(crate) fn text(&mut self, text: &str) -> Result<(), CliError> {
        self.raw(text.as_bytes())
    }

    /// Writes a sentence.
    pub(crate) fn say(&mut self, sentence: &str) -> Result<(), CliError> {
        let line = format!("{}\n", visible(sentence));
        self.text(&line)
    }

    /// Writes what the manager said.
    pub(crate) fn json<T>(&mut self, reply: &Reply<T>) -> Result<(), CliError> {
        self.json_text(&pretty(reply.json()))
    }

    /// Writes JSON, which may have in it what a guest printed.
    pub(crate) fn json_text(&mut self, json: &str) -> Result<(), CliError> {
        match self.guest_out {
            Some(_) => self.text(&printable_json(json)),
            None => self.text(json),
        }
    }

    pub(crate) fn flush(&mut self) -> Result<(), CliError> {
        self.out.flush().map_err(CliError::Output)
    }

    /// Writes a sentence that is no result.
    pub(crate) fn note(&mut self, sentence: &str) {
        self.message(&format!("{}\n", visible(sentence)));
    }

    /// Writes bytes that are no result as they are.
    pub(crate) fn raw_note(&mut self, bytes: &[u8]) {
        // If standard error is gone there is nobody left to tell.
        self.err.write_all(bytes).ok();
    }

    /// Says what went wrong, why, and what to do.
    pub(crate) fn fail(&mut self, explanation: &Explanation) -> Exit {
        let Explanation {
            message,
            causes,
            hint,
            exit,
        } = explanation;
        let mut text = format!("error: {}\n", paragraphs(message));
        for (number, cause) in causes.iter().enumerate() {
            text.push_str(&format!("  {}: {}\n", number + 1, paragraphs(cause)));
        }
        if let Some(hint) = hint {
            text.push_str(&format!("hint: {}\n", visible(hint)));
        }
        self.message(&text);
        *exit
    }

    fn message(&mut self, text: &str) {
        self.raw_note(text.as_bytes());
    }

    /// A bar that shows how much of `total` bytes is done, where one is of use.
    pub(crate) fn progress(&self, total: u64, message: String) -> ProgressBar {
        if !self.interactive || total < PROGRESS_BYTES_MIN {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        match ProgressStyle::with_template(PROGRESS_STYLE) {
            Ok(style) => bar.with_style(style).with_message(message),
            Err(_) => bar,
        }
    }

    /// The same where the total may be unknown, as of a pipe: then it shows how much there was.
    pub(crate) fn progress_of(&self, total: Option<u64>, message: String) -> ProgressBar {
        if let Some(total) = total {
            return self.progress(total, message);
        }
        if !self.interactive {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        match ProgressStyle::with_template(UNBOUNDED_STYLE) {
            Ok(style) => bar.with_style(style).with_message(message),
            Err(_) => bar,
        }
    }
}

impl fmt::Debug for Ui<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ui")
            .field("interactive", &self.interactive)
            .finish_non_exhaustive()
    }
}

/// A text of several lines, those after the first indented.
fn paragraphs(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(visible)
        .collect::<Vec<_>>()
        .join("\n       ")
}
