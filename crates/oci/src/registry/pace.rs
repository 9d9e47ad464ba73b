//! How fast a registry has to send: whoever drips keeps a place from others.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;

use super::body::network;
use super::{RegistryError, Stage};

/// The least that must come of a body, for as long as it is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// So many bytes
    pub bytes: u64,
    /// in every such while that is spent on waiting for them. What whoever takes them needs is not
    /// counted.
    pub within: Duration,
}

impl Default for Pace {
    /// What the slowest honest link still does: of 20 kB/s, two images of four layers at a time leave
    /// each 75 kB in half a minute, and some of them get less than others. Slower than this, 650 kB
    /// would come in the ten minutes that a blob may take.
    fn default() -> Self {
        Self {
            bytes: 32 << 10,
            within: Duration::from_secs(30),
        }
    }
}

/// The pieces of a body, as long as they come fast enough.
pub(super) struct Paced<'a, S> {
    pieces: S,
    pace: Pace,
    stage: Stage,
    host: &'a str,
    /// In this while.
    came: u64,
    waited: Duration,
}

impl<'a, S: Stream<Item = reqwest::Result<Bytes>> + Unpin> Paced<'a, S> {
    pub(super) fn new(pieces: S, pace: Pace, stage: Stage, host: &'a str) -> Self {
        Self {
            pieces,
            pace,
            stage,
            host,
            came: 0,
            waited: Duration::ZERO,
        }
    }

    /// The next piece; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let left = self.pace.within.saturating_sub(self.waited);
            let since = Instant::now();
            let piece = tokio::time::timeout(left, self.pieces.next()).await;
            self.waited += since.elapsed();
            if let Ok(piece) = piece {
                let piece = piece.transpose();
                let piece = piece.map_err(|source| network(source, self.stage, self.host))?;
                self.came += piece.as_ref().map_or(0, |piece| piece.len() as u64);
                return Ok(piece);
            }
            if self.came < self.pace.bytes {
                return Err(RegistryError::Slow {
                    stage: self.stage,
                    host: self.host.to_owned(),
                    bytes: self.came,
                    pace: self.pace,
                });
            }
            self.came = 0;
            self.waited = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const NEVER: Duration = Duration::from_secs(600);

    /// So many pieces of so many bytes, a pause before each.
    fn pieces(
        count: usize,
        len: usize,
        pause: Duration,
    ) -> impl Stream<Item = reqwest::Result<Bytes>> + Unpin {
        Box::pin(stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok(Bytes::from(vec![0; len]))
        }))
    }

    /// What comes of them, and when, if whoever takes them needs so long for each.
    async fn read(
        pieces: impl Stream<Item = reqwest::Result<Bytes>> + Unpin,
        each: Duration,
    ) -> (Result<usize, String>, Duration) {
        let begun = Instant::now();
        let mut pieces = Paced::new(pieces, Pace::default(), Stage::Blob, "ghcr.io");
        let mut bytes = 0;
        let read = loop {
            match pieces.next().await {
                Ok(Some(piece)) => bytes += piece.len(),
                Ok(None) => break Ok(bytes),
                Err(error) => break Err(error.to_string()),
            }
            tokio::time::sleep(each).await;
        };
        (read, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_drips_is_given_up_in_half_a_minute() {
        let half_a_minute = Duration::from_secs(30);
        let (read_in_vain, after) =
            read(pieces(9999, 1, Duration::from_secs(14)), Duration::ZERO).await;
        let why = "network: ghcr.io sends the blob too slowly: 2 bytes in 30s, and 32768 are the \
                   least";
        assert_eq!(read_in_vain.unwrap_err(), why);
        assert_eq!(after, half_a_minute);
        // What was fast before does not excuse it.
        let begins = pieces(1, 1 << 20, Duration::from_secs(1));
        let drips = begins.chain(pieces(9999, 1000, Duration::from_secs(1)));
        let (read_in_vain, after) = read(drips, Duration::ZERO).await;
        assert!(
            read_in_vain
                .unwrap_err()
                .contains("too slowly: 30000 bytes")
        );
        assert!(after <= 2 * half_a_minute, "{after:?}");
        // Nor does whoever takes it slowly.
        let (read_in_vain, _) = read(
            pieces(9999, 100, Duration::from_secs(1)),
            Duration::from_secs(9),
        )
        .await;
        assert!(read_in_vain.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_honest_and_slow_comes() {
        // An eighth of 20 kB/s, for nearly as long as a blob may take.
        let slow = pieces(590, 2500, Duration::from_secs(1));
        assert_eq!(read(slow, Duration::ZERO).await.0, Ok(590 * 2500));
        // Less than the least, and soon whole.
        let small = pieces(29, 100, Duration::from_secs(1));
        assert_eq!(read(small, Duration::ZERO).await.0, Ok(2900));
        // Somebody who takes his time.
        let fast = pieces(20, 1000, Duration::from_millis(1));
        assert_eq!(read(fast, NEVER).await.0, Ok(20_000));
    }
}
