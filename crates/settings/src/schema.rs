//! Which keys a service has.

/// The keys of one service.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// What the service is called: the section of `config.toml`.
    pub section: &'static str,
    /// What its environment variables start with, without the underscore.
    pub prefix: &'static str,
    /// The keys that only this service has.
    pub own: &'static [Key],
    /// The keys that it shares with others.
    pub shared: &'static [Key],
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name in `config.toml`; in upper case, behind the prefix, its environment variable.
    pub name: &'static str,
    /// Older names of the same thing.
    pub aliases: &'static [&'static str],
    /// What a value looks like.
    pub kind: Kind,
    /// The value if nobody sets one.
    pub default: Option<&'static str>,
    /// What it is for, with its unit and the reason for its default. A sentence.
    pub help: &'static str,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is never shown.
    Secret,
    /// A path.
    Path,
    /// A whole number.
    Number,
    /// `true`, `1`, `yes`, `on` or `false`, `0`, `no`, `off`.
    Flag,
    /// `10` (seconds), `10s`, `500ms`, `5m`, `2h` or `7d`.
    Duration,
    /// `1048576`, `64KiB`, `100MiB` or `2GiB`.
    Bytes,
}

impl Key {
    /// A key, in one line of a table.
    #[must_use]
    pub const fn new(
        name: &'static str,
        aliases: &'static [&'static str],
        kind: Kind,
        default: Option<&'static str>,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            aliases,
            kind,
            default,
            help,
        }
    }
}

impl Schema {
    /// All keys, its own first.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.own.iter().chain(self.shared)
    }

    /// The key of this name or alias.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys()
            .find(|key| key.name == name || key.aliases.contains(&name))
    }

    /// The environment variable of a name.
    #[must_use]
    pub fn variable(&self, name: &str) -> String {
        format!("{}_{}", self.prefix, name.to_uppercase())
    }

    /// The name of an environment variable of this service.
    #[must_use]
    pub fn name_of(&self, variable: &str) -> Option<String> {
        let rest = variable.strip_prefix(self.prefix)?.strip_prefix('_')?;
        Some(rest.to_lowercase())
    }

    /// The reference of all keys, as Markdown.
    #[must_use]
    pub fn reference(&self) -> String {
        let mut out = format!(
            "## `[{}]` and `{}_*`\n\n| variable | key | kind | default | meaning |\n|---|---|---|---|---|\n",
            self.section, self.prefix
        );
        for key in self.keys() {
            let aliases: String = key
                .aliases
                .iter()
                .map(|alias| format!(", `{}`", self.variable(alias)))
                .collect();
            out.push_str(&format!(
                "| `{}`{aliases} | `{}` | {} | {} | {} |\n",
                self.variable(key.name),
                key.name,
                key.kind.word(),
                key.default
                    .map_or_else(|| "–".to_owned(), |value| format!("`{value}`")),
                key.help,
            ));
        }
        out
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Path => "path",
            Self::Number => "number",
            Self::Flag => "flag",
            Self::Duration => "duration",
            Self::Bytes => "bytes",
        }
    }
}
