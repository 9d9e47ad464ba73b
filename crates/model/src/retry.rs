//! How often and how soon a task is tried again.

use std::time::Duration;

/// The retry policy of a manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Attempts in one run of a task before it fails, at least 1.
    pub attempts_max: u32,
    /// Pause before the second attempt; it doubles with every further one.
    pub backoff: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
}

impl Policy {
    /// The pause after `tries` attempts of this run have come to nothing.
    #[must_use]
    pub fn pause(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(16);
        self.backoff
            .saturating_mul(1 << doublings)
            .min(self.backoff_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_maximum() {
        let policy = Policy {
            attempts_max: 3,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
        };
        let pauses: Vec<_> = (1..=6).map(|n| policy.pause(n).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(policy.pause(u32::MAX), policy.backoff_max);
    }
}
