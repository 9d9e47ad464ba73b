//! What a task prints, line by line, over broken connections.

use std::time::{Duration, Instant};

use propeller_api::{LogEvent, LogStream};
use reqwest::{Method, Response};

use crate::{Client, ClientError, Reply};

/// Longest line that is read. A piece is at most 32 KiB, and half as much again in base64.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How long a manager may be silent. It sends an empty line every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Pause before asking again.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a follower bears a manager that is away: time enough to restart it.
const OUTAGE_MAX: Duration = Duration::from_secs(30);

/// What a task prints. See [`Client::task_logs`].
#[derive(Debug)]
pub struct Logs {
    client: Client,
    id: String,
    follow: bool,
    lines: Lines,
    /// Where to go on.
    attempt: Option<u32>,
    offsets: [u64; 2],
    heard: Instant,
    over: bool,
}

/// The lines of one answer.
#[derive(Debug)]
struct Lines {
    response: Response,
    buffer: Vec<u8>,
}

impl Client {
    /// What a task has printed so far, or with `follow`, all it prints until it has ended.
    ///
    /// A follower goes on where it was when the connection breaks or the manager is away for a
    /// while.
    ///
    /// # Errors
    ///
    /// If the manager refuses or does not answer.
    pub async fn task_logs(&self, id: &str, follow: bool) -> Result<Logs, ClientError> {
        Ok(Logs {
            lines: self.log_lines(id, follow, None).await?,
            client: self.clone(),
            id: id.to_owned(),
            follow,
            attempt: None,
            offsets: [0; 2],
            heard: Instant::now(),
            over: false,
        })
    }

    async fn log_lines(
        &self,
        id: &str,
        follow: bool,
        place: Option<(u32, [u64; 2])>,
    ) -> Result<Lines, ClientError> {
        let mut url = self.url(&["tasks", id, "logs"])?;
        if follow {
            url.query_pairs_mut().append_pair("follow", "true");
        }
        if let Some((attempt, [stdout, stderr])) = place {
            url.query_pairs_mut()
                .append_pair("attempt", &attempt.to_string())
                .append_pair("stdout", &stdout.to_string())
                .append_pair("stderr", &stderr.to_string());
        }
        let request = self.request(Method::GET, url);
        let response = self.begin(request).await?;
        Ok(Lines {
            response,
            buffer: Vec::new(),
        })
    }
}

impl Logs {
    /// The next event, or `None` after the last one, which is [`LogEvent::End`].
    ///
    /// # Errors
    ///
    /// If the connection breaks, for a follower if it stays broken, or what comes is not a log.
    pub async fn next(&mut self) -> Result<Option<Reply<LogEvent>>, ClientError> {
        while !self.over {
            let line = match self.lines.next(&self.client).await {
                Ok(line) => line,
                Err(error) if self.may_go_on(&error) => {
                    self.go_on(error).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Ok(event) = Reply::<LogEvent>::parse(line) else {
                return Err(self.client.not_a_log("it has another form"));
            };
            self.heard = Instant::now();
            if self.take(&event)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Notes where an event leads. False for one that says nothing new.
    fn take(&mut self, event: &LogEvent) -> Result<bool, ClientError> {
        match event {
            LogEvent::Attempt { attempt, .. } => {
                if self.attempt == Some(*attempt) {
                    return Ok(false);
                }
                self.attempt = Some(*attempt);
                self.offsets = [0; 2];
            }
            LogEvent::Output {
                stream,
                offset,
                data_base64,
                ..
            } => {
                let len = base64_len(data_base64)
                    .ok_or_else(|| self.client.not_a_log("a piece is not base64"))?;
                self.offsets[index(*stream)] = offset.saturating_add(len);
            }
            LogEvent::End { .. } => self.over = true,
        }
        Ok(true)
    }

    /// Whether this is what a manager that is being restarted looks like.
    fn may_go_on(&self, error: &ClientError) -> bool {
        self.follow
            && matches!(
                error,
                ClientError::Interrupted { .. } | ClientError::CutOff { .. }
            )
    }

    /// Connects again, for as long as the outage may take.
    async fn go_on(&mut self, first: ClientError) -> Result<(), ClientError> {
        let mut last = first;
        while self.heard.elapsed() < OUTAGE_MAX {
            tokio::time::sleep(PAUSE).await;
            let place = self.attempt.map(|attempt| (attempt, self.offsets));
            match self.client.log_lines(&self.id, true, place).await {
                Ok(lines) => {
                    self.lines = lines;
                    return Ok(());
                }
                Err(
                    error @ (ClientError::Unreachable { .. }
                    | ClientError::Interrupted { .. }
                    | ClientError::Refused {
                        status: 502..=504, ..
                    }),
                ) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

impl Lines {
    /// The next line that is not empty.
    async fn next(&mut self, client: &Client) -> Result<String, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8(line).map_err(|_| client.not_a_log("it is not text"));
                let line = line?;
                if line.trim().is_empty() {
                    continue;
                }
                return Ok(line.trim_end().to_owned());
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(client.not_a_log("a line has no end"));
            }
            let chunk = tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await;
            let cut_off = ClientError::CutOff {
                url: client.address(),
            };
            match chunk {
                Ok(Ok(Some(chunk))) => self.buffer.extend_from_slice(&chunk),
                Ok(Ok(None)) | Err(_) => return Err(cut_off),
                Ok(Err(error)) => return Err(client.failed(error, SILENCE_MAX)),
            }
        }
    }
}

fn index(stream: LogStream) -> usize {
    match stream {
        LogStream::Stdout => 0,
        LogStream::Stderr => 1,
    }
}

/// How many bytes a text of standard base64 stands for.
fn base64_len(text: &str) -> Option<u64> {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len().is_multiple_of(4) && padding <= 2 && padding <= text.len())
        .then(|| (text.len() / 4 * 3 - padding) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_a_length_without_being_decoded() {
        for (text, len) in [
            ("", Some(0)),
            ("aGk=", Some(2)),
            ("aA==", Some(1)),
            ("aGFo", Some(3)),
            ("aGFo=", None),
            ("====", None),
        ] {
            assert_eq!(base64_len(text), len, "{text}");
        }
    }
}
