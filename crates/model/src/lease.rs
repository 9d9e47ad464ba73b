//! How long an attempt lives without a sign of life.

use std::time::{Duration, Instant};

/// A promise that runs out unless it is renewed. Each side measures it with its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    expires: Instant,
}

impl Lease {
    /// Grants `term` from `now` on.
    #[must_use]
    pub fn grant(now: Instant, term: Duration) -> Self {
        Self {
            expires: now + term,
        }
    }

    /// Whether the lease has run out at `now`.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.expires
    }
}
