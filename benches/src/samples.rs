//! Many measurements of one thing, and the few numbers that stand for them.

use std::time::Duration;

/// Durations, shortest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The median, in milliseconds.
    pub(crate) fn median_ms(&self) -> Option<f64> {
        self.percentile_ms(50)
    }

    /// The shortest duration that `percent` of all do not exceed (nearest rank), in milliseconds.
    /// None of nothing.
    pub(crate) fn percentile_ms(&self, percent: usize) -> Option<f64> {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().map(ms)
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }
}

/// Milliseconds, to the microsecond: what is finer than that is noise.
fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ms: &[u64], percent: usize, expected: Option<f64>) {
        let samples: Samples = ms.iter().copied().map(Duration::from_millis).collect();
        assert_eq!(samples.percentile_ms(percent), expected);
    }

    #[test]
    fn nothing_has_no_median() {
        check(&[], 50, None);
    }

    #[test]
    fn one_sample_stands_for_all_percentiles() {
        check(&[7], 50, Some(7.0));
        check(&[7], 99, Some(7.0));
    }

    #[test]
    fn the_nearest_rank_is_a_sample_and_the_order_does_not_matter() {
        check(&[3, 1, 2], 50, Some(2.0));
        check(&[4, 3, 2, 1], 50, Some(2.0));
        check(&[10, 1, 2, 3, 4, 5, 6, 7, 8, 9], 95, Some(10.0));
        check(&(1..=100).collect::<Vec<_>>(), 99, Some(99.0));
    }
}
