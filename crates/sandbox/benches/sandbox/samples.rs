//! Many measurements of one thing, and the median that stands for them.

use std::time::Duration;

/// The median; nothing of nothing.
pub(crate) fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    let middle = durations.len() / 2;
    durations.get(middle).copied().unwrap_or_default()
}

/// Measures several variants of one thing in turns, so that whatever else the machine does hits all
/// of them, and gives the median of each. A first round that warms up does not count.
pub(crate) fn in_turns<const N: usize>(
    rounds: usize,
    mut measure: impl FnMut(usize) -> Duration,
) -> [Duration; N] {
    let mut took = [(); N].map(|()| Vec::with_capacity(rounds));
    for round in 0..=rounds {
        // Whoever comes first in one round comes last in another one.
        for turn in 0..N {
            let variant = (turn + round) % N;
            let one = measure(variant);
            if round > 0 {
                took[variant].push(one);
            }
        }
    }
    took.map(median)
}

/// A duration in microseconds, for people.
pub(crate) fn us(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    match us {
        ..100.0 => format!("{us:.2} µs"),
        ..10_000.0 => format!("{us:.0} µs"),
        _ => format!("{:.0} ms", us / 1e3),
    }
}

/// How many times as long `one` takes as `other`.
pub(crate) fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// How many there are in a second, one of which takes `each`.
pub(crate) fn per_second(each: Duration) -> f64 {
    each.as_secs_f64().recip()
}
