//! Bodies that arrive and bodies that leave.

use wasip2::http::types::{Fields, IncomingBody, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

/// What is read at once, at most.
const READ_BYTES_MAX: u64 = 64 * 1024;

/// What `blocking-write-and-flush` takes at once, at most.
const WRITE_BYTES_MAX: usize = 4096;

/// A header's name and value.
pub(crate) type Header<'a> = (&'a str, &'a [u8]);

/// Why a body ended early: one of its ends is gone.
pub(crate) struct Cut(pub(crate) String);

impl From<StreamError> for Cut {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed => Self("nobody reads it".to_owned()),
            StreamError::LastOperationFailed(error) => Self(error.to_debug_string()),
        }
    }
}

/// A body that arrives. Its stream belongs to it and is dropped before it.
pub(crate) struct Incoming {
    stream: InputStream,
    _body: IncomingBody,
}

impl Incoming {
    pub(crate) fn new(body: IncomingBody) -> Self {
        let stream = body.stream().expect("nobody took the stream before");
        Self {
            stream,
            _body: body,
        }
    }

    /// Waits for the next bytes. `None` is the end.
    fn next(&self) -> Result<Option<Vec<u8>>, StreamError> {
        match self.stream.blocking_read(READ_BYTES_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StreamError::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A response whose head is out. Dropped before [`Answer::finish`], it is cut off.
///
/// Its stream belongs to its body and is dropped before it.
pub(crate) struct Answer {
    stream: OutputStream,
    body: OutgoingBody,
}

impl Answer {
    pub(crate) fn start(out: ResponseOutparam, status: u16, headers: &[Header<'_>]) -> Self {
        let fields = Fields::new();
        for (name, value) in headers {
            fields
                .append(name, value)
                .expect("the value is a constant or was a header of the request");
        }
        let response = with_status(fields, status);
        let body = response.body().expect("nobody took the body before");
        let stream = body.write().expect("nobody took the stream before");
        ResponseOutparam::set(out, Ok(response));
        Self { stream, body }
    }

    /// Returns when the host has taken all of it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Cut> {
        for piece in bytes.chunks(WRITE_BYTES_MAX) {
            self.stream.blocking_write_and_flush(piece)?;
        }
        Ok(())
    }

    /// Sends what arrives, when it arrives.
    pub(crate) fn pass_on(&mut self, incoming: &Incoming) -> Result<(), Cut> {
        while let Some(bytes) = incoming.next()? {
            self.send(&bytes)?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) {
        let Self { stream, body } = self;
        drop(stream);
        // What fails here is known to the host.
        let _ = OutgoingBody::finish(body, None);
    }
}

/// A response that has no body.
pub(crate) fn empty(out: ResponseOutparam, status: u16) {
    ResponseOutparam::set(out, Ok(with_status(Fields::new(), status)));
}

fn with_status(fields: Fields, status: u16) -> OutgoingResponse {
    let response = OutgoingResponse::new(fields);
    response
        .set_status_code(status)
        .expect("the status is one of HTTP's");
    response
}
