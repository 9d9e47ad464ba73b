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
    use bytes::Bytes;
    use propeller_model::{Digest, Limits};

    use super::super::plan::{Manner, Planned};
    use super::super::template::Slot;
    use super::*;
    use propeller_model::Profile;

    use crate::capabilities::Capabilities;
    use crate::job::{Entry, Job, ModuleKey};
    use crate::transcript::Transcript;

    fn job(entry: &str, args: &[&str]) -> Job {
        let text = r#"(module (memory 1) (func (export "_start"))
            (func (export "add") (param i32 f64) (result i32) (local.get 0)))"#;
        Job {
            key: ModuleKey {
                tenant: String::new(),
                digest: Digest([0; 32]),
            },
            wasm: Bytes::from(wat::parse_str(text).expect("well-formed")),
            name: "task".to_owned(),
            entry: Entry::Named(entry.to_owned()),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: vec![("A".to_owned(), "b c".to_owned())],
            stdin: crate::stdin::Stdin::default(),
            limits: Limits::default(),
            profile: Profile::Pure,
            capabilities: Capabilities::default(),
            daemon: None,
            transcript: Transcript::default(),
        }
    }

    /// The command line of `program`, with the module in the file `m`, or why there is none.
    fn check(program: &str, job: &Job, expected: &str) {
        let known = find(program).expect(program);
        let template = known.template.parse().expect(program);
        let manner = Manner {
            called: known.name.to_owned(),
            known,
            template,
            shipped: true,
        };
        let told = match manner.plan(job, Some("m")) {
            Ok(Planned::Run(plan)) => plan.words.join("|"),
            Ok(Planned::Over(exit)) => format!("{:?}", exit.status),
            Err(error) => error.to_string(),
        };
        assert_eq!(told.replace("/proc/self/fd/3", "m"), expected, "{program}");
    }

    #[test]
    fn every_template_can_be_read_and_keeps_options_away_from_arguments() {
        for known in &CATALOG {
            let template: super::super::Template = known.template.parse().expect(known.name);
            assert!(
                template.ends_options() || known.module_ends_options,
                "{}",
                known.name
            );
            assert_eq!(template.has(Slot::File), known.writes.is_some());
        }
    }

    #[test]
    fn wasmtime_is_called_as_it_is_tested() {
        let before = "run|-Ccache=n|-Omemory-init-cow=n|-Wfuel=1000000000|\
            -Wmax-wasm-stack=1048576|-Wmax-memory-size=268435456|-Wmax-table-elements=2097152|\
            -Wtrap-on-grow-failure=y|--argv0=task|--env=A=b c|";
        let command = format!("{before}--|m|-x");
        check("wasmtime", &job("_start", &["-x"]), &command);
        let call = format!("{before}--invoke=add|--|m|-1|0.5");
        check("wasmtime", &job("add", &["4294967295", ".5"]), &call);
    }

    #[test]
    fn wasmi_is_called_as_it_is_tested() {
        let call = "run|--fuel=1000000000|--env=A=b c|--invoke=add|--|m|1|2";
        check("wasmi_cli", &job("add", &["1", "2"]), call);
    }

    /// `wazero run <options> <path to wasm file> [--] <wasm args>`; a `--` without arguments would
    /// be one.
    #[test]
    fn wazero_is_called_as_its_usage_says() {
        check(
            "wazero",
            &job("_start", &["-x", "--"]),
            "run|-env=A=b c|m|--|-x|--",
        );
        check("wazero", &job("_start", &[]), "run|-env=A=b c|m");
        check(
            "wazero",
            &job("add", &["1", "2"]),
            "the external runtime wazero cannot call the function `add`: it runs commands \
             (`_start`) only; use another runtime, or none (PROPLET_EXTERNAL_WASM_RUNTIME)",
        );
    }

    /// `iwasm [-options] wasm_file [args...]`: options end at the file.
    #[test]
    fn iwasm_is_called_as_its_usage_says() {
        let line = "--stack-size=1048576|--env=A=b c|m|-x|--";
        check("iwasm", &job("_start", &["-x", "--"]), line);
        let mut many = job("_start", &[]);
        many.env = (0..9).map(|at| (format!("V{at}"), String::new())).collect();
        check(
            "iwasm",
            &many,
            "the external runtime iwasm cannot pass more than 8 variables; use another runtime, \
             or none (PROPLET_EXTERNAL_WASM_RUNTIME)",
        );
    }

    /// `wasmer run [OPTIONS] <INPUT> [ARGS]...`, which takes options anywhere before a `--`.
    #[test]
    fn wasmer_is_called_as_its_usage_says() {
        let line = "run|--stack-size=1048576|--env=A=b c|--|m|-x";
        check("wasmer", &job("_start", &["-x"]), line);
    }
}
