//! What is looked at before anything is started.

use std::path::Path;

use super::{RunError, say};

/// Refuses what is no module before anything is started for it.
pub(super) fn has_header(file: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let why = match bytes.trim_ascii_start() {
        _ if bytes.starts_with(b"\0asm") => return Ok(()),
        [] => "it is empty",
        [b'(', ..] | [b';', b';', ..] => "it is text; compile it first, for example with wat2wasm",
        _ => "see what it is with `propeller inspect FILE`",
    };
    Err(RunError::NotWasm(file.to_owned(), why))
}

/// Says which settings of a proplet have no effect on the one in this process.
pub(super) fn tell_unheeded() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut names: Vec<_> = names.filter(|it| it.starts_with("PROPLET_")).collect();
    names.sort();
    if !names.is_empty() {
        say(&format!(
            "note: without a manager (-m URL), the proplet has its defaults: of no effect: {}",
            names.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_told_apart() {
        for (bytes, expected) in [
            (&b"\0asm\x01\0\0\0"[..], ""),
            (b"\0asm", ""),
            (b"", "m is no WebAssembly module: it is empty"),
            (
                b" ;; a module\n(module)",
                "m is no WebAssembly module: it is text; compile it first, for example with wat2wasm",
            ),
            (
                b"\x7fELF",
                "m is no WebAssembly module: see what it is with `propeller inspect FILE`",
            ),
        ] {
            let refused = has_header(Path::new("m"), bytes).err();
            let said = refused.map_or_else(String::new, |error| error.to_string());
            assert_eq!(said, expected);
        }
    }
}
