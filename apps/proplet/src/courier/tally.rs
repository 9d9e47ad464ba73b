//! How far what a proxy fetches has come, for the error of whoever gives it up.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Of one blob, in bytes.
#[derive(Debug)]
pub(crate) struct Tally {
    len: u64,
    at_proxy: AtomicU64,
    here: AtomicU64,
}

/// Of all blobs that one pull has ordered.
#[derive(Debug, Default)]
pub(crate) struct Tallies(Mutex<Vec<Arc<Tally>>>);

impl Tally {
    /// Nothing has come yet.
    pub(super) fn new(len: u64) -> Self {
        Self {
            len,
            at_proxy: AtomicU64::new(0),
            here: AtomicU64::new(0),
        }
    }

    /// So much of it has the proxy, as it says itself: never less than before.
    pub(crate) fn at_proxy(&self, bytes: u64) {
        let bytes = bytes.min(self.len);
        self.at_proxy.fetch_max(bytes, Ordering::Relaxed);
    }

    /// So much of it is here, and so it was at the proxy.
    pub(crate) fn here(&self, bytes: u64) {
        self.at_proxy(bytes);
        self.here.store(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> [u64; 3] {
        [
            self.len,
            self.at_proxy.load(Ordering::Relaxed),
            self.here.load(Ordering::Relaxed),
        ]
    }
}

impl Tallies {
    /// One of a blob that is ordered now.
    pub(super) fn of(&self, len: u64) -> Arc<Tally> {
        let tally = Arc::new(Tally::new(len));
        let mut all = self.0.lock().expect("no thread panics with it");
        all.push(Arc::clone(&tally));
        tally
    }
}

/// Where nothing has come there is nothing to say.
fn say(f: &mut fmt::Formatter<'_>, [len, at_proxy, here]: [u64; 3]) -> fmt::Result {
    match at_proxy {
        0 => Ok(()),
        _ => write!(
            f,
            "; {at_proxy} of {len} bytes were at the proxy, {here} of them here"
        ),
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        say(f, self.read())
    }
}

impl fmt::Display for Tallies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.lock().expect("no thread panics with it");
        let sum =
            |sum: [u64; 3], one: [u64; 3]| [0, 1, 2].map(|at| sum[at].saturating_add(one[at]));
        say(f, all.iter().map(|tally| tally.read()).fold([0; 3], sum))
    }
}
