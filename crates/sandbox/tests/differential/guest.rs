//! A guest that makes the calls it is given, and prints its memory.

use std::fmt::Write;

/// All functions of preview 1 with their parameters: `i` has 32 bits, `l` 64.
pub(crate) const FUNCTIONS: [(&str, &str); 46] = [
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "ili"),
    ("fd_advise", "illi"),
    ("fd_allocate", "ill"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "ill"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "il"),
    ("fd_filestat_set_times", "illi"),
    ("fd_pread", "iiili"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_renumber", "ii"),
    ("fd_seek", "ilii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_exit", "i"),
    ("proc_raise", "i"),
    ("sched_yield", ""),
    ("random_get", "ii"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

/// Where the answers are kept, in the memory that is printed.
const ANSWERS: usize = 1536;
const PRINTED: usize = 2048;

/// Prepared memory, by the address of what is there.
fn memory() -> Vec<u8> {
    let mut memory = vec![0; PRINTED];
    let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
    let iovec = |at: u32, len: u32| [at.to_le_bytes(), len.to_le_bytes()].concat();
    put(0, &[iovec(600, 0), iovec(512, 5), iovec(520, 4)].concat());
    put(32, &iovec(0xffff_fff0, 32));
    put(40, &iovec(512, 0x0200_0000));
    put(48, &iovec(600, 0));
    put(512, b"hello, file and socket");
    put(544, &[0xff, 0xfe]);
    let clock = |id: u32, timeout: u64, flags: u16| {
        let mut bytes = vec![7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(&u64::from(id).to_le_bytes());
        bytes.extend_from_slice(&timeout.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&u64::from(flags).to_le_bytes());
        bytes
    };
    let stream = |kind: u8, fd: u32| {
        let mut bytes = vec![9, 0, 0, 0, 0, 0, 0, 0, kind, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend_from_slice(&u64::from(fd).to_le_bytes());
        bytes.extend_from_slice(&[0; 24]);
        bytes
    };
    let subscriptions = [
        clock(1, 0, 0),
        clock(0, 0, 0),
        stream(1, 0),
        stream(2, 1),
        stream(2, 2),
        clock(1, 1_000_000, 0),
        clock(1, 1, 1),
        clock(0, 1, 1),
        clock(0, u64::MAX, 0),
        stream(1, 1),
        stream(2, 0),
        stream(1, 3),
        stream(3, 0),
        clock(2, 0, 0),
        clock(9, 0, 0),
        clock(1, 0, 2),
    ];
    put(640, &subscriptions.concat());
    memory
}

/// A call as text, with its arguments in 64 bits.
pub(crate) fn numbers(call: &str) -> (&str, Vec<i64>) {
    let mut words = call.split(' ');
    let name = words.next().unwrap();
    let args = words.map(|word| word.parse().unwrap());
    (name, args.collect())
}

/// The module: `run` makes the calls, keeps the answers, prints the memory and gives the last answer.
pub(crate) fn guest(calls: &[(&str, Vec<i64>)]) -> Vec<u8> {
    let mut text = String::from("(module\n");
    for (name, params) in FUNCTIONS {
        let params: Vec<_> = params.chars().map(wasm_type).collect();
        let params = params.join(" ");
        let result = if name == "proc_exit" {
            ""
        } else {
            "(result i32)"
        };
        writeln!(
            text,
            r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {params}) {result}))"#
        )
        .unwrap();
    }
    let data: String = memory()
        .iter()
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    writeln!(
        text,
        r#"(memory (export "memory") 1) (data (i32.const 0) "{data}")"#
    )
    .unwrap();
    writeln!(
        text,
        r#"(func (export "run") (result i32) (local $answer i32)"#
    )
    .unwrap();
    for (index, (name, args)) in calls.iter().enumerate() {
        let (_, params) = FUNCTIONS.iter().find(|it| it.0 == *name).unwrap();
        assert_eq!(params.len(), args.len(), "{name}");
        let args = params.chars().zip(args);
        let args: String = args
            .map(|(param, arg)| format!("({}.const {arg})", wasm_type(param)))
            .collect();
        let call = format!("(call ${name} {args})");
        let at = ANSWERS + 4 * index;
        let kept = match *name {
            "proc_exit" => call,
            _ => format!("(i32.store (i32.const {at}) (local.tee $answer {call}))"),
        };
        writeln!(text, "{kept}").unwrap();
    }
    // The list of buffers is outside of what is printed.
    writeln!(
        text,
        "(i32.store (i32.const 4096) (i32.const 0))
         (i32.store (i32.const 4100) (i32.const {PRINTED}))
         (drop (call $fd_write (i32.const 2) (i32.const 4096) (i32.const 1) (i32.const 4104)))
         (local.get $answer)))"
    )
    .unwrap();
    wat::parse_str(text).unwrap()
}

fn wasm_type(param: char) -> &'static str {
    match param {
        'i' => "i32",
        _ => "i64",
    }
}
