//! Modules that wasm-smith makes of any bytes, in both engines: the same results, the same trap,
//! the same memories and globals afterwards.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Unstructured;
use bytes::Bytes;
use wasm_smith::{Config, Module};
use wasmparser::{
    ExternalKind, FuncType, GlobalType, MemoryType, Parser, Payload, ValType, types::Types,
};

use crate::engines::{ENGINES, End, job};

/// How many turns of loops and calls a generated module makes before it traps by itself. wasm-smith
/// builds that into the module, so that both engines end at the same place.
const TURNS: u32 = 1000;

/// How many bytes a module is made of, at least.
const MODULE_DATA_LEN: usize = 8 * 1024;

/// How many functions of a module are called.
const CALLS_MAX: usize = 6;

/// How many calls ended alike, of those that an engine did not end for a reason of its own.
static COMPARED: AtomicU64 = AtomicU64::new(0);

/// How many calls of generated modules this process has compared so far.
pub fn compared() -> u64 {
    COMPARED.load(Ordering::Relaxed)
}

pub(crate) fn generated(data: &[u8]) {
    // One bit changes everything: what wasm-smith decides with its first bytes, mutation would
    // hardly ever reach.
    let mut rng = fastrand::Rng::with_seed(sum(data));
    let kind = Kind::ALL[rng.usize(..Kind::ALL.len())];
    let mut bytes = vec![0; MODULE_DATA_LEN];
    rng.fill(&mut bytes);
    let Ok(mut module) = Module::new(config(kind), &mut Unstructured::new(&bytes)) else {
        return;
    };
    module
        .ensure_termination(TURNS)
        .expect("no function is made of bytes");
    let probed = probed(&module.to_bytes());
    for probe in &probed.probes {
        let [wasmtime, interpreter] = ENGINES.run(&job(probed.wasm.clone(), probe));
        if [&wasmtime, &interpreter].contains(&&End::Inconclusive) {
            continue;
        }
        assert_eq!(wasmtime, interpreter, "{probe}");
        COMPARED.fetch_add(1, Ordering::Relaxed);
    }
}

fn sum(data: &[u8]) -> u64 {
    data.iter().fold(0, |sum: u64, byte| {
        sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte)
    })
}

/// What a module is about. Most of those that may do anything trap before their first call.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Anything,
    /// Nothing is done before the call.
    TrapsWhenCalled,
    NeverTraps,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::Anything,
        Self::TrapsWhenCalled,
        Self::NeverTraps,
        Self::NeverTraps,
    ];
}

/// What both engines have. NaNs are made canonical by the module itself.
fn config(kind: Kind) -> Config {
    let segments_max = match kind {
        Kind::TrapsWhenCalled => 0,
        Kind::Anything | Kind::NeverTraps => 4,
    };
    Config {
        allow_start_export: matches!(kind, Kind::Anything),
        canonicalize_nans: true,
        custom_page_sizes_enabled: false,
        disallow_traps: matches!(kind, Kind::NeverTraps),
        exceptions_enabled: false,
        export_everything: true,
        extended_const_enabled: true,
        gc_enabled: false,
        max_data_segments: segments_max,
        max_element_segments: segments_max,
        max_funcs: 16,
        max_globals: 8,
        max_imports: 0,
        max_memories: 2,
        max_memory32_bytes: 2 * 64 * 1024,
        max_table_elements: 1000,
        max_tables: 2,
        memory64_enabled: false,
        min_funcs: 4,
        min_globals: 1,
        min_memories: 1,
        min_tables: 1,
        min_types: 4,
        // Its results may differ between processors.
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
}

/// A module with functions that tell what the others leave behind.
struct Probed {
    wasm: Bytes,
    /// Their names.
    probes: Vec<String>,
}

/// What there is to call and to look at, by index.
#[derive(Default)]
struct Contents {
    functions: Vec<(u32, FuncType)>,
    globals: Vec<GlobalType>,
    memories: Vec<MemoryType>,
}

fn probed(wasm: &[u8]) -> Probed {
    let contents = contents(wasm);
    let mut text = wasmprinter::print_bytes(wasm).expect("wasm-smith makes valid modules");
    let end = text.trim_end().len() - 1;
    text.truncate(end);
    let mut probes = Vec::new();
    for (number, (index, ty)) in contents.functions.iter().take(CALLS_MAX).enumerate() {
        let probe = format!("probe {number}");
        write_probe(&mut text, &probe, *index, ty, &contents);
        probes.push(probe);
    }
    text.push(')');
    let wasm = wat::parse_str(&text).expect("a probe is well-formed");
    Probed {
        wasm: wasm.into(),
        probes,
    }
}

fn contents(wasm: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let mut exported = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("wasm-smith makes valid modules") {
            Payload::GlobalSection(globals) => {
                let globals = globals.into_iter().flatten();
                contents.globals = globals.map(|global| global.ty).collect();
            }
            Payload::MemorySection(memories) => {
                contents.memories = memories.into_iter().flatten().collect();
            }
            Payload::ExportSection(exports) => {
                let exports = exports.into_iter().flatten();
                let functions = exports.filter(|export| export.kind == ExternalKind::Func);
                exported = functions.map(|export| export.index).collect();
            }
            _ => {}
        }
    }
    let types = wasmparser::Validator::new()
        .validate_all(wasm)
        .expect("wasm-smith makes valid modules");
    exported.sort_unstable();
    exported.dedup();
    contents.functions = exported
        .into_iter()
        .map(|index| (index, function_type(&types, index)))
        .collect();
    contents
}

fn function_type(types: &Types, index: u32) -> FuncType {
    let types = types.as_ref();
    let id = types.core_function_at(index);
    types[id].unwrap_func().clone()
}

/// A function that calls another one and folds into one number what it gives and leaves behind.
fn write_probe(text: &mut String, name: &str, index: u32, ty: &FuncType, contents: &Contents) {
    let mut line = |line: &str| writeln!(text, "{line}").expect("a string takes any text");
    line(&format!(
        "(func (export {name:?}) (result i64) (local $sum i64) (local $at i32) (local $v v128)"
    ));
    for param in ty.params() {
        line(constant(*param));
    }
    line(&format!("call {index}"));
    for result in ty.results().iter().rev() {
        line(as_i64(*result));
        line(FOLD);
    }
    for (index, global) in contents.globals.iter().enumerate() {
        line(&format!("global.get {index}"));
        line(as_i64(global.content_type));
        line(FOLD);
    }
    for index in 0..contents.memories.len() {
        line("i32.const 0 local.set $at");
        line("(block $done (loop $again");
        line(&format!(
            "(br_if $done (i32.ge_u (local.get $at) (i32.mul (memory.size {index}) (i32.const 65536))))"
        ));
        line(&format!("(i64.load {index} (local.get $at))"));
        line(FOLD);
        line("(local.set $at (i32.add (local.get $at) (i32.const 8))) (br $again)))");
    }
    line("local.get $sum)");
}

/// Takes a number from the stack into the sum.
const FOLD: &str = "(i64.mul (local.get $sum) (i64.const 31)) i64.xor local.set $sum";

/// An argument: neither zero nor small, so that it shows where it went.
fn constant(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32.const 0x89abcdef",
        ValType::I64 => "i64.const 0x123456789abcdef",
        ValType::F32 => "f32.const -1234.5",
        ValType::F64 => "f64.const 1e300",
        ValType::V128 => "v128.const i64x2 0x123456789abcdef -2",
        ValType::Ref(ty) if ty.is_func_ref() => "ref.null func",
        ValType::Ref(_) => "ref.null extern",
    }
}

/// Makes a number of what is on the stack; of a reference, whether it is null.
fn as_i64(ty: ValType) -> &'static str {
    match ty {
        ValType::I32 => "i64.extend_i32_u",
        ValType::I64 => "",
        ValType::F32 => "i32.reinterpret_f32 i64.extend_i32_u",
        ValType::F64 => "i64.reinterpret_f64",
        ValType::V128 => {
            "local.set $v (i64x2.extract_lane 0 (local.get $v))
             (i64.rotl (i64x2.extract_lane 1 (local.get $v)) (i64.const 7)) i64.xor"
        }
        ValType::Ref(_) => "ref.is_null i64.extend_i32_u",
    }
}
