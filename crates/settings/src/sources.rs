//! Where values come from, read once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::dotenv;
use crate::error::SettingError;

/// The raw layers of a configuration.
#[derive(Clone, Default)]
pub struct Sources {
    /// Values given on the command line, by key name.
    pub flags: BTreeMap<String, String>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// `.env`.
    pub dotenv: BTreeMap<String, String>,
    /// `config.toml` and its path.
    pub file: Option<(PathBuf, toml::Table)>,
}

impl fmt::Debug for Sources {
    /// Without any value: most of them are somebody's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("flags", &self.flags.len())
            .field("file", &self.file.as_ref().map(|(path, _)| path))
            .finish_non_exhaustive()
    }
}

impl Sources {
    /// Reads the environment, `.env` in the working directory, and the configuration file:
    /// `config` if it is given, else the file that `{PREFIX}_CONFIG_FILE` or `PROPELLER_CONFIG`
    /// names, else `config.toml` if there is one.
    ///
    /// # Errors
    /// A file that cannot be read or parsed.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn from_process(prefix: &str, config: Option<&Path>) -> Result<Self, SettingError> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let dotenv = read_dotenv(Path::new(".env"))?;
        let named = [
            format!("{prefix}_CONFIG_FILE"),
            "PROPELLER_CONFIG".to_owned(),
        ]
        .iter()
        .find_map(|name| environment.get(name).or_else(|| dotenv.get(name)))
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
        let explicit = config.map(Path::to_owned).or(named);
        let file = match explicit {
            Some(path) => Some(read_toml(path)?),
            None if Path::new("config.toml").is_file() => Some(read_toml("config.toml".into())?),
            None => None,
        };
        Ok(Self {
            flags: BTreeMap::new(),
            environment,
            dotenv,
            file,
        })
    }
}

/// A variable of this process's environment that is no setting: something that a guest may be
/// granted. `None` if it is not set or not text.
#[must_use]
#[allow(
    clippy::disallowed_methods,
    reason = "the one crate that reads the environment"
)]
pub fn host_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The variables that the tools of object stores' vendors read: `AWS_…`, `GOOGLE_…` and `AZURE_…`, and
/// the two with other names that say where a machine in a cloud finds its credentials.
/// They are credentials, for whoever connects to a store.
#[must_use]
pub fn store_variables() -> Vec<(String, String)> {
    const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
    const NAMES: [&str; 2] = ["SERVICE_ACCOUNT", "IDENTITY_ENDPOINT"];
    let text = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        let begins = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let is_ours = begins || NAMES.contains(&name.as_str());
        Some((name, value.into_string().ok()?)).filter(|_| is_ours)
    };
    std::env::vars_os().filter_map(text).collect()
}

/// Where a program is: `name` itself if it is a path, else the first file of that name in `PATH`.
#[must_use]
pub fn program(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return std::path::absolute(name).ok();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        // What an entry that is not absolute leads to depends on where we were started.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn read_dotenv(path: &Path) -> Result<BTreeMap<String, String>, SettingError> {
    let wrong = |why: String| SettingError::File {
        file: path.display().to_string(),
        why,
    };
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    dotenv::parse(&text)
        .map(|pairs| pairs.into_iter().collect())
        .map_err(|line| wrong(format!("line {line} is not NAME=value")))
}

fn read_toml(path: PathBuf) -> Result<(PathBuf, toml::Table), SettingError> {
    let wrong = |why: String| SettingError::File {
        file: path.display().to_string(),
        why,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    // The parser's own message quotes the line, which may hold a secret.
    let table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text[..at.min(text.len())].lines().count().max(1);
        wrong(format!("line {line}: {}", error.message()))
    })?;
    Ok((path, table))
}
