//! The one place that reads the wall clock. It is shown to people and never compared with another
//! machine's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| {
            i64::try_from(passed.as_millis()).unwrap_or(i64::MAX)
        })
}

/// The moment that is so long ago. An object store has a clock of its own: nothing may hang on what
/// this is compared with there but that work is put off.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the clock")]
pub fn before_now(age: Duration) -> SystemTime {
    SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH)
}
