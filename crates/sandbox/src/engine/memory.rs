//! Counts what a guest takes, and ends it when that is too much.

use wasmtime::{ResourceLimiter, Result};

use super::verdict::{Exceeded, HostMemory};
use super::world::World;
use crate::exit::Limit;

/// What an element of a table costs: wasmtime keeps one pointer for each.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// The memories and tables of one guest together.
///
/// Growth beyond the limit ends the guest. WebAssembly would let `memory.grow` answer -1, but
/// hardly any program does better with that than to abort, without naming the limit.
pub(super) struct MemoryMeter {
    limit: u64,
    used: u64,
    world: World,
    /// Whether the growth that may fail now was granted here, so that only the host can refuse it.
    granted: bool,
}

impl MemoryMeter {
    pub(super) fn new(limit: u64, world: World) -> Self {
        Self {
            limit,
            used: 0,
            world,
            granted: false,
        }
    }

    /// The most that was in use. Memories and tables never shrink, so it is what is in use.
    pub(super) fn peak(&self) -> u64 {
        self.used
    }

    /// Counts a growth. One that the operating system then refuses stays counted: wasmtime reports
    /// failures also of growths that it never asked about, so there is nothing sound to subtract.
    fn grow(&mut self, current: usize, desired: usize) -> Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let used = self.used.saturating_add(more);
        if used > self.limit {
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
