//! What a task prints, while it runs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Ours: one line of `GET /tasks/{id}/logs`.
///
/// The last line is an `end`; an answer without it was cut off. Empty lines keep the connection
/// alive and mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum LogEvent {
    /// From here on it is about this attempt, whose streams begin at 0.
    Attempt {
        /// Which one, from 1.
        attempt: u32,
        /// Who makes it.
        proplet_id: String,
    },
    /// A piece of what the guest printed.
    Output {
        /// To which stream.
        stream: LogStream,
        /// Where in the stream it begins. If that is later than where the piece before it ended,
        /// the bytes between are not kept any more, unless `stored` says where they are.
        offset: u64,
        /// The bytes, in standard base64.
        data_base64: String,
        /// Whether the bytes before it are in the object store: the task's results say more, and
        /// `GET /tasks/{id}/stdout` gives them.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stored: bool,
    },
    /// There is no more: the task has ended, or nobody wanted to follow it.
    End {
        /// The state of the task.
        state: u8,
        /// How its last attempt ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<ExitKind>,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
        /// What to do about it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        hint: String,
    },
}

/// Ours: a stream that guests print to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Ours: how an attempt ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExitKind {
    /// A function came back.
    Returned,
    /// A command ended with an exit code.
    Exited,
    /// The guest did what WebAssembly or its host forbids.
    Trap,
    /// The guest asked for more than it may have.
    Limit,
    /// A stop that says nothing about the guest, in a run that has to be the same everywhere.
    Inconclusive,
    /// The guest was not begun: it cannot run as it was asked to, or its proplet does not take it.
    Refused,
    /// The guest broke out of its sandbox, and was caught.
    Escaped,
    /// The host of the guest failed.
    Host,
    /// The proplet or the guest's process went away.
    Lost,
    /// Its owner stopped it.
    Stopped,
    /// A word that this client does not know.
    #[serde(other)]
    Unknown,
}

impl ExitKind {
    /// The kind in a word, for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Exited => "exited",
            Self::Trap => "trap",
            Self::Limit => "limit",
            Self::Inconclusive => "inconclusive",
            Self::Refused => "refused",
            Self::Escaped => "escaped",
            Self::Host => "host",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: &LogEvent, json: &str) {
        assert_eq!(serde_json::to_string(event).unwrap(), json);
        assert_eq!(serde_json::from_str::<LogEvent>(json).unwrap(), *event);
    }

    #[test]
    fn a_line_says_what_it_is() {
        check(
            &LogEvent::Attempt {
                attempt: 2,
                proplet_id: "edge-1".to_owned(),
            },
            r#"{"event":"attempt","attempt":2,"proplet_id":"edge-1"}"#,
        );
        check(
            &LogEvent::Output {
                stream: LogStream::Stderr,
                offset: 7,
                data_base64: "aGk=".to_owned(),
                stored: false,
            },
            r#"{"event":"output","stream":"stderr","offset":7,"data_base64":"aGk="}"#,
        );
        check(
            &LogEvent::Output {
                stream: LogStream::Stdout,
                offset: 9,
                data_base64: String::new(),
                stored: true,
            },
            r#"{"event":"output","stream":"stdout","offset":9,"data_base64":"","stored":true}"#,
        );
        check(
            &LogEvent::End {
                state: 3,
                exit: Some(ExitKind::Exited),
                error: String::new(),
                hint: String::new(),
            },
            r#"{"event":"end","state":3,"exit":"exited"}"#,
        );
    }

    #[test]
    fn a_kind_of_a_later_manager_is_no_error() {
        let kind: ExitKind = serde_json::from_str("\"sublimated\"").unwrap();
        assert_eq!(kind, ExitKind::Unknown);
    }
}
