//! The interfaces of WASI 0.2.

use crate::offer::Capability::{
    self, Arguments, Clocks, Environment, Files, OutgoingHttp, Randomness, Sockets, Stdio,
};

/// Exported by a component that is started and ends.
pub(crate) const RUN: &str = "wasi:cli/run";
/// Exported by a component that answers HTTP requests.
pub(crate) const INCOMING: &str = "wasi:http/incoming-handler";
/// The same in WASI 0.3.
pub(crate) const INCOMING_P3: &str = "wasi:http/handler";

/// Within `0.2`, a newer interface serves whoever asks for an older one.
const VERSION: &str = "0.2.";

/// The interfaces that Propeller links, and what they ask for.
const OFFERED: [(&str, &[Capability]); 30] = [
    ("wasi:cli/environment", &[Arguments, Environment]),
    ("wasi:cli/exit", &[]),
    ("wasi:cli/stderr", &[Stdio]),
    ("wasi:cli/stdin", &[Stdio]),
    ("wasi:cli/stdout", &[Stdio]),
    ("wasi:cli/terminal-input", &[Stdio]),
    ("wasi:cli/terminal-output", &[Stdio]),
    ("wasi:cli/terminal-stderr", &[Stdio]),
    ("wasi:cli/terminal-stdin", &[Stdio]),
    ("wasi:cli/terminal-stdout", &[Stdio]),
    ("wasi:clocks/monotonic-clock", &[Clocks]),
    ("wasi:clocks/wall-clock", &[Clocks]),
    ("wasi:filesystem/preopens", &[Files]),
    ("wasi:filesystem/types", &[Files]),
    ("wasi:io/error", &[]),
    ("wasi:io/poll", &[]),
    ("wasi:io/streams", &[]),
    ("wasi:random/insecure", &[Randomness]),
    ("wasi:random/insecure-seed", &[Randomness]),
    ("wasi:random/random", &[Randomness]),
    ("wasi:sockets/instance-network", &[Sockets]),
    ("wasi:sockets/ip-name-lookup", &[Sockets]),
    ("wasi:sockets/network", &[Sockets]),
    ("wasi:sockets/tcp", &[Sockets]),
    ("wasi:sockets/tcp-create-socket", &[Sockets]),
    ("wasi:sockets/udp", &[Sockets]),
    ("wasi:sockets/udp-create-socket", &[Sockets]),
    ("wasi:http/outgoing-handler", &[OutgoingHttp]),
    ("wasi:http/types", &[]),
    // Of WASI 0.3 alone.
    ("wasi:http/client", &[OutgoingHttp]),
];

/// What somebody asks for who imports the interface `name`, and whether Propeller offers it.
pub(crate) fn interface(name: &str) -> (&'static [Capability], bool) {
    let (base, version) = split(name);
    match OFFERED.iter().find(|(known, _)| *known == base) {
        Some((_, capabilities)) => (capabilities, is_supported(version)),
        None => (&[], false),
    }
}

/// An interface name without and with its version: `wasi:cli/run@0.2.6` in two.
pub(crate) fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

/// Whether Propeller has this version of WASI. Release candidates are like nothing else.
pub(crate) fn is_supported(version: &str) -> bool {
    let patch = version.strip_prefix(VERSION).unwrap_or_default();
    !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: &[Capability], offered: bool) {
        assert_eq!(interface(name), (expected, offered), "{name}");
    }

    #[test]
    fn any_0_2_is_offered_and_no_other_version() {
        check("wasi:cli/stdout@0.2.0", &[Stdio], true);
        check("wasi:cli/stdout@0.2.12", &[Stdio], true);
        check("wasi:cli/stdout@0.2.0-rc-2023-12-05", &[Stdio], false);
        check("wasi:cli/stdout@0.3.0", &[Stdio], false);
        check("wasi:cli/stdout", &[Stdio], false);
    }

    #[test]
    fn strangers_are_not_offered() {
        check("wasi:http/outgoing-handler@0.2.0", &[OutgoingHttp], true);
        check("wasi:http/client@0.3.0", &[OutgoingHttp], false);
        check("my:own/interface@0.2.0", &[], false);
    }
}
