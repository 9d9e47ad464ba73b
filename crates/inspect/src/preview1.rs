//! The functions of WASI preview 1, all of which Propeller links.

use wasmparser::{FuncType, ValType};

use crate::offer::Capability::{
    self, Arguments, Clocks, Environment, Files, Randomness, Sockets, Stdio,
};

/// The module they are imported from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// Name, parameters (`i` is i32, `I` is i64), and what it asks for, in the order of the names.
///
/// Which capability is a judgement: `fd_close` and `fd_seek` work on files too, but a module that
/// has no other way to a file than those has none.
const FUNCTIONS: [(&str, &str, Option<Capability>); 46] = [
    ("args_get", "ii", Some(Arguments)),
    ("args_sizes_get", "ii", Some(Arguments)),
    ("clock_res_get", "ii", Some(Clocks)),
    ("clock_time_get", "iIi", Some(Clocks)),
    ("environ_get", "ii", Some(Environment)),
    ("environ_sizes_get", "ii", Some(Environment)),
    ("fd_advise", "iIIi", Some(Files)),
    ("fd_allocate", "iII", Some(Files)),
    ("fd_close", "i", Some(Stdio)),
    ("fd_datasync", "i", Some(Files)),
    ("fd_fdstat_get", "ii", Some(Stdio)),
    ("fd_fdstat_set_flags", "ii", Some(Stdio)),
    ("fd_fdstat_set_rights", "iII", Some(Stdio)),
    ("fd_filestat_get", "ii", Some(Stdio)),
    ("fd_filestat_set_size", "iI", Some(Files)),
    ("fd_filestat_set_times", "iIIi", Some(Files)),
    ("fd_pread", "iiiIi", Some(Files)),
    ("fd_prestat_dir_name", "iii", Some(Files)),
    ("fd_prestat_get", "ii", Some(Files)),
    ("fd_pwrite", "iiiIi", Some(Files)),
    ("fd_read", "iiii", Some(Stdio)),
    ("fd_readdir", "iiiIi", Some(Files)),
    ("fd_renumber", "ii", Some(Stdio)),
    ("fd_seek", "iIii", Some(Stdio)),
    ("fd_sync", "i", Some(Files)),
    ("fd_tell", "ii", Some(Stdio)),
    ("fd_write", "iiii", Some(Stdio)),
    ("path_create_directory", "iii", Some(Files)),
    ("path_filestat_get", "iiiii", Some(Files)),
    ("path_filestat_set_times", "iiiiIIi", Some(Files)),
    ("path_link", "iiiiiii", Some(Files)),
    ("path_open", "iiiiiIIii", Some(Files)),
    ("path_readlink", "iiiiii", Some(Files)),
    ("path_remove_directory", "iii", Some(Files)),
    ("path_rename", "iiiiii", Some(Files)),
    ("path_symlink", "iiiii", Some(Files)),
    ("path_unlink_file", "iii", Some(Files)),
    ("poll_oneoff", "iiii", Some(Clocks)),
    ("proc_exit", "i", None),
    ("proc_raise", "i", None),
    ("random_get", "ii", Some(Randomness)),
    ("sched_yield", "", None),
    ("sock_accept", "iii", Some(Sockets)),
    ("sock_recv", "iiiiii", Some(Sockets)),
    ("sock_send", "iiiii", Some(Sockets)),
    ("sock_shutdown", "ii", Some(Sockets)),
];

/// What the function `name` asks for, or nothing if there is none of that name and type.
pub(crate) fn function(name: &str, ty: &FuncType) -> Option<Option<Capability>> {
    let at = FUNCTIONS.binary_search_by_key(&name, |(name, ..)| name);
    let (_, params, capability) = FUNCTIONS[at.ok()?];
    let results: &[ValType] = match name {
        "proc_exit" => &[],
        _ => &[ValType::I32],
    };
    let same = ty.results() == results && params.chars().map(number).eq(ty.params().to_vec());
    same.then_some(capability)
}

fn number(letter: char) -> ValType {
    match letter {
        'I' => ValType::I64,
        _ => ValType::I32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(FUNCTIONS.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }

    #[test]
    fn a_function_of_another_type_is_another_function() {
        let ty = |params: &[ValType]| FuncType::new(params.to_vec(), [ValType::I32]);
        let two = ty(&[ValType::I32, ValType::I32]);
        assert_eq!(function("random_get", &two), Some(Some(Randomness)));
        assert_eq!(function("fd_close", &two), None);
        assert_eq!(function("fd_open", &two), None);
        let exit = FuncType::new([ValType::I32], []);
        assert_eq!(function("proc_exit", &exit), Some(None));
    }
}
