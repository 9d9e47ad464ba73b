//! What it takes to make a guest, before any of its own code runs.
//!
//! An engine makes an instance at one go: nobody is asked, nothing is counted, and nobody can stop it.
//! A module may have a million globals, and a component may make a thousand instances of it, and be
//! a part of another one that has it a thousand times. So what all of that takes is added up before
//! anything is compiled, and bounded.
//!
//! ```text
//!  component ─┬─ core module a      16 × globals + 32 × functions + 16 × elements + …
//!             ├─ core module b
//!             ├─ instances: a, b, b             = a + 2 b
//!             └─ component c ── instances: a    = a, for every instance of c
//! ```
//!
//! The prices are those of wasmtime, which keeps more than wasmi, so that both refuse the same.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentType, ComponentTypeRef, Data, DataKind, Element, ElementItems, Encoding, Instance,
    Parser, Payload,
};

use crate::exit::INSTANCES_BYTES_MAX;
use crate::runtime::RunError;

/// What the host keeps for any instance of a module, and the time that it takes: some thousand of
/// them are a few milliseconds.
const INSTANCE_BYTES: u64 = 16 * 1024;
/// What it keeps for an instance of a component, with its part of the compiled code, and for each
/// kind of resource that one has.
const COMPONENT_BYTES: u64 = 128;
const RESOURCE_BYTES: u64 = 128;
/// What it keeps for each global, and for each function that may be called through a table or from
/// outside: wasmtime's `VMGlobalDefinition` and `VMFuncRef`.
const GLOBAL_BYTES: u64 = 16;
const FUNCTION_BYTES: u64 = 32;
/// What it writes for each element that a table begins with, or keeps for one that waits for an
/// instruction; and what it keeps for a segment of either kind, however short.
const ELEMENT_BYTES: u64 = 16;
const ELEMENTS_BYTES: u64 = 32;
const DATA_BYTES: u64 = 16;
/// Bytes that memories begin with are copied, which is quicker than what is made one by one.
const DATA_BYTES_PER_BYTE: u64 = 16;
/// How deep components may lie in one another. As for bulk instructions, which are looked at later.
const DEPTH_MAX: usize = 100;

/// What the guests of a module or component take to be made, in bytes; refuses it if that is too
/// much. What cannot be read is for the compiler to say.
pub(crate) fn bounded(wasm: &[u8]) -> Result<u64, RunError> {
    match cost(wasm).unwrap_or(0) {
        bytes if bytes > INSTANCES_BYTES_MAX => Err(RunError::Instances { bytes }),
        bytes => Ok(bytes),
    }
}

/// What a guest of this module or component takes, in bytes; `None` for what is neither.
fn cost(wasm: &[u8]) -> Option<u64> {
    let mut open: Vec<Frame> = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            // Nobody makes such a thing to be used.
            Payload::Version { .. } if open.len() >= DEPTH_MAX => return Some(u64::MAX),
            Payload::Version { encoding, .. } => open.push(Frame::new(encoding)),
            Payload::End(_) => {
                let done = open.pop()?;
                match open.last_mut() {
                    Some(outer) => outer.contains(&done),
                    None => return Some(done.bytes),
                }
            }
            payload => Frame::read(&mut open, payload)?,
        }
    }
    None
}

/// A module or component that is being read, and what can be instantiated in it, by index.
struct Frame {
    encoding: Encoding,
    bytes: u64,
    modules: Vec<u64>,
    components: Vec<u64>,
}

impl Frame {
    fn new(encoding: Encoding) -> Self {
        Self {
            bytes: match encoding {
                Encoding::Module => INSTANCE_BYTES,
                Encoding::Component => COMPONENT_BYTES,
            },
            encoding,
            modules: Vec::new(),
            components: Vec::new(),
        }
    }

    fn contains(&mut self, inner: &Self) {
        match inner.encoding {
            Encoding::Module => self.modules.push(inner.bytes),
            Encoding::Component => self.components.push(inner.bytes),
        }
    }

    fn takes(&mut self, count: u64, each: u64) {
        self.bytes = self.bytes.saturating_add(count.saturating_mul(each));
    }

    /// Adds one section. `None` if it cannot be read.
    fn read(open: &mut [Self], payload: Payload<'_>) -> Option<()> {
        let (frame, outer) = open.split_last_mut()?;
        match payload {
            Payload::ImportSection(imports) => {
                frame.takes(u64::from(imports.count()), FUNCTION_BYTES);
            }
            Payload::FunctionSection(functions) => {
                frame.takes(u64::from(functions.count()), FUNCTION_BYTES);
            }
            Payload::GlobalSection(globals) => {
                frame.takes(u64::from(globals.count()), GLOBAL_BYTES);
            }
            Payload::ElementSection(elements) => {
                frame.takes(u64::from(elements.count()), ELEMENTS_BYTES);
                for element in elements {
                    frame.takes(count(&element.ok()?), ELEMENT_BYTES);
                }
            }
            Payload::DataSection(data) => {
                frame.takes(u64::from(data.count()), DATA_BYTES);
                for data in data {
                    frame.takes(copied(&data.ok()?) / DATA_BYTES_PER_BYTE, 1);
                }
            }
            Payload::InstanceSection(instances) => {
                for instance in instances {
                    if let Instance::Instantiate { module_index, .. } = instance.ok()? {
                        frame.takes(1, at(&frame.modules, module_index)?);
                    }
                }
            }
            Payload::ComponentTypeSection(types) => {
                for ty in types {
                    let is_resource = matches!(ty.ok()?, ComponentType::Resource { .. });
                    frame.takes(u64::from(is_resource), RESOURCE_BYTES);
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    if let ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance.ok()?
                    {
                        frame.takes(1, at(&frame.components, component_index)?);
                    }
                }
            }
            payload => frame.names(outer, payload)?,
        }
        Some(())
    }

    /// What gets an index without being there: imported, exported, or of another component. What
    /// comes from elsewhere may be anything, and costs more than anybody may have.
    fn names(&mut self, outer: &[Self], payload: Payload<'_>) -> Option<()> {
        match payload {
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    match import.ok()?.ty {
                        ComponentTypeRef::Module(_) => self.modules.push(u64::MAX),
                        ComponentTypeRef::Component(_) => self.components.push(u64::MAX),
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export.ok()?;
                    match export.kind {
                        ComponentExternalKind::Module => {
                            self.modules.push(at(&self.modules, export.index)?);
                        }
                        ComponentExternalKind::Component => {
                            self.components.push(at(&self.components, export.index)?);
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    self.alias(outer, &alias.ok()?)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn alias(&mut self, outer: &[Self], alias: &ComponentAlias<'_>) -> Option<()> {
        match *alias {
            ComponentAlias::InstanceExport { kind, .. } => match kind {
                ComponentExternalKind::Module => self.modules.push(u64::MAX),
                ComponentExternalKind::Component => self.components.push(u64::MAX),
                _ => {}
            },
            ComponentAlias::Outer { kind, count, index } => {
                // 0 is this one, and the last of the others is the next one.
                let up = usize::try_from(count).ok()?;
                let from = match up.checked_sub(1) {
                    None => &*self,
                    Some(up) => outer.iter().rev().nth(up)?,
                };
                match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        let bytes = at(&from.modules, index)?;
                        self.modules.push(bytes);
                    }
                    ComponentOuterAliasKind::Component => {
                        let bytes = at(&from.components, index)?;
                        self.components.push(bytes);
                    }
                    _ => {}
                }
            }
            ComponentAlias::CoreInstanceExport { .. } => {}
        }
        Some(())
    }
}

fn at(list: &[u64], index: u32) -> Option<u64> {
    list.get(usize::try_from(index).ok()?).copied()
}

fn count(element: &Element<'_>) -> u64 {
    u64::from(match &element.items {
        ElementItems::Functions(functions) => functions.count(),
        ElementItems::Expressions(_, expressions) => expressions.count(),
    })
}

/// What is copied when an instance is made; the rest waits for an instruction.
fn copied(data: &Data<'_>) -> u64 {
    match data.kind {
        DataKind::Active { .. } => data.data.len() as u64,
        DataKind::Passive => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        let wasm = wat::parse_str(text).expect("the test's module is well-formed");
        assert_eq!(cost(&wasm), expected, "{text}");
    }

    #[test]
    fn a_module_costs_what_its_instance_is_made_of() {
        let one = INSTANCE_BYTES;
        check("(module)", Some(one));
        check(
            r#"(module (import "a" "b" (func)) (func) (func)
              (global i32 (i32.const 1)) (global i64 (i64.const 1)))"#,
            Some(one + 3 * FUNCTION_BYTES + 2 * GLOBAL_BYTES),
        );
        check(
            r"(module (func $f) (table 9 funcref) (elem (i32.const 1) $f $f)
              (elem funcref (ref.func $f) (ref.null func)))",
            Some(one + FUNCTION_BYTES + 2 * ELEMENTS_BYTES + 4 * ELEMENT_BYTES),
        );
        let text = "x".repeat(320);
        check(
            &format!(r#"(module (memory 1) (data (i32.const 0) "{text}") (data "{text}"))"#),
            Some(one + 2 * DATA_BYTES + 320 / DATA_BYTES_PER_BYTE),
        );
    }

    #[test]
    fn a_component_costs_what_it_instantiates_and_not_what_it_contains() {
        let (one, each) = (INSTANCE_BYTES, COMPONENT_BYTES);
        check("(component (core module $unused (func)))", Some(each));
        check(
            "(component (component $unused) (type (resource (rep i32))) (type string))",
            Some(each + RESOURCE_BYTES),
        );
        check(
            r#"(component
              (core module $a) (core module $b (func))
              (export "a" (core module $a))
              (core instance (instantiate $b)) (core instance (instantiate $b))
              (core instance (instantiate 2)))"#,
            Some(each + 3 * one + 2 * FUNCTION_BYTES),
        );
        check(
            r"(component
              (component $c (core module $m) (core instance (instantiate $m)))
              (component $d
                (alias outer 1 $c (component $again))
                (instance (instantiate $again)) (instance (instantiate $again)))
              (instance (instantiate $d)) (instance (instantiate $d)))",
            Some(each + 2 * (each + 2 * (each + one))),
        );
    }

    #[test]
    fn what_comes_from_elsewhere_costs_more_than_there_is() {
        check(
            r#"(component
              (component $c
                (import "m" (core module $m)) (core instance (instantiate $m)))
              (core module $mine)
              (instance (instantiate $c (with "m" (core module $mine)))))"#,
            Some(u64::MAX),
        );
        check(
            r#"(component (import "m" (core module $m)))"#,
            Some(COMPONENT_BYTES),
        );
    }

    #[test]
    fn what_is_no_module_is_for_the_compiler_to_refuse() {
        for wasm in [&b""[..], b"\0asm", b"\0asm\x01\0\0\0\x01"] {
            assert_eq!(cost(wasm), None);
            assert!(bounded(wasm).is_ok());
        }
    }

    #[test]
    fn what_lies_too_deep_is_refused_before_it_takes_memory() {
        // In binary: the text form has such a limit of its own.
        let nested = |depth: usize| {
            let empty = wasm_encoder::Component::new();
            let all = (1..depth).fold(empty, |inner, _| {
                let mut outer = wasm_encoder::Component::new();
                outer.section(&wasm_encoder::NestedComponentSection(&inner));
                outer
            });
            all.finish()
        };
        assert_eq!(cost(&nested(DEPTH_MAX)), Some(COMPONENT_BYTES));
        assert_eq!(cost(&nested(DEPTH_MAX + 1)), Some(u64::MAX));
    }
}
