//! `GET /tasks/{id}/logs`: what a task prints, as lines of JSON, from the proplet that runs it or,
//! once it has ended, from the store.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use futures_util::stream;
use propeller_api::{LogEvent as Line, LogStream, Problem, TaskState};
use propeller_model::{AttemptId, PropletId, Stream, TaskId};
use propeller_wire::message::{Output, PRINTED_LEN_MAX, Printed};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::body::Query;
use super::request::task_id;
use super::view::Ended;
use super::{Api, ApiError};
use crate::dispatch::{Answer, Command, EVENTS_MAX, LogEvent, Place};

/// How long whoever does not follow waits for the proplet.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often an empty line shows that a silent connection still stands.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// What the lines are.
const LINES: &str = "application/x-ndjson";

/// `GET /tasks/{id}/logs`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LogsQuery {
    /// Whether to go on until the task has ended.
    #[serde(default)]
    follow: bool,
    /// Where to go on: in which attempt,
    attempt: Option<u32>,
    /// and where in its streams.
    #[serde(default)]
    stdout: u64,
    #[serde(default)]
    stderr: u64,
}

/// What a task prints.
///
/// A task under way is read where it runs, so far as its proplet keeps it; of one that has ended the
/// last attempt is read from the store. The answer is one JSON object a line.
#[utoipa::path(get, path = "/tasks/{id}/logs", tag = "tasks",
    params(("id" = String, Path),
        ("follow" = Option<bool>, Query, description = "Go on until the task has ended, over as many attempts as that takes"),
        ("attempt" = Option<u32>, Query, description = "Where to go on after a broken connection: the attempt,"),
        ("stdout" = Option<u64>, Query, description = "the offset in its standard output,"),
        ("stderr" = Option<u64>, Query, description = "and in its standard error")),
    responses(
        (status = 200, body = Line, content_type = "application/x-ndjson", description = "One of these a line; the last one is an `end`"),
        (status = 404, body = Problem),
        (status = 409, body = Problem, description = "The task has not been started, or its proplet has no logs"),
        (status = 503, body = Problem, description = "Too many clients follow, or the proplet does not answer")))]
pub(super) async fn logs(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, ApiError> {
    let id = task_id(&id)?;
    let place = query.attempt.map(|attempt| Place {
        attempt,
        from: [query.stdout, query.stderr],
    });
    let mut feed = Feed::begin(api, id, query.follow, place).await?;
    if !query.follow {
        // A proplet that does not answer is an error that still can be told.
        feed.first().await?;
    }
    let lines = stream::unfold(feed, async |mut feed| {
        let line = feed.next().await?;
        Some((line, feed))
    });
    let kind = [
        (header::CONTENT_TYPE, LINES),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((kind, Body::from_stream(lines)).into_response())
}

/// One client's answer on its way.
struct Feed {
    api: Api,
    id: TaskId,
    follow: bool,
    /// While the task is under way.
    events: Option<mpsc::Receiver<LogEvent>>,
    /// The attempt that it is at, and whose.
    at: Option<(AttemptId, PropletId)>,
    /// Where to go on, and where it stands since.
    place: Option<Place>,
    /// How far to read where nobody follows: to what had been printed when it was asked.
    goal: [Option<u64>; 2],
    ready: VecDeque<Bytes>,
    deadline: Instant,
    over: bool,
}

/// The answer ends here, without an `end`: the client asks again.
type Broken = io::Error;

impl Feed {
    async fn begin(
        api: Api,
        id: TaskId,
        follow: bool,
        place: Option<Place>,
    ) -> Result<Self, ApiError> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let command = Command::Follow {
            task: id,
            place,
            events: Mutex::new(Some(sender)),
        };
        let answer = api.ask(command).await?;
        let mut feed = Self {
            api,
            id,
            follow,
            events: None,
            at: None,
            place,
            goal: [None; 2],
            ready: VecDeque::new(),
            deadline: Instant::now() + PATIENCE,
            over: false,
        };
        match answer {
            Answer::Following(false) if !follow => feed.end(TaskState::Scheduled),
            Answer::Following(_) => feed.events = Some(events),
            _ => {}
        }
        Ok(feed)
    }

    /// Waits for something to say.
    async fn first(&mut self) -> Result<(), ApiError> {
        let silent = || {
            let detail = "the proplet that runs the task does not answer: try again, or follow \
                          the task until it does";
            ApiError::new(axum::http::StatusCode::SERVICE_UNAVAILABLE, detail)
        };
        let Some(line) = self.next().await else {
            return Ok(());
        };
        self.ready.push_front(line.map_err(|_| silent())?);
        // The first thing that is heard of is the attempt, and that says nothing about its proplet.
        while self.events.is_some() && self.goal == [None; 2] && !self.over {
            self.hear().await.map_err(|_| silent())?;
        }
        Ok(())
    }

    /// The next line, or an empty one if there has been none for long.
    async fn next(&mut self) -> Option<Result<Bytes, Broken>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            if self.over {
                return None;
            }
            let heard = if self.events.is_some() {
                self.hear().await
            } else {
                self.stored().await
            };
            if let Err(broken) = heard {
                self.over = true;
                return Some(Err(broken));
            }
        }
    }

    /// Takes the next event of a task under way.
    async fn hear(&mut self) -> Result<(), Broken> {
        let Some(events) = &mut self.events else {
            return Ok(());
        };
        let until = if self.follow {
            Instant::now() + KEEPALIVE
        } else {
            self.deadline
        };
        match tokio::time::timeout_at(until, events.recv()).await {
            Ok(Some(LogEvent::Attempt {
                attempt,
                proplet,
                from,
            })) => self.attempt(attempt, proplet, from),
            Ok(Some(LogEvent::Printed(printed))) => self.printed(&printed)?,
            Ok(None) => self.events = None,
            Err(_) if self.follow => self.ready.push_back(Bytes::from_static(b"\n")),
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        Ok(())
    }

    fn attempt(&mut self, attempt: AttemptId, proplet: PropletId, from: [u64; 2]) {
        self.say(&Line::Attempt {
            attempt: attempt.number,
            proplet_id: proplet.to_string(),
        });
        self.place = Some(Place {
            attempt: attempt.number,
            from,
        });
        self.at = Some((attempt, proplet));
        self.goal = [None; 2];
    }

    /// Opens a piece and passes it on.
    fn printed(&mut self, printed: &Printed) -> Result<(), Broken> {
        let (Some((attempt, proplet)), Some(place)) = (&self.at, &mut self.place) else {
            return Ok(());
        };
        if printed.attempt != *attempt {
            return Ok(());
        }
        let index = printed.stream.index();
        let bytes = if printed.bytes.is_empty() {
            Vec::new()
        } else {
            let opened = self.api.renderer().piece(proplet, printed);
            opened.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?
        };
        place.from[index] = printed.offset.saturating_add(bytes.len() as u64);
        let reached = place.from;
        if !bytes.is_empty() {
            self.output(printed.stream, printed.offset, &bytes, false);
        }
        self.goal[index].get_or_insert(printed.printed);
        let is_there = |index: usize| self.goal[index].is_some_and(|goal| reached[index] >= goal);
        if !self.follow && is_there(0) && is_there(1) {
            self.end(TaskState::Running);
        }
        Ok(())
    }

    /// What the store has of a task that has ended.
    async fn stored(&mut self) -> Result<(), Broken> {
        let (renderer, id) = (self.api.renderer(), self.id);
        let ended = self.api.read(move |reader| renderer.ended(reader, id));
        let ended = ended.await.map_err(|_| io::Error::other("not readable"))?;
        // The dispatcher went away, or the task was begun again: the client asks again.
        let Some(Ended {
            attempt,
            output,
            end,
        }) = ended
        else {
            return Err(io::ErrorKind::Interrupted.into());
        };
        if let Some((attempt, proplet)) = attempt {
            let known = self.place.filter(|place| place.attempt == attempt.number);
            let from = known.map_or([0; 2], |place| place.from);
            if self.at.as_ref().map(|(at, _)| *at) != Some(attempt) {
                self.attempt(attempt, proplet, from);
            }
            self.rest(&output, from);
        }
        self.say(&end);
        self.over = true;
        Ok(())
    }

    /// What a client that stands at `from` has not seen of an attempt's output.
    fn rest(&mut self, output: &Output, from: [u64; 2]) {
        for (stream, bytes) in [
            (Stream::Stdout, &output.stdout),
            (Stream::Stderr, &output.stderr),
        ] {
            let gone = output.gone[stream.index()];
            let skip = from[stream.index()].saturating_sub(gone);
            let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            let mut offset = gone + skip as u64;
            let stored = output.stdout_object.filter(|_| stream == Stream::Stdout);
            if let Some(object) = stored.filter(|object| object.plain_len > from[0]) {
                // Nothing, at its end: what came before is there, and not here.
                self.output(stream, object.plain_len, &[], true);
            }
            for piece in bytes[skip..].chunks(PRINTED_LEN_MAX) {
                self.output(stream, offset, piece, false);
                offset += piece.len() as u64;
            }
        }
    }

    fn output(&mut self, stream: Stream, offset: u64, bytes: &[u8], stored: bool) {
        self.say(&Line::Output {
            stream: match stream {
                Stream::Stdout => LogStream::Stdout,
                Stream::Stderr => LogStream::Stderr,
            },
            offset,
            data_base64: BASE64.encode(bytes),
            stored,
        });
    }

    /// Ends an answer about a task that has not ended.
    fn end(&mut self, state: TaskState) {
        self.say(&Line::End {
            state: state as u8,
            exit: None,
            error: String::new(),
            hint: String::new(),
        });
        self.over = true;
    }

    fn say(&mut self, line: &Line) {
        // A line is made of texts and numbers, which always have a form in JSON.
        if let Ok(mut json) = serde_json::to_vec(line) {
            json.push(b'\n');
            self.ready.push_back(Bytes::from(json));
        }
    }
}
