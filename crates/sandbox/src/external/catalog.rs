//! The runtimes that Propeller knows, one entry each: how they are called and how they answer.
//!
//! Where an entry could be checked only against a runtime's documentation or source, it names it.

/// A program and what is known about it.
#[derive(Debug)]
pub(super) struct Known {
    /// What it is called, in messages.
    pub(super) name: &'static str,
    /// The names of its program.
    pub(super) programs: &'static [&'static str],
    /// What makes it tell its version.
    pub(super) version: &'static str,
    /// What stands before the number.
    pub(super) banner: &'static str,
    /// Its command line.
    pub(super) template: &'static str,
    /// How it answers.
    pub(super) dialect: Dialect,
    /// Whether it takes everything behind the module for arguments, options or not.
    pub(super) module_ends_options: bool,
    /// How many environment variables it takes.
    pub(super) env_max: usize,
    /// Whether a variable may be empty.
    pub(super) env_empty: bool,
    /// Whether it calls `_initialize` before a function of a reactor.
    pub(super) initializes: bool,
    /// What it writes to a disk by itself, if it does.
    pub(super) writes: Option<&'static str>,
}

/// How a runtime tells what became of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Results are the last lines of standard output; complaints stand behind `Error: `, and those
    /// about the guest's end come with exit code 134.
    Wasmtime,
    /// As above, but with exit code 1 for everything, and a line about fuel before the results.
    Wasmi,
    /// Our script answers on a descriptor of its own.
    Script,
    /// Exit codes are the guest's, but for code 1 with a complaint.
    Complaint {
        /// Where it complains.
        on: On,
        /// How a complaint begins.
        begins: &'static str,
        /// What a complaint about a trap has in it.
        trap: &'static str,
    },
    /// Nothing is known: exit codes are the guest's, and results are the last lines.
    Plain,
}

/// A stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Stdout,
    Stderr,
}

/// What is assumed of a program that is not in the catalogue and comes with a template.
pub(super) const UNKNOWN: Known = Known {
    name: "runtime",
    programs: &[],
    version: "--version",
    banner: "",
    template: "",
    dialect: Dialect::Plain,
    module_ends_options: false,
    env_max: usize::MAX,
    env_empty: true,
    initializes: false,
    writes: None,
};

/// Every runtime that is known.
pub(super) const CATALOG: [Known; 6] = [
    Known {
        name: "wasmtime",
        programs: &["wasmtime"],
        banner: "wasmtime ",
        // The cache would keep compiled modules on the disk; images of memory would be files.
        template: "run -Ccache=n -Omemory-init-cow=n -Wfuel={fuel} -Wmax-wasm-stack={stack} \
                   -Wmax-memory-size={memory} -Wmax-table-elements={table} \
                   -Wtrap-on-grow-failure={grow} --argv0={name} --env={env} --invoke={invoke} \
                   -- {module} {args}",
        dialect: Dialect::Wasmtime,
        initializes: true,
        ..UNKNOWN
    },
    Known {
        name: "wasmi",
        programs: &["wasmi", "wasmi_cli"],
        banner: "wasmi ",
        template: "run --fuel={fuel} --env={env} --invoke={invoke} -- {module} {args}",
        dialect: Dialect::Wasmi,
        env_empty: false,
        ..UNKNOWN
    },
    Known {
        name: "node",
        programs: &["node", "nodejs"],
        banner: "v",
        template: "--no-warnings --stack-size={stack_kib} --eval={script}",
        dialect: Dialect::Script,
        module_ends_options: true,
        initializes: true,
        ..UNKNOWN
    },
    // https://github.com/tetratelabs/wazero/blob/main/cmd/wazero/wazero.go
    Known {
        name: "wazero",
        programs: &["wazero"],
        version: "version",
        banner: "",
        template: "run -env={env} {module} {dashes} {args}",
        dialect: Dialect::Complaint {
            on: On::Stderr,
            begins: "error instantiating wasm binary: ",
            trap: "wasm error: ",
        },
        ..UNKNOWN
    },
    // https://github.com/bytecodealliance/wasm-micro-runtime: product-mini/platforms/posix/main.c
    // and product-mini/platforms/common/libc_wasi.c. It rounds floats in results, so it calls no
    // functions.
    Known {
        name: "iwasm",
        programs: &["iwasm"],
        banner: "iwasm ",
        template: "--stack-size={stack} --env={env} {module} {args}",
        dialect: Dialect::Complaint {
            on: On::Stdout,
            begins: "Exception: ",
            trap: "Exception: ",
        },
        module_ends_options: true,
        env_max: 8,
        ..UNKNOWN
    },
    // https://github.com/wasmerio/wasmer: lib/cli/src/commands/run. It keeps compiled modules in a
    // folder of its own, whatever the module comes from.
    Known {
        name: "wasmer",
        programs: &["wasmer"],
        banner: "wasmer ",
        template: "run --stack-size={stack} --env={env} -- {file} {args}",
        dialect: Dialect::Complaint {
            on: On::Stderr,
            begins: "error: ",
            trap: "RuntimeError: ",
        },
        writes: Some("keeps compiled modules on the disk"),
        ..UNKNOWN
    },
];

/// What is known about a program of this name.
pub(super) fn find(program: &str) -> Option<&'static Known> {
    CATALOG
        .iter()
        .find(|known| known.programs.contains(&program))
}

#[cfg(test)]
mod tests {
    use super::super::template::{Slot, Template};
    use super::*;

    #[test]
    fn every_template_can_be_read_and_keeps_options_away_from_arguments() {
        for known in &CATALOG {
            let template: Template = known.template.parse().expect(known.name);
            assert!(
                template.ends_options() || known.module_ends_options,
                "{}",
                known.name
            );
            assert_eq!(template.has(Slot::File), known.writes.is_some());
        }
    }
}
