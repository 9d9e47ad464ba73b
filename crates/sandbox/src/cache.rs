//! Compiled code, kept for later jobs and compiled once for concurrent ones.
//!
//! Every key has one cell. Whoever claims a key first has to fill its cell; everyone waits on it.
//! Cells that are being filled are not bounded here, since each has a job behind it; cells that are
//! filled are, and the one that was used longest ago goes first.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::SetOnce;

/// Where the value of one key appears, once.
pub(crate) type Cell<V> = Arc<SetOnce<V>>;

/// A bounded map from key to cell.
pub(crate) struct Cache<K, V> {
    slots: Mutex<Slots<K, V>>,
    entries_max: usize,
    bytes_max: u64,
}

/// What a job gets that asks for a key.
pub(crate) struct Claim<V> {
    pub(crate) cell: Cell<V>,
    /// Whether the claimant is the one to fill the cell.
    pub(crate) first: bool,
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    pub(crate) fn new(entries_max: usize, bytes_max: u64) -> Self {
        Self {
            slots: Mutex::new(Slots::new()),
            entries_max,
            bytes_max,
        }
    }

    /// The cell of `key`, used now.
    pub(crate) fn claim(&self, key: &K) -> Claim<V> {
        self.lock().claim(key)
    }

    /// Fills the cell of `key`. A value without a size is for those who wait, and is not kept.
    pub(crate) fn settle(&self, key: &K, cell: &Cell<V>, value: V, bytes: Option<u64>) {
        {
            let mut slots = self.lock();
            match bytes {
                Some(bytes) if bytes <= self.bytes_max => slots.keep(key, bytes),
                // What can never fit would only push everything else out.
                Some(_) | None => slots.remove(key),
            }
            slots.evict(self.entries_max, self.bytes_max);
        }
        if cell.set(value).is_err() {
            tracing::error!("a module was compiled twice for one cell");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots<K, V>> {
        self.slots.lock().expect("keeping the books does not panic")
    }
}

/// The books: who is in, how big, used when. Every use counts `clock` on by one.
struct Slots<K, V> {
    by_key: HashMap<K, Slot<V>>,
    clock: u64,
}

struct Slot<V> {
    cell: Cell<V>,
    used: u64,
    /// `None` while the cell is being filled.
    bytes: Option<u64>,
}

impl<K: Clone + Eq + Hash, V> Slots<K, V> {
    fn new() -> Self {
        Self {
            by_key: HashMap::new(),
            clock: 0,
        }
    }

    fn claim(&mut self, key: &K) -> Claim<V> {
        self.clock += 1;
        if let Some(slot) = self.by_key.get_mut(key) {
            slot.used = self.clock;
            return Claim {
                cell: Arc::clone(&slot.cell),
                first: false,
            };
        }
        let cell = Arc::new(SetOnce::new());
        let slot = Slot {
            cell: Arc::clone(&cell),
            used: self.clock,
            bytes: None,
        };
        self.by_key.insert(key.clone(), slot);
        Claim { cell, first: true }
    }

    fn keep(&mut self, key: &K, bytes: u64) {
        if let Some(slot) = self.by_key.get_mut(key) {
            slot.bytes = Some(bytes);
        }
    }

    fn remove(&mut self, key: &K) {
        self.by_key.remove(key);
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
    /// `a` claims module a, `a=3` settles it with 3 bytes, `a!` settles it as refused. The cache
    /// holds 2 entries and 10 bytes.
    fn check(script: &str, expected: &str) {
        let cache = Cache::new(2, 10);
        let mut cells = HashMap::new();
        for step in script.split(' ') {
            let name = &step[..1];
            match &step[1..] {
                "" => {
                    cells.insert(name, cache.claim(&key(name)).cell);
                }
                "!" => cache.settle(&key(name), &cells[name], (), None),
                size => {
                    let bytes = size[1..].parse().expect("a size follows the equals sign");
                    cache.settle(&key(name), &cells[name], (), Some(bytes));
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
    }

    #[test]
    fn a_refusal_is_not_kept() {
        check("a a!", "");
    }

    #[test]
    fn only_the_first_claimant_fills_the_cell() {
        let cache: Cache<String, ()> = Cache::new(1, 1);
        assert!(cache.claim(&key("a")).first);
        assert!(!cache.claim(&key("a")).first);
        assert!(cache.claim(&key("b")).first);
    }
}
