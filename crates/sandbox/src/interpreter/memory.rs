//! Counts what a guest takes, and ends it when that is too much.

use wasmi::ResourceLimiter;
use wasmi_core::LimiterError;

use crate::exit::{Limit, TABLE_ELEMENTS_MAX};

/// What an element of a table counts: as much as in wasmtime, so that a limit means the same.
const TABLE_ELEMENT_BYTES: usize = size_of::<usize>();

/// The memories and tables of one guest together.
///
/// Growth beyond the limit ends the guest. WebAssembly would let `memory.grow` answer -1, but
/// hardly any program does better with that than to abort, without naming the limit.
pub(super) struct MemoryMeter {
    limit: u64,
    used: u64,
    /// What the last growth took. wasmi asks before it knows that the fuel suffices, and asks again
    /// when the guest has got more.
    last: u64,
    exceeded: Option<Limit>,
}

impl MemoryMeter {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            last: 0,
            exceeded: None,
        }
    }

    /// The most that was in use. Memories and tables never shrink, so it is what is in use.
    pub(super) fn peak(&self) -> u64 {
        self.used
    }

    /// Of what more was asked for than there may be.
    pub(super) fn exceeded(&self) -> Option<Limit> {
        self.exceeded
    }

    fn grow(&mut self, current: usize, desired: usize) -> Result<bool, LimiterError> {
        let more = desired.saturating_sub(current) as u64;
        let used = self.used.saturating_add(more);
        if used > self.limit {
            self.exceeded = Some(Limit::Memory);
            return Err(LimiterError::ResourceLimiterDeniedAllocation);
        }
        self.used = used;
        self.last = more;
        Ok(true)
    }

    /// Counts what the host keeps for the guest, to its end.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), LimiterError> {
        self.grow(0, bytes)?;
        self.last = 0;
        Ok(())
    }

    /// Takes back a growth that was granted and did not happen. wasmi reports no other ones.
    fn give_back(&mut self) {
        self.used -= self.last;
        self.last = 0;
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        if exceeds(desired, maximum) {
            return Ok(false);
        }
        self.grow(current, desired)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, LimiterError> {
        if exceeds(desired, maximum) {
            return Ok(false);
        }
        if desired as u64 > TABLE_ELEMENTS_MAX {
            self.exceeded = Some(Limit::TableElements);
            return Err(LimiterError::ResourceLimiterDeniedAllocation);
        }
        self.grow(
            current.saturating_mul(TABLE_ELEMENT_BYTES),
            desired.saturating_mul(TABLE_ELEMENT_BYTES),
        )
    }

    fn memory_grow_failed(&mut self, _: &LimiterError) {
        self.give_back();
    }

    fn table_grow_failed(&mut self, _: &LimiterError) {
        self.give_back();
    }

    /// A store has one.
    fn instances(&self) -> usize {
        1
    }

    /// The validator and the limit on bytes bound their number.
    fn tables(&self) -> usize {
        usize::MAX
    }

    fn memories(&self) -> usize {
        usize::MAX
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
        let mut meter = MemoryMeter::new(1000);
        assert!(meter.memory_growing(0, 600, None).expect("600 fit"));
        assert!(meter.table_growing(0, 50, None).expect("400 more fit"));
        assert_eq!(meter.peak(), 1000);
        assert!(meter.memory_growing(600, 601, None).is_err());
        assert_eq!(meter.exceeded(), Some(Limit::Memory));
        assert_eq!(meter.peak(), 1000);
    }

    #[test]
    fn beyond_its_own_maximum_a_guest_is_refused_and_not_ended() {
        let mut meter = MemoryMeter::new(1000);
        let granted = meter.memory_growing(0, 600, Some(500));
        assert!(!granted.expect("the guest goes on"));
        assert_eq!(meter.peak(), 0);
        assert_eq!(meter.exceeded(), None);
    }

    #[test]
    fn a_growth_that_waits_for_fuel_counts_once() {
        let mut meter = MemoryMeter::new(1000);
        let out_of_fuel = LimiterError::OutOfFuel { required_fuel: 10 };
        for _ in 0..3 {
            assert!(meter.memory_growing(0, 600, None).expect("600 fit"));
            meter.memory_grow_failed(&out_of_fuel);
        }
        assert!(meter.memory_growing(0, 600, None).expect("600 fit"));
        assert_eq!(meter.peak(), 600);
    }
}
