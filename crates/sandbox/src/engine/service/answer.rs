//! The body of an answer, which ends well only if its guest has ended it.
//!
//! What a guest has written and not ended looks like the end of the body when the guest is gone. A
//! client that takes half an answer for a whole one keeps it, and passes it on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

/// See the module.
pub(super) struct Ended {
    pub(super) body: HyperOutgoingBody,
    /// Whether the guest has failed. Set before its end of the body goes.
    pub(super) cut: Arc<AtomicBool>,
}

impl Body for Ended {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(None) if self.cut.load(Ordering::SeqCst) => {
                Poll::Ready(Some(Err(Error::ConnectionTerminated)))
            }
            polled => polled,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
