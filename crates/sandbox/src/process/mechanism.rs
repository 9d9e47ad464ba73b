//! What holds a child or a compiler, by name: there is no "isolated: yes".

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One thing that holds a child or a compiler, and whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mechanism {
    /// Which one.
    pub name: Name,
    /// Whether it is there.
    pub state: State,
}

/// Everything that holds a child or a compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Name {
    /// It can gain no rights by executing anything.
    NoNewPrivileges,
    /// Nobody of the same user can look into it, and it leaves no core dump.
    NotDumpable,
    /// It is not root, whoever started the proplet.
    Unprivileged,
    /// No files, no processes, no locked memory; a bound on memory and on processor time.
    ResourceLimits,
    /// It has none, not even in its own namespaces.
    NoCapabilities,
    /// Nothing outside can be named: no paths, processes, networks.
    Namespaces,
    /// Nothing can be opened.
    Landlock,
    /// Nothing can be called but what a guest in WebAssembly needs.
    Seccomp,
    /// It ends when its parent does.
    DeathSignal,
    /// Nothing writable becomes executable, by another rule of the kernel.
    NoNewCode,
    /// It comes after the proplet, and cannot change that.
    LowPriority,
}

/// Whether a mechanism is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It is.
    On,
    /// It is, to this extent.
    OnTo(String),
    /// It is not: what was tried, and what the kernel said.
    Missing(String),
}

/// How bad it is that a mechanism is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Always,
    UnlessAllowed,
    Never,
}

impl Name {
    fn need(self, allowed: AllowMissing) -> Need {
        let unless = |allowed| {
            if allowed {
                Need::Never
            } else {
                Need::UnlessAllowed
            }
        };
        match self {
            Self::NoNewPrivileges
            | Self::NotDumpable
            | Self::Unprivileged
            | Self::ResourceLimits
            | Self::NoCapabilities
            | Self::Seccomp => Need::Always,
            Self::Namespaces => unless(allowed.namespaces),
            Self::Landlock => unless(allowed.landlock),
            // Namespaces end children with their zygote too, and seccomp refuses new code too. A low
            // priority holds nobody: without it busy guests make the proplet late.
            Self::DeathSignal | Self::NoNewCode | Self::LowPriority => Need::Never,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => "no-new-privs",
            Self::NotDumpable => "not-dumpable",
            Self::Unprivileged => "unprivileged",
            Self::ResourceLimits => "rlimits",
            Self::NoCapabilities => "no-capabilities",
            Self::Namespaces => "namespaces",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
            Self::DeathSignal => "death-signal",
            Self::NoNewCode => "mdwe",
            Self::LowPriority => "low-priority",
        }
    }
}

impl Mechanism {
    /// `name`, as the call `what` turned out.
    pub(super) fn tried<E: fmt::Display>(name: Name, what: &str, result: Result<(), E>) -> Self {
        let state = match result {
            Ok(()) => State::On,
            Err(error) => State::Missing(format!("{what}: {error}")),
        };
        Self { name, state }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What may be missing, because the operator says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowMissing {
    /// Landlock, which older kernels do not have.
    pub landlock: bool,
    /// Namespaces, which many containers may not make.
    pub namespaces: bool,
}

/// Names that are not among those that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only `landlock` and `namespaces` may be missing, separated by a comma")]
pub struct NotAllowable;

impl FromStr for AllowMissing {
    type Err = NotAllowable;

    fn from_str(text: &str) -> Result<Self, NotAllowable> {
        let mut allowed = Self::default();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match name {
                "landlock" => allowed.landlock = true,
                "namespaces" => allowed.namespaces = true,
                _ => return Err(NotAllowable),
            }
        }
        Ok(allowed)
    }
}

/// All that holds a child or a compiler, on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mechanisms(Vec<Mechanism>);

/// What has to be there and is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Missing(Vec<String>);

impl Mechanisms {
    /// The list, if all that has to be in it is there.
    pub(super) fn checked(list: Vec<Mechanism>, allowed: AllowMissing) -> Result<Self, Missing> {
        let mut missing = Vec::new();
        for Mechanism { name, state } in &list {
            let State::Missing(why) = state else { continue };
            match name.need(allowed) {
                Need::Always => missing.push(format!("{name} ({why})")),
                Need::UnlessAllowed => {
                    missing.push(format!("{name} ({why}), which may be allowed"));
                }
                Need::Never => {}
            }
        }
        if missing.is_empty() {
            return Ok(Self(list));
        }
        Err(Missing(missing))
    }

    /// Whether one of them is missing.
    #[must_use]
    pub fn lack_something(&self) -> bool {
        let missing = |mechanism: &Mechanism| matches!(mechanism.state, State::Missing(_));
        self.0.iter().any(missing)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mechanism> {
        self.0.iter()
    }
}

impl fmt::Display for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = self
            .0
            .iter()
            .filter_map(|mechanism| match &mechanism.state {
                State::On => Some(mechanism.name.to_string()),
                State::OnTo(extent) => Some(format!("{} ({extent})", mechanism.name)),
                State::Missing(_) => None,
            });
        let missing = self
            .0
            .iter()
            .filter_map(|mechanism| match &mechanism.state {
                State::Missing(why) => Some(format!("{} ({why})", mechanism.name)),
                State::On | State::OnTo(_) => None,
            });
        write!(f, "on: {}", on.collect::<Vec<_>>().join(", "))?;
        let missing: Vec<String> = missing.collect();
        if missing.is_empty() {
            return f.write_str("; missing: none");
        }
        write!(f, "; missing: {}", missing.join(", "))
    }
}

/// The first of several calls that failed, with its name.
pub(super) fn first_failure(
    calls: impl IntoIterator<Item = (&'static str, io::Result<()>)>,
) -> Result<(), String> {
    for (what, result) in calls {
        result.map_err(|error| format!("{what}: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: Name) -> Vec<Mechanism> {
        let no: Result<(), &str> = Err("EPERM");
        vec![
            Mechanism::tried::<String>(Name::NoNewPrivileges, "prctl", Ok(())),
            Mechanism::tried(name, "call", no),
        ]
    }

    fn check(name: Name, allowed: &str, expected: &str) {
        let allowed = allowed.parse().expect("a list of what may be missing");
        let told = match Mechanisms::checked(list(name), allowed) {
            Ok(mechanisms) => mechanisms.to_string(),
            Err(missing) => format!("refused: {missing}"),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn what_is_missing_is_named_and_refused_unless_it_is_allowed() {
        let on = "on: no-new-privs; missing:";
        check(Name::Seccomp, "", "refused: seccomp (call: EPERM)");
        check(
            Name::Seccomp,
            "landlock,namespaces",
            "refused: seccomp (call: EPERM)",
        );
        check(
            Name::Landlock,
            "",
            "refused: landlock (call: EPERM), which may be allowed",
        );
        check(
            Name::Landlock,
            " landlock ",
            &format!("{on} landlock (call: EPERM)"),
        );
        check(
            Name::Namespaces,
            "namespaces",
            &format!("{on} namespaces (call: EPERM)"),
        );
        check(Name::NoNewCode, "", &format!("{on} mdwe (call: EPERM)"));
    }

    #[test]
    fn seccomp_cannot_be_given_up() {
        assert_eq!("seccomp".parse::<AllowMissing>(), Err(NotAllowable));
    }
}
