//! Which export of a core module a job calls.

use crate::excerpt::excerpt;
use crate::job::Entry;
use crate::runtime::RunError;

/// The entry point of a WASI command.
pub(crate) const COMMAND: &str = "_start";

/// What a WASI library wants called once, before any of its functions.
pub(crate) const INITIALIZER: &str = "_initialize";

/// What is called when nothing is named, in this order, after the hint.
const DEFAULTS: [&str; 3] = [COMMAND, "main", "run"];

/// How many exports an error lists: enough to find a typing error, too few to fill a screen.
pub(crate) const EXPORTS_LISTED_MAX: usize = 10;

/// The function that `entry` asks for, with what `exported` tells of it; `functions` are the names
/// of all of them, for the error.
pub(crate) fn chosen<'a, 'm, T>(
    entry: &'a Entry,
    exported: impl Fn(&str) -> Option<T>,
    functions: impl Iterator<Item = &'m str>,
) -> Result<(&'a str, T), RunError> {
    let named = |name: &'a str| exported(name).map(|found| (name, found));
    let (asked, found) = match entry {
        Entry::Named(name) => (name, named(name)),
        Entry::Default { hint } => {
            let mut names = std::iter::once(hint.as_str()).chain(DEFAULTS);
            (hint, names.find_map(named))
        }
    };
    found.ok_or_else(|| RunError::MissingExport {
        name: excerpt(asked),
        exports: functions.take(EXPORTS_LISTED_MAX).map(excerpt).collect(),
    })
}

/// Whether there is a function that `entry` asks for.
pub(crate) fn fits(entry: &Entry, exported: impl Fn(&str) -> bool) -> bool {
    match entry {
        Entry::Named(name) => exported(name),
        Entry::Default { hint } => exported(hint) || DEFAULTS.into_iter().any(exported),
    }
}

/// Whether a library's initializer has to run before `function`.
pub(crate) fn wants_initializer(function: &str) -> bool {
    ![COMMAND, INITIALIZER].contains(&function)
}
