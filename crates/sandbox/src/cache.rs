//! Compiled code, kept for later jobs for a while and compiled once for concurrent ones.
//!
//! Every key has one cell. Whoever claims a key first has to fill its cell; everyone waits on it.
//! Cells that are being filled are not bounded here, since each has a job behind it; cells that are
//! filled are, and the one that was used longest ago goes first. One that nobody has used for the
//! time to live goes too, because compiled code holds what its module holds. Here is no clock: who
//! calls says what time it is, and `shelf` calls when it is time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::SetOnce;

/// Where the value of one key appears, once.
pub(crate) type Cell<V> = Arc<Place<V>>;

/// A value that is being made, or waits for that.
pub(crate) struct Place<V> {
    begun: SetOnce<()>,
    made: SetOnce<V>,
}

impl<V> Place<V> {
    fn new() -> Self {
        Self {
            begun: SetOnce::new(),
            made: SetOnce::new(),
        }
    }

    /// Says that it is being made now.
    pub(crate) fn begin(&self) {
        // Whoever is to make it is one.
        self.begun.set(()).ok();
    }

    /// Waits until it is being made.
    pub(crate) async fn begun(&self) {
        self.begun.wait().await;
    }

    pub(crate) fn get(&self) -> Option<&V> {
        self.made.get()
    }

    /// Waits until it is there.
    pub(crate) async fn made(&self) {
        self.made.wait().await;
    }
}

/// A bounded map from key to cell.
pub(crate) struct Cache<K, V> {
    slots: Mutex<Slots<K, V>>,
    bounds: Bounds,
}

/// What is kept, at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) entries_max: usize,
    pub(crate) bytes_max: u64,
    /// How long after its last use; 0 keeps nothing.
    pub(crate) ttl: Duration,
}

/// What a job gets that asks for a key.
pub(crate) struct Claim<V> {
    pub(crate) cell: Cell<V>,
    /// Whether the claimant is the one to fill the cell.
    pub(crate) first: bool,
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            slots: Mutex::new(Slots::new()),
            bounds,
        }
    }

    /// The cell of `key`, used now.
    pub(crate) fn claim(&self, key: &K, now: Instant) -> Claim<V> {
        self.lock().claim(key, self.bounds.ttl, now)
    }

    /// Fills the cell of `key`. A value without a size is for those who wait, and is not kept.
    /// Whether this one is.
    pub(crate) fn settle(
        &self,
        key: &K,
        cell: &Cell<V>,
        value: V,
        bytes: Option<u64>,
        now: Instant,
    ) -> bool {
        let Bounds {
            entries_max,
            bytes_max,
            ttl,
        } = self.bounds;
        // What can never fit would only push everything else out.
        let kept = bytes.filter(|&bytes| bytes <= bytes_max && entries_max > 0 && !ttl.is_zero());
        {
            let mut slots = self.lock();
            match kept {
                Some(bytes) => slots.keep(key, bytes, now),
                None => slots.remove(key),
            }
            slots.evict(entries_max, bytes_max);
        }
        if cell.made.set(value).is_err() {
            tracing::error!("a module was compiled twice for one cell");
        }
        kept.is_some()
    }

    /// Gives up a cell that nobody waits for any more, before it is filled. Its slot and whoever was
    /// to fill it have it still.
    pub(crate) fn abandon(&self, key: &K, cell: &Cell<V>) -> bool {
        let mut slots = self.lock();
        let abandoned = Arc::strong_count(cell) <= 2;
        if abandoned {
            slots.remove(key);
        }
        abandoned
    }

    /// Drops what nobody has used for the time to live, and says when the next one will have been
    /// there that long; `None` if nothing is kept.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        self.lock().expire(self.bounds.ttl, now)
    }

    fn lock(&self) -> MutexGuard<'_, Slots<K, V>> {
        self.slots.lock().expect("keeping the books does not panic")
    }
}

/// The books: who is in, how big, used when. Every use counts `uses` on by one, which is the order
/// of those at one time.
struct Slots<K, V> {
    by_key: HashMap<K, Slot<V>>,
    uses: u64,
}

struct Slot<V> {
    cell: Cell<V>,
    used: (Instant, u64),
    /// `None` while the cell is being filled.
    bytes: Option<u64>,
}

impl<V> Slot<V> {
    /// When it is over; `None` while it is being filled, and for a time that no clock reaches.
    fn until(&self, ttl: Duration) -> Option<Instant> {
        self.bytes.and_then(|_| self.used.0.checked_add(ttl))
    }

    fn is_fresh(&self, ttl: Duration, now: Instant) -> bool {
        self.until(ttl).is_none_or(|until| until > now)
    }
}

impl<K: Clone + Eq + Hash, V> Slots<K, V> {
    fn new() -> Self {
        Self {
            by_key: HashMap::new(),
            uses: 0,
        }
    }

    /// What is over is claimed anew: whoever drops it may be late.
    fn claim(&mut self, key: &K, ttl: Duration, now: Instant) -> Claim<V> {
        self.uses += 1;
        let used = (now, self.uses);
        let slot = self.by_key.get_mut(key);
        if let Some(slot) = slot.filter(|slot| slot.is_fresh(ttl, now)) {
            slot.used = used;
            return Claim {
                cell: Arc::clone(&slot.cell),
                first: false,
            };
        }
        let cell = Arc::new(Place::new());
        let slot = Slot {
            cell: Arc::clone(&cell),
            used,
            bytes: None,
        };
        self.by_key.insert(key.clone(), slot);
        Claim { cell, first: true }
    }

    /// Its time begins when it is there: compiling may take longer than it is kept.
    fn keep(&mut self, key: &K, bytes: u64, now: Instant) {
        if let Some(slot) = self.by_key.get_mut(key) {
            slot.bytes = Some(bytes);
            slot.used.0 = now;
        }
    }

    fn remove(&mut self, key: &K) {
        self.by_key.remove(key);
    }

    /// Linear in the number of entries, which is bounded and small next to running a guest.
    fn expire(&mut self, ttl: Duration, now: Instant) -> Option<Instant> {
        self.by_key.retain(|_, slot| slot.is_fresh(ttl, now));
        let left = self.by_key.values();
        left.filter_map(|slot| slot.until(ttl)).min()
    }

    /// Linear in the number of entries, which is small next to the cost of one compilation.
    fn evict(&mut self, entries_max: usize, bytes_max: u64) {
        loop {
            let filled = || self.by_key.values().filter_map(|slot| slot.bytes);
            if filled().count() <= entries_max && filled().sum::<u64>() <= bytes_max {
                return;
            }
            let oldest = self.by_key.iter().filter(|(_, slot)| slot.bytes.is_some());
            let Some((key, _)) = oldest.min_by_key(|(_, slot)| slot.used) else {
                return;
            };
            let key = key.clone();
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a script and compares what is in the cache at the end.
    ///
    /// `a` claims module a, `a=3` settles it with 3 bytes, `a!` settles it as refused, and `+4` lets
    /// 4 seconds pass, after which what is over is dropped. The cache holds 2 entries and 10 bytes
    /// for 10 seconds.
    fn check(script: &str, expected: &str) {
        let cache = Cache::new(Bounds {
            entries_max: 2,
            bytes_max: 10,
            ttl: Duration::from_secs(10),
        });
        let mut cells = HashMap::new();
        let mut now = Instant::now();
        for step in script.split(' ') {
            let (name, rest) = step.split_at(1);
            let number = || rest.trim_matches('=').parse().expect("a number");
            match (name, rest) {
                ("+", _) => {
                    now += Duration::from_secs(number());
                    let next = cache.expire(now);
                    assert!(next.is_none_or(|next| next > now), "{script}");
                }
                (_, "") => {
                    cells.insert(name, cache.claim(&key(name), now).cell);
                }
                (_, "!") => {
                    cache.settle(&key(name), &cells[name], (), None, now);
                }
                _ => {
                    cache.settle(&key(name), &cells[name], (), Some(number()), now);
                }
            }
        }
        let mut kept: Vec<String> = cache.lock().by_key.keys().cloned().collect();
        kept.sort();
        assert_eq!(kept.join(" "), expected, "{script}");
    }

    fn key(name: &str) -> String {
        name.to_owned()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        check("a a=1 b b=1 c c=1", "b c");
        check("a a=1 b b=1 a c c=1", "a c");
        check("a a=1 b b=1 +1 a +1 c c=1", "a c");
    }

    #[test]
    fn bytes_are_bounded_too() {
        check("a a=6 b b=6", "b");
        check("a a=5 b b=5", "a b");
    }

    #[test]
    fn what_can_never_fit_pushes_nothing_out() {
        check("a a=1 b b=11", "a");
    }

    #[test]
    fn what_is_being_compiled_stays() {
        check("a b b=1 c c=1 d d=1", "a c d");
        check("a +100", "a");
    }

    #[test]
    fn a_refusal_is_not_kept() {
        check("a a!", "");
    }

    #[test]
    fn what_nobody_uses_goes_when_its_time_is_over() {
        check("a a=1 +9", "a");
        check("a a=1 +10", "");
        check("a a=1 +5 b b=1 +5", "b");
        check("a a=1 +9 a +9", "a");
        // Its time begins when it is compiled.
        check("a +9 a=1 +9", "a");
    }

    #[test]
    fn what_is_over_is_claimed_anew_even_if_nobody_has_dropped_it() {
        let cache: Cache<String, ()> = Cache::new(Bounds {
            entries_max: 2,
            bytes_max: 10,
            ttl: Duration::from_secs(10),
        });
        let now = Instant::now();
        let cell = cache.claim(&key("a"), now).cell;
        assert!(cache.settle(&key("a"), &cell, (), Some(1), now));
        assert!(!cache.claim(&key("a"), now).first);
        assert!(cache.claim(&key("a"), now + Duration::from_secs(10)).first);
    }

    #[test]
    fn only_the_first_claimant_fills_the_cell() {
        let now = Instant::now();
        let cache: Cache<String, ()> = Cache::new(Bounds {
            entries_max: 1,
            bytes_max: 1,
            ttl: Duration::ZERO,
        });
        let first = cache.claim(&key("a"), now);
        assert!(first.first);
        assert!(!cache.claim(&key("a"), now).first);
        assert!(cache.claim(&key("b"), now).first);
        // Without time to live it is for those who wait, and for nobody later.
        assert!(!cache.settle(&key("a"), &first.cell, (), Some(1), now));
        assert!(cache.claim(&key("a"), now).first);
    }
}
