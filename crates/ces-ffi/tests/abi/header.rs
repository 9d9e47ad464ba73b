//! The header that is checked in is the one that the sources make.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use cbindgen::{
    Builder, Config, DocumentationStyle, EnumConfig, ExportConfig, Language, RenameRule, Style,
};

/// Set to anything, this test writes the header.
const WRITE: &str = "PROPELLER_WRITE_HEADER";

/// In the order in which a reader wants them.
const SOURCES: [&str; 10] = [
    "failure.rs",
    "v1.rs",
    "v2/values.rs",
    "callbacks.rs",
    "v2/keys.rs",
    "v2/options.rs",
    "v2/encode.rs",
    "v2/writer.rs",
    "v2/reader.rs",
    "v2/shards.rs",
];

const HEAD: &str = "\
// CES: compress, encrypt, shard. Any bytes into k + m shards, and back.
//
// Made of the sources of crates/ces-ffi; do not edit. docs/book/ces-bindings.md tells how to use it.
//
// `ces_` functions hold whole objects in memory, and are those of an older implementation.
// `ces2_` functions stream, and give a ces_status each.
// Pointers are judged: NULL, unaligned ones and lengths beyond PTRDIFF_MAX are refused. What cannot be
// seen, such as a handle that was freed already, is undefined, as with free().
// What a pointer of a result points to is set to zeros as soon as the pointer is judged: after a call
// that failed, handles and texts are NULL, lengths 0, and freeing them is nothing.
// A reader or a writer is used by one thread at a time; another one, and a callback that comes back to
// it, gets CES_SPENT. A callback must not free the handle of the call that calls it.
// Texts end with a NUL and are UTF-8. A callback must return: no exception and no longjmp leaves it.";

/// What programs were compiled with is checked again wherever one is compiled.
const LAYOUT: &str = "\
#if defined(__cplusplus)
#define CES_ASSERT(condition) static_assert(condition, #condition)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define CES_ASSERT(condition) _Static_assert(condition, #condition)
#else
#define CES_ASSERT(condition) struct ces_assert
#endif
#if UINTPTR_MAX == UINT64_MAX
CES_ASSERT(sizeof(FFIResult) == 32);
CES_ASSERT(offsetof(FFIResult, error_msg) == 8);
CES_ASSERT(offsetof(FFIResult, data) == 16);
CES_ASSERT(offsetof(FFIResult, data_len) == 24);
CES_ASSERT(sizeof(FFIShard) == 16);
CES_ASSERT(offsetof(FFIShard, len) == 8);
CES_ASSERT(sizeof(FFIShards) == 16);
CES_ASSERT(offsetof(FFIShards, count) == 8);
CES_ASSERT(sizeof(ces2_wanted) == 24);
CES_ASSERT(sizeof(ces2_info) == 104);
CES_ASSERT(sizeof(ces2_report) == 88);
CES_ASSERT(sizeof(ces2_event) == 64);
#endif
#undef CES_ASSERT";

fn config() -> Config {
    let renamed = [
        ("Status", "ces_status"),
        ("Ces2Wanted", "ces2_wanted"),
        ("Ces2Info", "ces2_info"),
        ("Ces2Report", "ces2_report"),
        ("Ces2Event", "ces2_event"),
        ("Ces2Keys", "ces2_keys"),
        ("Ces2Options", "ces2_options"),
        ("Ces2Reader", "ces2_reader"),
        ("Ces2Writer", "ces2_writer"),
        ("Ces2Read", "ces2_read_fn"),
        ("Ces2ReadAt", "ces2_read_at_fn"),
        ("Ces2Write", "ces2_write_fn"),
        ("Ces2Audit", "ces2_audit_fn"),
    ];
    let renamed = renamed.map(|(rust, c)| (rust.to_owned(), c.to_owned()));
    Config {
        header: Some(HEAD.to_owned()),
        trailer: Some(LAYOUT.to_owned()),
        include_guard: Some("PROPELLER_CES_H".to_owned()),
        no_includes: true,
        sys_includes: vec!["stddef.h".to_owned(), "stdint.h".to_owned()],
        cpp_compat: true,
        language: Language::C,
        style: Style::Type,
        usize_is_size_t: true,
        documentation_style: DocumentationStyle::C99,
        line_length: 100,
        export: ExportConfig {
            rename: HashMap::from(renamed),
            ..ExportConfig::default()
        },
        enumeration: EnumConfig {
            rename_variants: RenameRule::QualifiedScreamingSnakeCase,
            ..EnumConfig::default()
        },
        ..Config::default()
    }
}

fn generated() -> String {
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut builder = Builder::new().with_config(config());
    for source in SOURCES {
        builder = builder.with_src(sources.join(source));
    }
    let mut bytes = Vec::new();
    builder.generate().unwrap().write(&mut bytes);
    // Sections of Rust's documentation are paragraphs in C.
    let text = String::from_utf8(bytes).unwrap();
    text.replace("CES_STATUS_", "CES_")
        .replace("// # Safety\n//\n", "// Taken for granted: ")
        .replace("// # Safety\n", "// Taken for granted:\n")
}

#[test]
fn the_header_is_the_one_that_the_sources_make() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("include/propeller_ces.h");
    let generated = generated();
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == generated,
        "the header is not that of the sources: run this test with {WRITE}=1, and commit it"
    );
}

#[test]
fn every_function_of_the_sources_is_in_the_header() {
    let sources = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let header = generated();
    let mut seen = 0;
    for folder in [sources.clone(), sources.join("v2")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            for after in text.split("extern \"C\" fn ces").skip(1) {
                let name = format!("ces{}(", after.split('(').next().unwrap());
                assert!(header.contains(&name), "{name} is not in the header");
                seen += 1;
            }
        }
    }
    assert!(seen > 30, "only {seen} functions found");
}
