//! The same modules with and without pieces: what they do, and what they are.

use arbitrary::Unstructured;
use wasmparser::{Validator, WasmFeatures};
use wasmtime::{Engine, Instance, Module, Ref, Store, Trap, TypedFunc};

use super::Pieces;

const SMALL: Pieces = Pieces {
    bytes: 7,
    elements: 3,
};

fn in_pieces(wasm: &[u8], pieces: Pieces) -> Option<Vec<u8>> {
    super::in_pieces(wasm, pieces).expect("it is valid")
}

/// Every bulk instruction, with its operands from outside.
const ALL: &str = r#"
    (module
      (memory (export "memory") 1 1)
      (memory (export "other") 1 1)
      (table (export "table") 40 40 funcref)
      (table (export "more") 40 40 funcref)
      (table (export "references") 40 40 externref)
      (data $text "a text of some length, so that there are pieces of it")
      (elem $functions func $zero $one $two $one $zero $two $two $one $one $zero $one)
      (elem (table 0) (i32.const 5) func $zero $one $two $two $one $zero $zero $one $two)
      (elem (table 1) (i32.const 9) func $two $two $two $one $one $one $zero $zero $zero)
      (func $zero (result i32) (i32.const 0))
      (func $one (result i32) (i32.const 1))
      (func $two (result i32) (i32.const 2))
      (func (export "memory.fill") (param i32 i32 i32)
        (memory.fill (local.get 0) (local.get 1) (local.get 2)))
      (func (export "memory.copy") (param i32 i32 i32)
        (memory.copy (local.get 0) (local.get 1) (local.get 2)))
      (func (export "memory.copy 1 0") (param i32 i32 i32)
        (memory.copy 1 0 (local.get 0) (local.get 1) (local.get 2)))
      (func (export "memory.init") (param i32 i32 i32)
        (memory.init $text (local.get 0) (local.get 1) (local.get 2)))
      (func (export "memory.init, dropped") (param i32 i32 i32)
        (data.drop $text)
        (memory.init $text (local.get 0) (local.get 1) (local.get 2)))
      (func (export "table.fill") (param i32 i32 i32)
        (table.fill (local.get 0) (ref.func $one) (local.get 2)))
      (func (export "table.fill 2") (param i32 i32 i32)
        (table.fill 2 (local.get 0) (ref.null extern) (local.get 2)))
      (func (export "table.copy") (param i32 i32 i32)
        (table.copy (local.get 0) (local.get 1) (local.get 2)))
      (func (export "table.copy 1 0") (param i32 i32 i32)
        (table.copy 1 0 (local.get 0) (local.get 1) (local.get 2)))
      (func (export "table.init") (param i32 i32 i32)
        (table.init $functions (local.get 0) (local.get 1) (local.get 2))))
"#;

/// Where operands go wrong, and beside it.
const OPERANDS: [u32; 15] = [
    0,
    1,
    2,
    6,
    7,
    8,
    14,
    15,
    31,
    40,
    41,
    65_500,
    65_536,
    1 << 31,
    u32::MAX,
];

/// A guest whose text is at every place of its memory another one.
struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine, wasm: &[u8]) -> Self {
        let module = Module::from_binary(engine, wasm).expect("it is valid");
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("it imports nothing");
        for name in ["memory", "other"] {
            let memory = instance.get_memory(&mut store, name).expect("a memory");
            for (place, byte) in memory.data_mut(&mut store).iter_mut().enumerate() {
                *byte = u8::try_from(place % 251).expect("below 251");
            }
        }
        Self { store, instance }
    }

    fn call(&mut self, function: &str, operands: [u32; 3]) -> Option<Trap> {
        let [to, from, len] = operands;
        let function: TypedFunc<(u32, u32, u32), ()> = self
            .instance
            .get_typed_func(&mut self.store, function)
            .expect("a function");
        let end = function.call(&mut self.store, (to, from, len));
        end.err()
            .map(|error| *error.downcast_ref().expect("a trap"))
    }

    /// Whether both have the same in memories and tables.
    fn is_like(&mut self, other: &mut Self) -> bool {
        let memories = ["memory", "other"].iter().all(|name| {
            let [one, two] = [&mut *self, &mut *other].map(|guest| {
                let memory = guest.instance.get_memory(&mut guest.store, name);
                memory.expect("a memory").data(&guest.store)
            });
            one == two
        });
        let tables = ["table", "more", "references"].iter();
        memories
            && tables
                .clone()
                .all(|name| self.table(name) == other.table(name))
    }

    /// What the functions of a table return.
    fn table(&mut self, name: &str) -> Vec<Option<i32>> {
        let store = &mut self.store;
        let table = self.instance.get_table(&mut *store, name).expect("a table");
        let places = 0..table.size(&*store);
        let elements = places.map(|place| match table.get(&mut *store, place) {
            Some(Ref::Func(Some(function))) => {
                let function = function.typed(&*store).expect("a number");
                Some(function.call(&mut *store, ()).expect("it returns"))
            }
            _ => None,
        });
        elements.collect()
    }
}

fn functions(wasm: &[u8]) -> Vec<String> {
    let engine = Engine::default();
    let module = Module::from_binary(&engine, wasm).expect("it is valid");
    let functions = module
        .exports()
        .filter(|export| export.ty().func().is_some());
    functions.map(|export| export.name().to_owned()).collect()
}

fn binary(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the text is valid")
}

#[test]
fn in_pieces_an_instruction_does_what_it_does_at_one_go() {
    let whole = binary(ALL);
    let pieced = in_pieces(&whole, SMALL).expect("it has instructions for that");
    let engine = Engine::default();
    for function in functions(&whole) {
        let mut ends = [0, 0];
        // Guests live through many calls: what one wrote, the next one moves.
        let (mut one, mut other) = (Guest::new(&engine, &whole), Guest::new(&engine, &pieced));
        for to in OPERANDS {
            for from in OPERANDS {
                for len in OPERANDS {
                    let operands = [to, from, len];
                    let end = one.call(&function, operands);
                    assert_eq!(
                        end,
                        other.call(&function, operands),
                        "{function} {operands:?}"
                    );
                    assert!(one.is_like(&mut other), "{function} {operands:?}");
                    ends[usize::from(end.is_some())] += 1;
                }
            }
        }
        assert!(ends.iter().all(|count| *count > 10), "{function}: {ends:?}");
    }
}

#[test]
fn what_is_short_for_certain_stays_as_it_is() {
    for (len, stays) in [
        ("(i32.const 7)", true),
        ("(i32.const 8)", false),
        ("(i32.const -1)", false),
        ("(local.get 0)", false),
    ] {
        let text = format!(
            "(module (memory 1) (func (param i32) (memory.fill (i32.const 0) (i32.const 0) {len})))"
        );
        assert_eq!(in_pieces(&binary(&text), SMALL).is_none(), stays, "{len}");
    }
}

#[test]
fn one_body_does_no_more_than_a_piece_at_one_go() {
    let fill = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 4))";
    let text = format!("(module (memory 1) (func {fill} {fill} {fill}))");
    let pieced = in_pieces(&binary(&text), SMALL).expect("it has instructions for that");
    let text = wasmprinter::print_bytes(&pieced).expect("it is valid");
    assert_eq!(text.matches("call $memory.fill").count(), 2, "{text}");
}

#[test]
fn a_memory_under_two_indices_is_copied_as_the_one_that_it_is() {
    let text = r#"(module
        (import "a" "memory" (memory 1))
        (import "a" "memory" (memory 1))
        (func (export "run") (param i32 i32 i32)
          (memory.copy 1 0 (local.get 0) (local.get 1) (local.get 2))))"#;
    let whole = binary(text);
    let pieced = in_pieces(&whole, SMALL).expect("it has instructions for that");
    let engine = Engine::default();
    let copied = [whole, pieced].map(|wasm| {
        let mut store = Store::new(&engine, ());
        let memory = wasmtime::Memory::new(&mut store, wasmtime::MemoryType::new(1, None));
        let memory = memory.expect("there is memory");
        for (place, byte) in (0..=u8::MAX).cycle().zip(memory.data_mut(&mut store)) {
            *byte = place;
        }
        let module = Module::from_binary(&engine, &wasm).expect("it is valid");
        let imports = [memory.into(), memory.into()];
        let instance = Instance::new(&mut store, &module, &imports).expect("they fit");
        let run = instance.get_typed_func::<(u32, u32, u32), ()>(&mut store, "run");
        let run = run.expect("a function");
        run.call(&mut store, (10, 3, 100)).expect("it is in bounds");
        run.call(&mut store, (3, 10, 100)).expect("it is in bounds");
        memory.data(&store)[..200].to_vec()
    });
    assert_eq!(copied[0], copied[1]);
}

#[test]
fn a_constant_that_is_not_the_length_does_not_count_as_one() {
    let text = "(module (memory 1) (func (param i32)
        (memory.fill (i32.const 0) (i32.const 0) (i32.sub (local.get 0) (i32.const 1)))))";
    assert!(in_pieces(&binary(text), SMALL).is_some());
}

#[test]
fn each_instruction_is_added_once_and_named() {
    let text = r#"(module
        (import "host" "function" (func))
        (memory 1)
        (func (param i32) (memory.fill (i32.const 0) (i32.const 0) (local.get 0)))
        (func (param i32) (memory.fill (i32.const 8) (i32.const 0) (local.get 0))
                          (memory.copy (i32.const 8) (i32.const 0) (local.get 0))))"#;
    let pieced = in_pieces(&binary(text), SMALL).expect("it has instructions for that");
    let text = wasmprinter::print_bytes(&pieced).expect("it is valid");
    assert_eq!(text.matches("(func $memory.fill ").count(), 1, "{text}");
    assert_eq!(text.matches("call $memory.fill").count(), 2, "{text}");
    assert_eq!(text.matches("call $memory.copy").count(), 1, "{text}");
}

#[test]
fn modules_in_components_are_reached_at_any_depth() {
    let module = "(core module (memory 1) (func (param i32)
        (memory.fill (i32.const 0) (i32.const 0) (local.get 0))))";
    let text = format!("(component {module} (component (component {module})))");
    let pieced = in_pieces(&binary(&text), SMALL).expect("it has instructions for that");
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(&pieced)
        .expect("it is valid");
    let text = wasmprinter::print_bytes(&pieced).expect("it is valid");
    assert_eq!(text.matches("call $memory.fill").count(), 2, "{text}");
}

#[test]
fn what_is_no_module_or_too_deep_is_refused() {
    let mut deep = binary("(component)");
    for _ in 0..10_000 {
        let mut outer = wasm_encoder::Component::new();
        outer.section(&wasm_encoder::RawSection { id: 4, data: &deep });
        deep = outer.finish();
    }
    let whole = binary(ALL);
    let cut = &whole[..whole.len() - 20];
    let with = |at: usize, byte: u8| {
        let mut other = whole.clone();
        other[at] = byte;
        other
    };
    // Another magic number, another version, another layer.
    let [no_wasm, version_2, component] = [with(1, b'b'), with(4, 2), with(6, 1)];
    let headless = [&no_wasm[..], &version_2, &component];
    let short = [&b""[..], b"\0asm", b"\0asm\x01\0\0\0\x0a", cut, &deep];
    for wasm in short.into_iter().chain(headless) {
        assert!(super::in_pieces(wasm, SMALL).is_err());
    }
}

/// Whatever else is in a module, it is still there and fits.
#[test]
fn generated_modules_stay_valid() {
    let mut changed = 0;
    for seed in 0..400_u64 {
        let mut bytes = Vec::new();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for _ in 0..4096 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        let config = wasm_smith::Config {
            bulk_memory_enabled: true,
            memory64_enabled: false,
            // No engine of ours has them.
            exceptions_enabled: false,
            gc_enabled: false,
            reference_types_enabled: true,
            min_memories: 1,
            max_memories: 3,
            min_tables: 1,
            max_tables: 3,
            min_data_segments: 1,
            min_element_segments: 1,
            min_funcs: 20,
            max_instructions: 1000,
            ..wasm_smith::Config::default()
        };
        let module = wasm_smith::Module::new(config, &mut Unstructured::new(&bytes)).ok();
        let wasm = module.map(|module| module.to_bytes());
        let Some(pieced) = wasm.and_then(|wasm| in_pieces(&wasm, SMALL)) else {
            continue;
        };
        changed += 1;
        let validated = Validator::new_with_features(WasmFeatures::all()).validate_all(&pieced);
        validated.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    assert!(changed > 20, "{changed} modules had bulk instructions");
}
