//! Values, found and parsed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::error::{SettingError, SettingsError};
use crate::schema::{Key, Kind, Schema};
use crate::sources::Sources;

/// Sections that other services own; a file may hold all of them.
const SECTIONS: [&str; 5] = ["manager", "proplet", "proxy", "keybroker", "broker"];

/// Where a value came from, strongest last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// It ships with Propeller.
    Default,
    /// `config.toml`.
    File(String),
    /// `.env`.
    Dotenv,
    /// The environment.
    Environment,
    /// The command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::Dotenv => f.write_str(".env"),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// The settings of one service.
pub struct Settings {
    schema: Schema,
    values: BTreeMap<&'static str, (Zeroizing<String>, Source)>,
    errors: Vec<SettingError>,
    /// What the operator should know, one sentence each.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Looks every key up in its layers. Mistakes are collected and come out of
    /// [`Settings::finish`], so that an operator sees all of them at once.
    #[must_use]
    pub fn load(schema: Schema, section: &str, sources: &Sources) -> Self {
        let mut settings = Self {
            schema,
            values: BTreeMap::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        for key in schema.keys() {
            if let Some(value) = key.default {
                settings.set(key, value.to_owned(), Source::Default);
            }
        }
        if let Some((path, table)) = &sources.file {
            settings.take_file(&path.display().to_string(), section, table);
        }
        settings.take_variables(&sources.dotenv, &Source::Dotenv);
        settings.take_variables(&sources.environment, &Source::Environment);
        settings.take_layer(sources.flags.clone(), &Source::Flag);
        settings
    }

    /// A value as it was written; an empty one counts as not set.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let (value, _) = self.values.get(name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether anybody has set it, so that it is more than a default.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        let set = self.values.get(name);
        set.is_some_and(|(_, source)| *source != Source::Default)
    }

    /// A path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A value that must be there.
    pub fn required(&mut self, name: &str) -> String {
        if let Some(value) = self.text(name) {
            return value.to_owned();
        }
        let help = self.schema.find(name).map_or("", |key| key.help);
        self.errors.push(SettingError::Missing {
            key: self.schema.variable(name),
            help,
        });
        String::new()
    }

    /// A flag; false if it is not set.
    pub fn flag(&mut self, name: &str) -> bool {
        self.parsed(name, "write true or false", |text| match text {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        })
        .unwrap_or(false)
    }

    /// A number within bounds.
    pub fn number(&mut self, name: &str, min: u64, max: u64) -> u64 {
        let why = format!("write a whole number from {min} to {max}");
        self.parsed(name, &why, |text| {
            text.parse().ok().filter(|n| (min..=max).contains(n))
        })
        .unwrap_or(min)
    }

    /// A number of bytes.
    pub fn bytes(&mut self, name: &str) -> u64 {
        self.parsed(name, "write bytes, or a number with KiB, MiB or GiB", bytes)
            .unwrap_or(0)
    }

    /// A duration; a bare number is seconds.
    pub fn duration(&mut self, name: &str) -> Duration {
        self.parsed(
            name,
            "write seconds, or a number with ms, s, m, h or d",
            duration,
        )
        .unwrap_or_default()
    }

    /// A value of a type that knows its own mistakes.
    pub fn parse<T, E: fmt::Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let result = read(self.text(name)?);
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.invalid(name, error.to_string());
                None
            }
        }
    }

    /// Records that a value is no good, for a reason that only the caller knows.
    pub fn invalid(&mut self, name: &str, why: String) {
        let from = self
            .values
            .get(name)
            .map_or(Source::Default, |(_, source)| source.clone());
        self.errors.push(SettingError::Invalid {
            key: self.schema.variable(name),
            from,
            why,
        });
    }

    /// The configuration that was built from these settings, if nothing was wrong.
    ///
    /// # Errors
    /// Everything that was wrong.
    pub fn finish<T>(self, config: T) -> Result<T, SettingsError> {
        if self.errors.is_empty() {
            Ok(config)
        } else {
            Err(SettingsError(self.errors))
        }
    }

    /// Every key with its value and source, for `config show`. Secrets are hidden.
    #[must_use]
    pub fn show(&self) -> String {
        let width = self.schema.keys().map(|k| k.name.len()).max().unwrap_or(0);
        let mut out = format!("[{}]\n", self.schema.section);
        for key in self.schema.keys() {
            let (value, source) = match self.values.get(key.name) {
                None => ("(not set)".to_owned(), String::new()),
                Some((value, source)) if key.kind == Kind::Secret && !value.is_empty() => {
                    ("(secret)".to_owned(), format!("  # {source}"))
                }
                Some((value, source)) => (format!("{:?}", value.as_str()), format!("  # {source}")),
            };
            out.push_str(&format!("{:width$} = {value}{source}\n", key.name));
        }
        out
    }

    fn parsed<T>(&mut self, name: &str, why: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.parse(name, |text| read(text).ok_or(why))
    }

    fn set(&mut self, key: &'static Key, value: String, source: Source) {
        self.values
            .insert(key.name, (Zeroizing::new(value), source));
    }

    fn take_file(&mut self, file: &str, section: &str, table: &toml::Table) {
        for (name, value) in table {
            if name != section && !is_section(name) {
                self.unknown(file, "top level", name);
            } else if name == section {
                match value.as_table() {
                    Some(values) => self.take_section(file, section, values),
                    None => self.unknown(file, "top level", name),
                }
            }
        }
    }

    fn take_section(&mut self, file: &str, section: &str, values: &toml::Table) {
        let mut layer = BTreeMap::new();
        for (name, value) in values {
            let text = match value {
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                _ => {
                    self.errors.push(SettingError::File {
                        file: file.to_owned(),
                        why: format!("`{name}` in [{section}] is neither text, number nor flag"),
                    });
                    continue;
                }
            };
            if self.schema.find(name).is_some() {
                layer.insert(name.clone(), text);
            } else {
                self.unknown(file, section, name);
            }
        }
        self.take_layer(layer, &Source::File(file.to_owned()));
    }

    fn take_variables(&mut self, variables: &BTreeMap<String, String>, source: &Source) {
        let mut layer = BTreeMap::new();
        for (variable, value) in variables {
            let Some(name) = self.schema.name_of(variable) else {
                continue;
            };
            let steering = ["config_file", "config_section"].contains(&name.as_str());
            if self.schema.find(&name).is_some() {
                layer.insert(name, value.clone());
            } else if !steering {
                self.warnings
                    .push(format!("{variable} ({source}) is not used by this version"));
            }
        }
        self.take_layer(layer, source);
    }

    /// Takes one layer, whose names are known. An empty value means "not set here".
    fn take_layer(&mut self, layer: BTreeMap<String, String>, source: &Source) {
        let mut seen: BTreeMap<&'static str, (String, String)> = BTreeMap::new();
        for (name, value) in layer {
            let Some(key) = self.schema.find(&name) else {
                continue;
            };
            if value.is_empty() {
                continue;
            }
            if let Some((other, first)) = seen.get(key.name)
                && *first != value
            {
                self.errors.push(SettingError::Contradiction {
                    first: self.schema.variable(other),
                    second: self.schema.variable(&name),
                    from: source.clone(),
                });
            }
            seen.insert(key.name, (name, value.clone()));
            self.set(key, value, source.clone());
        }
    }

    fn unknown(&mut self, file: &str, section: &str, key: &str) {
        let near = self.schema.keys().find(|k| is_near(k.name, key));
        self.errors.push(SettingError::Unknown {
            file: file.to_owned(),
            section: section.to_owned(),
            key: key.to_owned(),
            hint: near.map_or_else(String::new, |k| format!("; did you mean `{}`?", k.name)),
        });
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

/// `proplet`, and `proplet1` and so on as upstream's provisioning writes them.
fn is_section(name: &str) -> bool {
    SECTIONS.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Whether two names are one edit or a missing underscore apart.
fn is_near(a: &str, b: &str) -> bool {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let (a, b) = (plain(a), plain(b));
    if a == b {
        return true;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let same_start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let rest = |v: &[char]| v[same_start..].to_vec();
    let (a, b) = (rest(&a), rest(&b));
    let same_end = a
        .iter()
        .rev()
        .zip(b.iter().rev())
        .take_while(|(x, y)| x == y)
        .count();
    a.len() - same_end <= 1 && b.len() - same_end <= 1
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}
