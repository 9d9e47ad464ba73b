//! Inputs and outputs of tasks that are too large for a request: CES objects of one shard each,
//! which their owners seal and open, and the manager only keeps.

use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use propeller_api::ObjectInfo;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, RANGE};
use reqwest::{Body, Method, StatusCode};

use crate::upload::time_max;
use crate::watched::{Watched, overdue};
use crate::{Client, ClientError, Reply};

/// Why an answer is refused that is well-formed.
const ANOTHER_PART: &str = "it is not the part that was asked for";

/// How long a manager may take to answer when it has everything: its disk or its store takes the end
/// of a long object, and the object is looked at.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// How often a part is asked for again that the manager has no room to send just now. The pauses,
/// each twice as long as the one before, are a sixteenth of the client's patience at first, and
/// together no longer than it.
const BUSY_RETRIES_MAX: u32 = 4;

/// A part of a shard, and how long the whole is, in bytes.
struct Part {
    bytes: Bytes,
    total: u64,
}

impl Client {
    /// Gives a task its standard input: the only shard of a CES object that is sealed with the
    /// task's object key, sent while it is made.
    ///
    /// It may take as long as `shard` takes to come. A manager is given up if it takes nothing of
    /// what there is, or does not answer within five minutes when it has everything. What it answers is to be held
    /// against what was sealed. An error in `shard` breaks the request off, so that nothing is
    /// kept.
    ///
    /// # Errors
    ///
    /// If the manager refuses, is given up or does not answer, or `shard` has an error.
    pub async fn task_stdin(
        &self,
        id: &str,
        shard: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<Reply<ObjectInfo>, ClientError> {
        self.send_stdin(id, shard, ANSWER_MAX).await
    }

    async fn send_stdin(
        &self,
        id: &str,
        shard: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        answer_max: Duration,
    ) -> Result<Reply<ObjectInfo>, ClientError> {
        let url = self.url(&["tasks", id, "stdin"])?;
        let timeout = self.timeout();
        let (shard, watched) = Watched::new(shard, timeout, answer_max);
        let request = self
            .request(Method::PUT, url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Body::wrap_stream(shard));
        let response = tokio::select! {
            response = request.send() => response.map_err(|error| self.failed(error, timeout))?,
            after = overdue(watched, timeout) => {
                let url = self.address();
                return Err(ClientError::Timeout { url, after });
            }
        };
        self.rest(response).await?.value()
    }

    /// Bytes of the shard that a task's large standard output is sealed in, all within its length.
    ///
    /// They are held in memory, so that `range` should not be long.
    ///
    /// # Errors
    ///
    /// If the manager refuses, does not answer, or sends another part.
    pub async fn task_stdout_range(
        &self,
        id: &str,
        range: Range<u64>,
    ) -> Result<Bytes, ClientError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.stdout_part(id, &range).await.map(|part| part.bytes)
    }

    /// Length of the shard that a task's large standard output is sealed in, in bytes.
    ///
    /// # Errors
    ///
    /// If the manager refuses, does not answer, or has no parts to give.
    pub async fn task_stdout_len(&self, id: &str) -> Result<u64, ClientError> {
        // A refusal of HEAD would not say why.
        self.stdout_part(id, &(0..1)).await.map(|part| part.total)
    }

    /// Fetches a part, once more if the connection breaks, and a few times if the manager has no room
    /// just now: reading twice does no harm.
    async fn stdout_part(&self, id: &str, range: &Range<u64>) -> Result<Part, ClientError> {
        let mut pause = self.timeout() / 2_u32.pow(BUSY_RETRIES_MAX);
        let (mut busy, mut interrupted) = (0, false);
        loop {
            match self.stdout_part_once(id, range).await {
                Err(ClientError::Interrupted { .. }) if !interrupted => interrupted = true,
                Err(ClientError::Refused { status: 503, .. }) if busy < BUSY_RETRIES_MAX => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    busy += 1;
                }
                part => return part,
            }
        }
    }

    async fn stdout_part_once(&self, id: &str, range: &Range<u64>) -> Result<Part, ClientError> {
        let url = self.url(&["tasks", id, "stdout"])?;
        let wanted = range.end - range.start;
        let timeout = self.timeout().saturating_add(time_max(wanted));
        let request = self
            .request(Method::GET, url)
            .header(RANGE, format!("bytes={}-{}", range.start, range.end - 1))
            .timeout(timeout);
        let mut response = self.begin(request).await?;
        let status = response.status();
        let another = || self.unexpected(status, ANOTHER_PART);
        let part =
            content_range(response.headers()).filter(|_| status == StatusCode::PARTIAL_CONTENT);
        let (part, total) = part.ok_or_else(another)?;
        if part != *range {
            return Err(another());
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failed(error, timeout))?
        {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > wanted {
                break;
            }
        }
        if bytes.len() as u64 != wanted {
            return Err(another());
        }
        let bytes = bytes.freeze();
        Ok(Part { bytes, total })
    }
}

/// The part that an answer says it is, and the length of the whole (RFC 9110, section 14.4).
fn content_range(headers: &HeaderMap) -> Option<(Range<u64>, u64)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (part, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let end = last.parse::<u64>().ok()?.checked_add(1)?;
    Some((first.parse().ok()?..end, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::ClientOptions;

    const TIMEOUT: Duration = Duration::from_millis(200);

    fn client(listener: &TcpListener) -> Client {
        // Another test of this process may have been first.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let address = listener.local_addr().unwrap();
        Client::new(ClientOptions {
            base_url: format!("http://{address}"),
            token: None,
            ca_cert: None,
            insecure_skip_verify: false,
            timeout: TIMEOUT,
        })
        .unwrap()
    }

    fn wait<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(work)
    }

    /// Takes one request to the end of its chunked body, and answers.
    fn answers(listener: TcpListener, head: &'static str, json: &'static str) {
        answers_each(listener, vec![(Duration::ZERO, head, json)]);
    }

    /// The same for one after the other, each after a while.
    fn answers_each(
        listener: TcpListener,
        all: Vec<(Duration, &'static str, &'static str)>,
    ) -> std::thread::JoinHandle<()> {
        use std::io::{Read as _, Write as _};
        std::thread::spawn(move || {
            for (pause, head, json) in all {
                let (mut stream, _) = listener.accept().unwrap();
                let (mut seen, mut buf) = (Vec::new(), [0; 1024]);
                let is_whole = |seen: &[u8]| match seen.starts_with(b"GET") {
                    true => seen.ends_with(b"\r\n\r\n"),
                    false => seen.ends_with(b"0\r\n\r\n"),
                };
                while !is_whole(&seen) {
                    let len = stream.read(&mut buf).unwrap();
                    assert!(len > 0, "the request breaks off");
                    seen.extend_from_slice(&buf[..len]);
                }
                std::thread::sleep(pause);
                let len = json.len();
                let answer = format!(
                    "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{json}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
            }
        })
    }

    fn piece(len: usize) -> io::Result<Bytes> {
        Ok(Bytes::from(vec![7; len]))
    }

    #[test]
    fn an_input_may_come_slower_than_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(&listener);
        let digest = r#"{"digest":"d","length":9}"#;
        answers(listener, "200 OK", digest);
        let info = wait(async {
            let slow = stream::iter([piece(1), piece(2)]).then(async |piece| {
                tokio::time::sleep(TIMEOUT * 2).await;
                piece
            });
            client.task_stdin("7", slow).await
        });
        assert_eq!(info.unwrap().length, 9);
    }

    #[test]
    fn a_manager_that_takes_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(&listener);
        // Nobody accepts: the system takes what fits into its buffers, and no more.
        let endless = stream::repeat_with(|| piece(16 * 1024));
        let error = wait(client.task_stdin("7", endless)).unwrap_err();
        assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    }

    #[test]
    fn a_manager_that_has_everything_and_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(&listener);
        let put = client.send_stdin("7", stream::iter([piece(1)]), TIMEOUT * 2);
        match wait(put).unwrap_err() {
            ClientError::Timeout { after, .. } => assert_eq!(after, TIMEOUT * 2),
            error => panic!("{error}"),
        }
    }

    #[test]
    fn a_manager_that_has_everything_may_take_longer_to_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(&listener);
        let digest = r#"{"digest":"d","length":1}"#;
        answers_each(listener, vec![(TIMEOUT * 3, "200 OK", digest)]);
        let info = wait(client.task_stdin("7", stream::iter([piece(1)])));
        assert_eq!(info.unwrap().length, 1);
    }

    #[test]
    fn a_part_is_asked_for_again_while_there_is_no_room_and_not_for_ever() {
        let busy = (Duration::ZERO, "503 x", r#"{"error":"busy"}"#);
        let part = (Duration::ZERO, "206 x\r\nContent-Range: bytes 2-4/9", "abc");
        for (refusals, is_given) in [(4, true), (5, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = client(&listener);
            let mut all = vec![busy; refusals];
            all.extend(is_given.then_some(part));
            let server = answers_each(listener, all);
            match wait(client.stdout_part("7", &(2..5))) {
                Ok(part) => assert!(is_given && part.bytes == "abc"),
                Err(ClientError::Refused { status: 503, .. }) => assert!(!is_given),
                Err(error) => panic!("{error}"),
            }
            server.join().unwrap();
        }
    }

    #[test]
    fn an_input_that_fails_breaks_the_request_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(&listener);
        let broken = stream::iter([piece(1), Err(io::Error::other("the disk is gone"))]);
        let error = wait(client.task_stdin("7", broken)).unwrap_err();
        assert!(matches!(error, ClientError::Interrupted { .. }), "{error}");
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = String::new();
        io::Read::read_to_string(&mut stream, &mut seen).ok();
        assert!(!seen.ends_with("0\r\n\r\n"), "it looks whole: {seen}");
    }

    #[test]
    fn a_refusal_in_the_middle_of_an_input_is_told() {
        use std::io::{Read as _, Write as _};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = client(&listener);
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 64]).unwrap();
            let answer = "HTTP/1.1 413 x\r\nContent-Length: 20\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            stream.write_all(br#"{"error":"too much"}"#).unwrap();
            // Closed with unread bytes, the connection would be reset, and the answer lost with it.
            while stream.read(&mut [0; 1024]).is_ok_and(|len| len > 0) {}
        });
        let endless = stream::repeat_with(|| piece(16 * 1024));
        match wait(client.task_stdin("7", endless)).unwrap_err() {
            ClientError::Refused { status, problem } => {
                assert_eq!((status, problem.detail.as_str()), (413, "too much"));
            }
            error => panic!("{error}"),
        }
    }

    #[test]
    fn another_part_than_the_one_that_was_asked_for_is_refused() {
        for (head, body, expected) in [
            ("206 x\r\nContent-Range: bytes 2-4/9", "abc", Some(9)),
            ("206 x\r\nContent-Range: bytes 2-4/9", "abcd", None),
            ("206 x\r\nContent-Range: bytes 2-4/9", "ab", None),
            ("206 x\r\nContent-Range: bytes 3-5/9", "abc", None),
            ("206 x\r\nContent-Range: bytes 2-4/*", "abc", None),
            ("206 x", "abc", None),
            ("200 OK\r\nContent-Range: bytes 2-4/9", "abc", None),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = client(&listener);
            answers(listener, head, body);
            let part = wait(client.stdout_part("7", &(2..5)));
            match expected {
                Some(total) => assert_eq!(part.unwrap().total, total, "{head} {body}"),
                None => assert!(
                    matches!(part, Err(ClientError::Unexpected { .. })),
                    "{head} {body}"
                ),
            }
        }
    }
}
