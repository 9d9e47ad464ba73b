//! Room for guests that is reserved once: memories, tables and stacks that are zeroed and used
//! again, in place of mappings for each guest that every core has to forget when it goes.
//!
//! Only guests that can never want more than their place in the pool get one, so that a guest sees
//! no difference: it grows as far as anywhere else, and costs the same fuel. The others get their
//! mappings from the operating system.
//!
//! ```text
//!  memories  │ 4 GiB │ guard │ 4 GiB │ guard │ …   address space; a page is there when a guest
//!  tables    │ 512 KiB │ 512 KiB │ …               has touched it, and zeroed or gone before
//!  stacks    │ guard │ 3 MiB │ guard │ 3 MiB │ …   the next guest comes
//! ```

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentTypeRef, Encoding,
    Instance, Parser, Payload,
};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Memories of one guest: its own, and one for references of its host, if it holds any.
const MEMORIES_PER_GUEST: u32 = 2;
/// What compilers give a guest is one memory, and for WASI 0.2 two or three tables.
const MEMORIES_MAX: u32 = 1;
const TABLES_MAX: u32 = 4;
/// Elements of a table: the functions that a program takes addresses of. Large ones have 10,000.
const TABLE_ELEMENTS_MAX: u64 = 65_536;
/// The beginning of a place that is overwritten with zeros when its guest is gone; the operating
/// system takes back the rest. To take pages from a process interrupts all its threads, so that what
/// nearly every guest touches is cheaper to overwrite: one page of its memory, the top of its stack,
/// a small table. At most this much stays with a proplet that has nothing to do, for each place.
const MEMORY_BYTES_KEPT: usize = 64 * 1024;
const TABLE_BYTES_KEPT: usize = 4 * 1024;
const STACK_BYTES_KEPT: usize = 32 * 1024;
/// Wasmtime compares with it and allocates by need; modules are bounded in bytes already.
const INSTANCE_BYTES_MAX: usize = usize::MAX / 2;

/// Places for requests to services, beside those for tasks. There are so many on any allocator.
pub(super) const SERVICE_PLACES: usize = 64;

/// Places for as many tasks, and for services.
pub(super) fn places(guests_max: u32) -> u32 {
    let services = u32::try_from(SERVICE_PLACES).unwrap_or(0);
    guests_max.max(1).saturating_add(services)
}

/// Lets guests of an engine live in a pool with places for `guests_max`.
pub(super) fn reserve(config: &mut Config, guests_max: u32) {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(guests_max.saturating_mul(MEMORIES_PER_GUEST))
        .total_tables(guests_max.saturating_mul(TABLES_MAX))
        .total_stacks(guests_max)
        .total_gc_heaps(guests_max)
        .total_core_instances(u32::MAX)
        .total_component_instances(u32::MAX)
        .max_memories_per_module(MEMORIES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .table_elements(usize::try_from(TABLE_ELEMENTS_MAX).unwrap_or(usize::MAX))
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .linear_memory_keep_resident(MEMORY_BYTES_KEPT)
        .table_keep_resident(TABLE_BYTES_KEPT)
        .async_stack_keep_resident(STACK_BYTES_KEPT)
        .decommit_batch_size(1)
        // It would spare the overwriting of pages that are clean, but takes one that is swapped out
        // or on the move for clean: its condition is that a page is there.
        .pagemap_scan(Enabled::No);
    config
        .async_stack_zeroing(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
}

/// What a guest takes of its place.
#[derive(Clone, Copy, Default)]
struct Needs {
    memories: u32,
    tables: u32,
}

impl Needs {
    fn and(self, other: Self) -> Self {
        Self {
            memories: self.memories.saturating_add(other.memories),
            tables: self.tables.saturating_add(other.tables),
        }
    }

    fn fit(self) -> bool {
        self.memories <= MEMORIES_MAX && self.tables <= TABLES_MAX
    }
}

/// Whether no guest of this module or component ever wants more than a place has. What is no module
/// fits nowhere; the compiler says why.
pub(super) fn fits(wasm: &[u8]) -> bool {
    needs(wasm).is_some_and(Needs::fit)
}

/// What a guest needs, if it can be said: tables may have to grow without bounds, and components may
/// be made of components.
fn needs(wasm: &[u8]) -> Option<Needs> {
    let mut is_component = false;
    // In the order of their indices; a module is the only one.
    let mut modules: Vec<Needs> = Vec::new();
    let mut instantiated = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::Version { encoding, .. } => match encoding {
                Encoding::Module => modules.push(Needs::default()),
                Encoding::Component => is_component = true,
            },
            Payload::MemorySection(memories) => {
                modules.last_mut()?.memories += memories.count();
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    let maximum = table.ok()?.ty.maximum?;
                    (maximum <= TABLE_ELEMENTS_MAX).then_some(())?;
                    modules.last_mut()?.tables += 1;
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    if let Instance::Instantiate { module_index, .. } = instance.ok()? {
                        instantiated.push(usize::try_from(module_index).ok()?);
                    }
                }
            }
            Payload::ComponentSection { .. } => return None,
            // Modules that come by another way have indices too.
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    is_no_module(!matches!(import.ok()?.ty, ComponentTypeRef::Module(_)))?;
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    is_no_module(export.ok()?.kind != ComponentExternalKind::Module)?;
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    is_no_module(match alias.ok()? {
                        ComponentAlias::InstanceExport { kind, .. } => {
                            kind != ComponentExternalKind::Module
                        }
                        ComponentAlias::CoreInstanceExport { .. } => true,
                        ComponentAlias::Outer { kind, .. } => {
                            kind != ComponentOuterAliasKind::CoreModule
                        }
                    })?;
                }
            }
            _ => {}
        }
    }
    if !is_component {
        return modules.first().copied();
    }
    instantiated
        .into_iter()
        .try_fold(Needs::default(), |sum, index| {
            Some(sum.and(*modules.get(index)?))
        })
}

fn is_no_module(no: bool) -> Option<()> {
    no.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: bool) {
        let wasm = wat::parse_str(text).expect("the test's module is well-formed");
        assert_eq!(fits(&wasm), expected, "{text}");
    }

    #[test]
    fn what_compilers_make_has_a_place() {
        check("(module)", true);
        check("(module (memory 65536) (table 7 7 funcref))", true);
        check(
            "(module (memory 1) (table 1 65536 funcref) (table 0 0 externref))",
            true,
        );
        let adapted = r#"(component
          (core module $main (memory (export "memory") 1) (table 3 3 funcref))
          (core module $shim (table (export "t") 9 9 funcref))
          (core module $unused (memory 1) (memory 1))
          (core instance (instantiate $main))
          (core instance (instantiate $shim)))"#;
        check(adapted, true);
        for wasm in [
            &include_bytes!("../../../../examples/guests/hello.wasm")[..],
            include_bytes!("../../../../examples/guests/thumbnail.wasm"),
            include_bytes!("../../../../examples/guests/greet.wasm"),
        ] {
            assert!(fits(wasm));
        }
    }

    #[test]
    fn what_may_want_more_has_none() {
        check("(module (memory 1) (memory 1))", false);
        check("(module (table 1 funcref))", false);
        check("(module (table 1 65537 funcref))", false);
        let tables = "(table 1 1 funcref)".repeat(5);
        check(&format!("(module {tables})"), false);
        let twice = r"(component
          (core module $main (memory 1))
          (core instance (instantiate $main))
          (core instance (instantiate $main)))";
        check(twice, false);
        check("(component (component))", false);
        let counted = r#"(component
          (core module $a)
          (export "a" (core module $a))
          (core module $b (memory 1) (memory 1))
          (core module $c)
          (core instance (instantiate $b)))"#;
        check(counted, false);
        assert!(!fits(b"\0asm"));
    }
}
