//! Tells watchers what is new: reads transcripts, seals pieces, and says them in the session.

use std::time::Instant;

use propeller_envelope::{Context, seal};
use propeller_sandbox::Piece;
use propeller_wire::message::{FromProplet, Printed};
use serde_bytes::ByteBuf;

use crate::watch::{News, Source};
use crate::worker::Worker;

impl Worker {
    /// Tells every watcher what is new. Without a session it stays where it is.
    pub(crate) fn tell_printed(&mut self) {
        if !self.may_talk() {
            return;
        }
        let Self {
            watches,
            running,
            fetches,
            ..
        } = self;
        let source = |attempt| match running.get(&attempt) {
            Some(running) => Some(
                running
                    .transcript
                    .get()
                    .map_or(Source::Early, Source::Transcript),
            ),
            None if fetches.attempts().any(|waiting| waiting == attempt) => Some(Source::Early),
            None => None,
        };
        for news in watches.news(Instant::now(), source) {
            if let Some(printed) = self.seal_news(news) {
                self.say(&FromProplet::Printed(printed));
            }
        }
    }

    fn seal_news(&self, news: News) -> Option<Printed> {
        let News {
            watcher,
            attempt,
            stream,
            after,
            piece,
        } = news;
        let Piece {
            offset,
            bytes,
            printed,
        } = piece;
        let tenant = self.running.get(&attempt).map(|running| &*running.tenant);
        let context = Context::Log {
            tenant: tenant.unwrap_or_default(),
            task: *attempt.task.0.as_bytes(),
            attempt: attempt.number,
            proplet: self.bench.proplet.as_str(),
            stream: stream.code(),
            offset,
        };
        // What cannot be sealed is asked for again.
        let sealed = if bytes.is_empty() {
            Vec::new()
        } else {
            seal(&self.bench.keys, &context, &bytes).ok()?
        };
        Some(Printed {
            watcher,
            attempt,
            stream,
            after,
            offset,
            len: u32::try_from(bytes.len()).ok()?,
            printed,
            bytes: ByteBuf::from(sealed),
        })
    }
}
