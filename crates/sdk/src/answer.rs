//! One HTTP response, and whether it says yes, no or nonsense.

use propeller_api::Problem;
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{ClientError, Reply};

/// Most characters of an error's body that are shown when it is not JSON: one line of a terminal
/// or two, enough for `404 page not found` and not for a web page.
const PLAIN_ERROR_CHARS_MAX: usize = 160;

/// A complete response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

/// What this project's and upstream's managers say when they refuse.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: String,
    error: String,
}

impl Answer {
    /// This answer, if it says that the manager did what it was asked.
    pub(crate) fn accepted(self) -> Result<Self, ClientError> {
        if self.status.is_success() {
            return Ok(self);
        }
        if self.status.is_redirection() {
            return Err(self.unexpected("it points to another address", None));
        }
        Err(ClientError::Refused {
            status: self.status.as_u16(),
            problem: Box::new(problem(self.status, &self.body)),
        })
    }

    /// The value in an accepted answer.
    pub(crate) fn value<T: DeserializeOwned>(self) -> Result<Reply<T>, ClientError> {
        let Self { url, status, body } = self.accepted()?;
        Reply::parse(body).map_err(|error| {
            Self {
                url,
                status,
                body: String::new(),
            }
            .unexpected("it has another form", Some(error))
        })
    }

    pub(crate) fn unexpected(
        self,
        why: &'static str,
        source: Option<serde_json::Error>,
    ) -> ClientError {
        ClientError::Unexpected {
            url: self.url,
            status: self.status.as_u16(),
            why,
            source,
        }
    }
}

/// The refusal in a body of whatever form.
fn problem(status: StatusCode, body: &str) -> Problem {
    let title = status.canonical_reason().unwrap_or("refused");
    let Refusal {
        kind,
        title: given,
        detail,
        error,
    } = serde_json::from_str(body).unwrap_or_else(|_| Refusal {
        detail: first_line(body),
        ..Refusal::default()
    });
    let message = [detail, error, given.clone()]
        .into_iter()
        .find(|text| !text.trim().is_empty())
        .unwrap_or_else(|| format!("the manager answered {} {title}", status.as_u16()));
    Problem {
        kind: if kind.is_empty() {
            "about:blank".to_owned()
        } else {
            kind
        },
        title: if given.is_empty() {
            title.to_owned()
        } else {
            given
        },
        status: status.as_u16(),
        detail: message.clone(),
        error: message,
    }
}

fn first_line(body: &str) -> String {
    let line = body.trim().lines().next().unwrap_or_default();
    line.chars().take(PLAIN_ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, detail: &str) {
        let problem = problem(StatusCode::NOT_FOUND, body);
        assert_eq!(
            (problem.detail.as_str(), problem.error.as_str()),
            (detail, detail),
            "{body}"
        );
        assert_eq!(problem.status, 404);
    }

    #[test]
    fn every_form_of_refusal_keeps_its_message() {
        check(
            r#"{"type":"about:blank","detail":"no such task","error":"x"}"#,
            "no such task",
        );
        check(r#"{"error":"task not found"}"#, "task not found");
        check(r#"{"title":"Gone"}"#, "Gone");
        check("404 page not found\n", "404 page not found");
        check("", "the manager answered 404 Not Found");
        check("{}", "the manager answered 404 Not Found");
    }
}
