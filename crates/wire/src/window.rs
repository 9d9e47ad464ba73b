//! Which counters of a session have been seen (the window of RFC 6479, in its plain form).

/// Counters that the window remembers.
const LEN: u64 = 1024;
const WORDS: usize = 16;

/// The last 1,024 counters. Older ones count as seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Window {
    /// One more than the highest counter seen; 0 before the first.
    next: u64,
    seen: [u64; WORDS],
}

impl Window {
    /// Whether `counter` is new. Says nothing about later calls: see [`Window::mark`].
    ///
    /// The last counter never is: nobody sends it, and there is no `next` after it.
    pub(crate) fn is_new(&self, counter: u64) -> bool {
        if counter == u64::MAX {
            return false;
        }
        if counter >= self.next {
            return true;
        }
        self.next - counter <= LEN && !self.bit(counter)
    }

    /// Remembers `counter`. Call it only for a frame that has been authenticated.
    pub(crate) fn mark(&mut self, counter: u64) {
        if counter >= self.next {
            let skipped = counter - self.next;
            if skipped >= LEN {
                self.seen = [0; WORDS];
            } else {
                (self.next..counter).for_each(|old| self.clear(old));
            }
            self.next = counter + 1;
        }
        let (word, mask) = place(counter);
        self.seen[word] |= mask;
    }

    fn bit(&self, counter: u64) -> bool {
        let (word, mask) = place(counter);
        self.seen[word] & mask != 0
    }

    fn clear(&mut self, counter: u64) {
        let (word, mask) = place(counter);
        self.seen[word] &= !mask;
    }
}

fn place(counter: u64) -> (usize, u64) {
    let slot = counter % LEN;
    let word = usize::try_from(slot / 64).expect("a slot is below 1,024");
    (word, 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_last_counter_is_never_new_and_the_one_before_it_is_new_once() {
        let mut window = Window::default();
        assert!(!window.is_new(u64::MAX));
        assert!(window.is_new(u64::MAX - 1));
        window.mark(u64::MAX - 1);
        assert!(!window.is_new(u64::MAX - 1));
        assert!(!window.is_new(0));
    }

    #[test]
    fn repeats_and_the_too_old_are_seen_and_the_rest_is_new() {
        for seed in 0..200 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut window = Window::default();
            let mut seen = HashSet::new();
            let mut highest = None;
            for _ in 0..3000 {
                let around = highest.unwrap_or(0);
                let counter = match rng.u8(0..10) {
                    0 => around + rng.u64(0..3000),
                    1..4 => around + 1,
                    _ => u64::saturating_sub(around, rng.u64(0..1500)),
                };
                let too_old = highest.is_some_and(|h: u64| h + 1 - counter.min(h) > LEN);
                let expected = !seen.contains(&counter) && !too_old;
                assert_eq!(
                    window.is_new(counter),
                    expected,
                    "seed {seed} counter {counter}"
                );
                if expected {
                    window.mark(counter);
                    seen.insert(counter);
                    highest = Some(highest.map_or(counter, |h| h.max(counter)));
                }
            }
        }
    }
}
