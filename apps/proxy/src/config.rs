//! The proxy's settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use propeller_envelope::Keyring;
use propeller_oci::{Credential, RegistryOptions};
use propeller_settings::{Key, Kind, Schema, Settings, SettingsError, shared};
use propeller_wire::images::CHUNK_LEN_RANGE;
use propeller_wire::mqtt::{Options, Queues};
use zeroize::Zeroizing;

pub use crate::allowed::Allowed;
use crate::allowed::{Site, allowed};

/// The smallest cache, in bytes: a small module in its envelope.
const CACHE_BYTES_MIN: u64 = 64 << 10;

/// Every setting of the proxy.
pub const SCHEMA: Schema = Schema {
    section: "proxy",
    prefix: "PROXY",
    shared: shared::KEYS,
    own: &[
        Key::new(
            "log_level",
            &[],
            Kind::Text,
            Some("info"),
            "What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `info,propeller_wire=debug`.",
        ),
        Key::new(
            "data_dir",
            &[],
            Kind::Path,
            Some("propeller-data/proxy"),
            "Where blobs are kept, sealed.",
        ),
        Key::new(
            "cache",
            &[],
            Kind::Bytes,
            Some("2GiB"),
            "Most bytes of blobs that are kept, 64KiB or more; no blob may be larger. Those that nobody has asked for for longest go first.",
        ),
        Key::new(
            "chunk_size",
            &[],
            Kind::Bytes,
            Some("512000"),
            "Bytes in one message, 16KiB to 2MiB, as upstream: a broker has to let them pass, and a few of them are in memory at a time.",
        ),
        Key::new(
            "pull_concurrent_limit",
            &[],
            Kind::Number,
            Some("4"),
            "Blobs that are fetched at a time.",
        ),
        Key::new(
            "registries",
            &[],
            Kind::Text,
            None,
            "Registries that proplets may ask for, separated by commas, as in a reference: `ghcr.io`, `registry.example.com:5000`; without it all that have TLS. One without TLS has to be listed, with `http://` in front.",
        ),
        Key::new(
            "registry_url",
            &[],
            Kind::Text,
            None,
            "The registry that the three settings below are for, as upstream; `registry_config` is for any number of them.",
        ),
        Key::new(
            "authenticate",
            &[],
            Kind::Flag,
            Some("false"),
            "Whether to log in to `registry_url`.",
        ),
        Key::new(
            "registry_username",
            &[],
            Kind::Text,
            None,
            "Name at `registry_url`.",
        ),
        Key::new(
            "registry_password",
            &[],
            Kind::Secret,
            None,
            "Password at `registry_url`.",
        ),
        Key::new(
            "registry_token",
            &[],
            Kind::Secret,
            None,
            "Token for `registry_url`, in place of name and password.",
        ),
        Key::new(
            "allow_plaintext_proplets",
            &[],
            Kind::Flag,
            Some("false"),
            "Serve upstream's proplets: what they ask for is sent to everybody, in JSON, without any encryption.",
        ),
        Key::new(
            "http_host",
            &[],
            Kind::Text,
            Some("127.0.0.1"),
            "Address of `/health`.",
        ),
        Key::new(
            "http_port",
            &[],
            Kind::Number,
            Some("9191"),
            "Port of `/health`, as upstream; 0 for none.",
        ),
    ],
};

/// How a proxy runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Log filter.
    pub log_level: String,
    /// The broker.
    pub mqtt: Options,
    /// Workload keys.
    pub keys: Keyring,
    /// Where blobs are kept.
    pub data_dir: PathBuf,
    /// Most bytes of them.
    pub cache_bytes_max: u64,
    /// Bytes in every chunk but the last.
    pub chunk_len: u32,
    /// Blobs that are fetched at a time.
    pub pulls: usize,
    /// What may be asked for.
    pub allowed: Allowed,
    /// How registries are asked.
    pub registry: RegistryOptions,
    /// Whether upstream's proplets are served, without encryption.
    pub allow_plaintext: bool,
    /// Where `/health` is, if it is anywhere.
    pub health: Option<SocketAddr>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, SettingsError> {
        let s = &mut settings;
        let config = Self {
            log_level: s.text("log_level").unwrap_or("info").to_owned(),
            mqtt: Options {
                queues: Queues::BULK,
                ..shared::mqtt(s, "proxy")
            },
            keys: shared::keys(s),
            data_dir: s.path("data_dir").unwrap_or_default(),
            cache_bytes_max: cache(s),
            chunk_len: chunk_len(s),
            pulls: usize::try_from(s.number("pull_concurrent_limit", 1, 16)).unwrap_or(1),
            allowed: allowed(s),
            registry: registry(s),
            allow_plaintext: s.flag("allow_plaintext_proplets"),
            health: health(s),
        };
        settings.finish(config)
    }
}

fn chunk_len(settings: &mut Settings) -> u32 {
    let bytes = settings.bytes("chunk_size");
    let len = u32::try_from(bytes).ok();
    len.filter(|len| CHUNK_LEN_RANGE.contains(len))
        .unwrap_or_else(|| {
            settings.invalid("chunk_size", "16KiB to 2MiB".to_owned());
            *CHUNK_LEN_RANGE.start()
        })
}

/// No blob may be larger than the cache that it is fetched into.
fn cache(settings: &mut Settings) -> u64 {
    let bytes = settings.bytes("cache");
    if bytes < CACHE_BYTES_MIN {
        let why = "at least 64KiB: what is fetched is kept there first, so no blob may be larger";
        settings.invalid("cache", why.to_owned());
    }
    bytes
}

fn registry(settings: &mut Settings) -> RegistryOptions {
    let mut options = propeller_settings::registry(settings);
    options.blob_bytes_max = settings.bytes("cache");
    let at = settings.parse("registry_url", |text| {
        let address = text.trim_end_matches('/');
        let old = ["/v1", "/v2"]
            .iter()
            .find_map(|end| address.strip_suffix(end));
        Site::parse(old.unwrap_or(address)).map(|_| text.to_owned())
    });
    let named = settings.text("registry_url").is_some();
    let name = settings.text("registry_username").map(ToOwned::to_owned);
    let secret = |key| {
        let text = settings.text(key)?;
        Some(Zeroizing::new(text.to_owned()))
    };
    let (password, token) = (secret("registry_password"), secret("registry_token"));
    let some = name.is_some() || password.is_some() || token.is_some();
    let wanted = settings.flag("authenticate");
    if some && !wanted {
        let why = "there are credentials for PROXY_REGISTRY_URL: set it to true, or unset them";
        settings.invalid("authenticate", why.to_owned());
        return options;
    }
    let credential = match (token, name, password) {
        (Some(token), ..) => Credential::Bearer { token },
        (None, Some(username), Some(password)) => Credential::Basic { username, password },
        _ if wanted => {
            let why =
                "set PROXY_REGISTRY_TOKEN, or PROXY_REGISTRY_USERNAME and PROXY_REGISTRY_PASSWORD";
            settings.invalid("authenticate", why.to_owned());
            return options;
        }
        _ => return options,
    };
    match at {
        // That it is wrong is noted.
        None if named => {}
        None => settings.invalid("registry_url", "the registry to log in to".to_owned()),
        Some(at) => options.credentials = options.credentials.with(&at, credential),
    }
    options
}

fn health(settings: &mut Settings) -> Option<SocketAddr> {
    let host = settings.parse("http_host", |text| match text {
        "localhost" => Ok(IpAddr::from(Ipv4Addr::LOCALHOST)),
        other => other.parse(),
    });
    let port = settings.number("http_port", 0, u64::from(u16::MAX));
    let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
    Some(SocketAddr::new(host?, port))
}

#[cfg(test)]
mod tests {
    use propeller_settings::Sources;

    use super::*;

    fn read(flags: &[(&str, &str)]) -> Result<Config, SettingsError> {
        let key = "0123456789abcdef".repeat(4);
        let flags = [flags, &[("workload_key", key.as_str())]].concat();
        let sources = Sources {
            flags: flags
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..Sources::default()
        };
        Config::from_settings(Settings::load(SCHEMA, "proxy", &sources))
    }

    #[test]
    fn credentials_that_would_not_be_used_are_refused() {
        let user = ("registry_username", "me");
        let token = ("registry_token", "t");
        let (at, on) = (("registry_url", "ghcr.io"), ("authenticate", "true"));
        for (flags, why) in [
            (&[user][..], "there are credentials"),
            (&[token, at], "there are credentials"),
            (&[user, at, on], "PROXY_REGISTRY_PASSWORD"),
            (&[token, on], "the registry to log in to"),
        ] {
            let refused = read(flags).expect_err("it is incomplete").to_string();
            assert!(refused.contains(why), "{refused}");
        }
        assert!(read(&[token, at, on]).is_ok());
    }

    #[test]
    fn a_registry_to_log_in_to_is_one() {
        let more = [("registry_token", "t"), ("authenticate", "true")];
        for (at, right) in [
            ("ghcr.io", true),
            ("https://index.docker.io/v1/", true),
            ("ghcr.io/team", true),
            ("http://10.0.0.7:5000", true),
            ("not a host/x y", false),
            ("ftp://ghcr.io", false),
        ] {
            let said = read(&[&[("registry_url", at)], &more[..]].concat());
            let said = said.map_or_else(|error| error.to_string(), |_| String::new());
            assert_eq!(said.is_empty(), right, "{at}: {said}");
            assert!(right || said.contains("PROXY_REGISTRY_URL"), "{said}");
        }
        // Also where nobody logs in.
        assert!(read(&[("registry_url", "not a host/x y")]).is_err());
    }

    #[test]
    fn a_cache_for_nothing_is_refused_with_what_is_enough() {
        let said = read(&[("cache", "0")]).expect_err("nothing fits into it");
        let said = said.to_string();
        assert!(
            said.contains("PROXY_CACHE") && said.contains("at least 64KiB"),
            "{said}"
        );
        assert!(read(&[("cache", "64KiB")]).is_ok());
    }
}
