//! Counts what a guest takes, and ends it when that is too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::{ResourceLimiter, Result};

use super::verdict::{Exceeded, HostMemory};
use super::world::World;
use crate::exit::{Limit, MEMORIES_MAX, TABLE_ELEMENTS_MAX};

/// What an element of a table costs: wasmtime keeps one pointer for each.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// Memory that the guests of one job have together, if it has several at a time.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    limit: u64,
    used: AtomicU64,
}

impl Pool {
    pub(super) fn new(limit: u64) -> Self {
        let used = AtomicU64::new(0);
        Self(Arc::new(Shared { limit, used }))
    }

    fn share(self) -> Share {
        Share {
            pool: self,
            taken: 0,
        }
    }
}

/// What one guest has of a pool. It goes back when the guest is gone.
struct Share {
    pool: Pool,
    taken: u64,
}

impl Share {
    /// Takes `more`, unless there is not that much.
    fn take(&mut self, more: u64) -> bool {
        let Shared { limit, used } = &*self.pool.0;
        let fits = |used: u64| used.checked_add(more).filter(|used| used <= limit);
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if taken.is_ok() {
            self.taken += more;
        }
        taken.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pool.0.used.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// The memories and tables of one guest together.
///
/// Growth beyond the limit ends the guest. WebAssembly would let `memory.grow` answer -1, but
/// hardly any program does better with that than to abort, without naming the limit.
pub(super) struct MemoryMeter {
    limit: u64,
    used: u64,
    /// How many memories there are.
    memories: u64,
    /// Where it has what it uses from, if it shares that with others.
    share: Option<Share>,
    world: World,
    /// Whether the growth that may fail now was granted here, so that only the host can refuse it.
    granted: bool,
}

impl MemoryMeter {
    pub(super) fn new(limit: u64, world: World) -> Self {
        Self {
            limit,
            used: 0,
            memories: 0,
            share: None,
            world,
            granted: false,
        }
    }

    /// For one of several guests that have `pool` together.
    pub(super) fn within(pool: &Pool, world: World) -> Self {
        Self {
            share: Some(pool.clone().share()),
            ..Self::new(pool.0.limit, world)
        }
    }

    /// The most that was in use. Memories and tables never shrink, so it is what is in use.
    pub(super) fn peak(&self) -> u64 {
        self.used
    }

    /// Counts what the host keeps for the guest, to its end.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<()> {
        self.grow(0, bytes)?;
        self.granted = false;
        Ok(())
    }

    /// Counts a growth. One that the operating system then refuses stays counted: wasmtime reports
    /// failures also of growths that it never asked about, so there is nothing sound to subtract.
    fn grow(&mut self, current: usize, desired: usize) -> Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let used = self.used.saturating_add(more);
        let shared = |share: &mut Share| share.take(more);
        if used > self.limit || !self.share.as_mut().is_none_or(shared) {
            return Err(Exceeded(Limit::Memory).into());
        }
        self.used = used;
        self.granted = true;
        Ok(true)
    }

    /// What the guest is to learn of a growth that failed. In the virtual world nothing: how much
    /// memory its host has left is not part of it.
    fn failed(&mut self) -> Result<()> {
        let by_host = std::mem::take(&mut self.granted);
        if by_host && self.world == World::Virtual {
            return Err(HostMemory.into());
        }
        Ok(())
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.granted = false;
        if exceeds(desired, maximum) {
            return Ok(false);
        }
        if current == 0 {
            // A new one, or the first growth of one that was empty.
            self.memories += 1;
            if self.memories > MEMORIES_MAX {
                return Err(Exceeded(Limit::Memories).into());
            }
        }
        self.grow(current, desired)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.failed()
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.granted = false;
        if exceeds(desired, maximum) {
            return Ok(false);
        }
        if desired as u64 > TABLE_ELEMENTS_MAX {
            return Err(Exceeded(Limit::TableElements).into());
        }
        self.grow(
            current.saturating_mul(TABLE_ELEMENT_BYTES),
            desired.saturating_mul(TABLE_ELEMENT_BYTES),
        )
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        self.failed()
    }
}

/// Whether a growth is beyond what the module itself declares. The guest sees it fail, as
/// WebAssembly says, and nothing is counted.
fn exceeds(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_some_and(|maximum| desired > maximum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together() {
        let mut meter = MemoryMeter::new(1000, World::Real);
        assert!(meter.memory_growing(0, 600, None).expect("600 fit"));
        assert!(meter.table_growing(0, 50, None).expect("400 more fit"));
        assert_eq!(meter.peak(), 1000);
        let error = meter.memory_growing(600, 601, None).expect_err("no more");
        assert!(error.is::<Exceeded>());
        assert_eq!(meter.peak(), 1000);
    }

    #[test]
    fn what_guests_share_comes_back_when_one_is_gone() {
        let pool = Pool::new(1000);
        let guest = || MemoryMeter::within(&pool, World::Real);
        let (mut one, mut other) = (guest(), guest());
        assert!(one.memory_growing(0, 600, None).expect("600 fit"));
        assert!(other.memory_growing(0, 400, None).expect("400 more fit"));
        let error = other.memory_growing(400, 401, None).expect_err("no more");
        assert!(error.is::<Exceeded>());
        drop(one);
        assert!(other.memory_growing(400, 1000, None).expect("all fits"));
        drop(other);
        assert!(guest().memory_growing(0, 1000, None).expect("all fits"));
    }

    #[test]
    fn beyond_its_own_maximum_a_guest_is_refused_and_not_ended() {
        let mut meter = MemoryMeter::new(1000, World::Real);
        let granted = meter.memory_growing(0, 600, Some(500));
        assert!(!granted.expect("the guest goes on"));
        assert_eq!(meter.peak(), 0);
    }

    #[test]
    fn a_host_without_memory_ends_a_deterministic_guest_and_no_other() {
        let failure = || wasmtime::Error::msg("mmap");
        for (world, ends) in [(World::Real, false), (World::Virtual, true)] {
            let mut meter = MemoryMeter::new(1000, world);
            assert!(meter.memory_growing(0, 600, None).expect("600 fit"));
            assert_eq!(meter.memory_grow_failed(failure()).is_err(), ends);
            let granted = meter.memory_growing(0, 600, Some(500));
            assert!(!granted.expect("the guest goes on"));
            assert!(
                meter.memory_grow_failed(failure()).is_ok(),
                "its own maximum"
            );
        }
    }
}
