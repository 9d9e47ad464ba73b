//! The key broker's settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use propeller_envelope::{Keyring, WorkloadKey};
use propeller_settings::{Key, Kind, Schema, Settings, SettingsError};
use zeroize::Zeroizing;

/// Every setting of the key broker.
pub const SCHEMA: Schema = Schema {
    section: "keybroker",
    prefix: "KEYBROKER",
    shared: &[],
    own: &[
        Key::new(
            "log_level",
            &[],
            Kind::Text,
            Some("info"),
            "What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `warn,security=info`.",
        ),
        Key::new(
            "data_dir",
            &[],
            Kind::Path,
            Some("propeller-data/keybroker"),
            "Where resources and the key of tokens are kept, sealed, and the audit log, readable.",
        ),
        Key::new(
            "http_host",
            &[],
            Kind::Text,
            Some("127.0.0.1"),
            "Address to listen on. Anything but loopback needs TLS.",
        ),
        Key::new(
            "http_port",
            &[],
            Kind::Number,
            Some("8080"),
            "Port, as Trustee's; 0 takes a free one.",
        ),
        Key::new(
            "http_server_cert",
            &[],
            Kind::Path,
            None,
            "Certificate chain, PEM; turns TLS on.",
        ),
        Key::new(
            "http_server_key",
            &[],
            Kind::Path,
            None,
            "Key of that certificate, PEM.",
        ),
        Key::new(
            "http_behind_tls_proxy",
            &[],
            Kind::Flag,
            Some("false"),
            "Says that something in front speaks TLS, so that it may leave loopback without. `rate_per_peer` is then for all of them together.",
        ),
        Key::new(
            "key",
            &[],
            Kind::Secret,
            None,
            "What resources are sealed with at rest, 64 hexadecimal digits: `openssl rand -hex 32`. No other service needs it.",
        ),
        Key::new(
            "key_file",
            &[],
            Kind::Path,
            None,
            "A file that holds that key, instead of `key`.",
        ),
        Key::new(
            "keys_open",
            &[],
            Kind::Secret,
            None,
            "Further keys, separated by commas, that still open; at the start, what they sealed is sealed anew.",
        ),
        Key::new(
            "policy",
            &[],
            Kind::Path,
            None,
            "Which resources are released to whom, TOML; without it none is.",
        ),
        Key::new(
            "admins",
            &[],
            Kind::Path,
            None,
            "Who may write resources, TOML; without it nobody may.",
        ),
        Key::new(
            "collateral",
            &[],
            Kind::Path,
            None,
            "A folder with what Intel says about platforms, JSON files in dcap-qvl's form; without it no evidence of `tdx` and `sgx` is accepted.",
        ),
        Key::new(
            "token_life",
            &[],
            Kind::Duration,
            Some("5m"),
            "How long a token is good for, as Trustee's, 10s to 1h: whoever has one need not attest again.",
        ),
        Key::new(
            "rate_per_peer",
            &[],
            Kind::Number,
            Some("50"),
            "Requests per second from one address, and four times as many at once.",
        ),
        Key::new(
            "rate_per_token",
            &[],
            Kind::Number,
            Some("20"),
            "Requests per second with one token, and four times as many at once.",
        ),
        Key::new(
            "audit_file_max",
            &[],
            Kind::Bytes,
            Some("16MiB"),
            "When the audit log begins a new file. Old ones stay until somebody takes them away.",
        ),
    ],
};

/// How a key broker runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Log filter.
    pub log_level: String,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate chain and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// What seals at rest.
    pub keys: Keyring,
    /// The policy file.
    pub policy: Option<PathBuf>,
    /// The admins file.
    pub admins: Option<PathBuf>,
    /// The folder with collateral.
    pub collateral: Option<PathBuf>,
    /// How long a token is good for.
    pub token_life: Duration,
    /// Requests per second.
    pub rates: Rates,
    /// Bytes of an audit file before the next one begins.
    pub audit_file_bytes_max: u64,
}

/// How often a broker may be asked, in requests per second.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// From one address.
    pub per_peer: u32,
    /// With one token.
    pub per_token: u32,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, SettingsError> {
        let s = &mut settings;
        let tls = tls(s);
        let config = Self {
            log_level: s.text("log_level").unwrap_or("info").to_owned(),
            data_dir: s.path("data_dir").unwrap_or_default(),
            listen: listen(s, tls.is_some()),
            tls,
            keys: keys(s),
            policy: s.path("policy"),
            admins: s.path("admins"),
            collateral: s.path("collateral"),
            token_life: token_life(s),
            rates: Rates {
                per_peer: rate(s, "rate_per_peer"),
                per_token: rate(s, "rate_per_token"),
            },
            audit_file_bytes_max: audit_file_max(s),
        };
        settings.finish(config)
    }
}

fn tls(settings: &mut Settings) -> Option<(PathBuf, PathBuf)> {
    let cert = settings.path("http_server_cert");
    match (cert, settings.path("http_server_key")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => {
            let why = "a certificate and its key must be given together";
            settings.invalid("http_server_cert", why.to_owned());
            None
        }
    }
}

fn listen(settings: &mut Settings, tls: bool) -> SocketAddr {
    let host = settings.parse("http_host", |text| match text {
        "localhost" => Ok(IpAddr::from(Ipv4Addr::LOCALHOST)),
        text => text.parse().map_err(|_| "write an IP address"),
    });
    let host = host.unwrap_or_else(|| IpAddr::from(Ipv4Addr::LOCALHOST));
    let port = settings.number("http_port", 0, u64::from(u16::MAX));
    let protected = tls || settings.flag("http_behind_tls_proxy");
    if !host.is_loopback() && !protected {
        let why = "beyond loopback anybody on the way could pass for the broker: set \
                   KEYBROKER_HTTP_SERVER_CERT and _KEY, or KEYBROKER_HTTP_BEHIND_TLS_PROXY=true";
        settings.invalid("http_host", why.to_owned());
    }
    SocketAddr::new(host, u16::try_from(port).unwrap_or(0))
}

fn keys(settings: &mut Settings) -> Keyring {
    let sealing = sealing_key(settings);
    let opening = settings.parse("keys_open", |text| {
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts
            .map(WorkloadKey::from_hex)
            .collect::<Result<Vec<_>, _>>()
    });
    let ring = Keyring::with_opening(sealing.clone(), opening.unwrap_or_default());
    ring.unwrap_or_else(|error| {
        settings.invalid("keys_open", error.to_string());
        Keyring::new(sealing)
    })
}

/// The key that seals. A placeholder stands in only after a mistake has been recorded.
fn sealing_key(settings: &mut Settings) -> WorkloadKey {
    let placeholder = || WorkloadKey::from_bytes([0; 32]);
    if settings.path("key_file").is_some() {
        if settings.text("key").is_some() {
            let why = "set either the key or its file, not both";
            settings.invalid("key_file", why.to_owned());
        }
        let read = settings.parse("key_file", read_key_file);
        return read.unwrap_or_else(placeholder);
    }
    settings.required("key");
    let read = settings.parse("key", WorkloadKey::from_hex);
    read.unwrap_or_else(placeholder)
}

/// A key file that others can read is no secret any more.
fn read_key_file(path: &str) -> Result<WorkloadKey, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let wrong = |error: std::io::Error| format!("cannot read {path}: {error}");
    let meta = std::fs::metadata(path).map_err(wrong)?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(format!("{path} is readable by others: chmod 600 {path}"));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(wrong)?);
    WorkloadKey::from_hex(&text).map_err(|error| format!("{path}: {error}"))
}

fn token_life(settings: &mut Settings) -> Duration {
    /// Shorter ones would be over before they are used, and longer ones outlive what was attested.
    const RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(10)..=Duration::from_secs(3600);
    let life = settings.duration("token_life");
    if !RANGE.contains(&life) {
        settings.invalid("token_life", "10s to 1h".to_owned());
    }
    life
}

fn rate(settings: &mut Settings, name: &str) -> u32 {
    u32::try_from(settings.number(name, 1, 1_000_000)).unwrap_or(1)
}

fn audit_file_max(settings: &mut Settings) -> u64 {
    /// A few hundred lines at least, and no more than is read again at the start.
    const RANGE: std::ops::RangeInclusive<u64> = 64 * 1024..=64 * 1024 * 1024;
    let bytes = settings.bytes("audit_file_max");
    if !RANGE.contains(&bytes) {
        settings.invalid("audit_file_max", "64KiB to 64MiB".to_owned());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use propeller_settings::Sources;

    use super::*;

    fn read(flags: &[(&str, &str)]) -> Result<Config, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let sources = Sources {
            flags: flags.iter().map(owned).collect(),
            ..Sources::default()
        };
        let settings = Settings::load(SCHEMA, "keybroker", &sources);
        Config::from_settings(settings).map_err(|errors| errors.to_string())
    }

    fn key() -> String {
        "0123456789abcdef".repeat(4)
    }

    #[test]
    fn a_key_is_all_it_takes() {
        let config = read(&[("key", &key())]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.token_life, Duration::from_secs(300));
        assert!(read(&[]).unwrap_err().contains("KEYBROKER_KEY is not set"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_write_instead() {
        for (flag, why) in [
            (("http_host", "0.0.0.0"), "KEYBROKER_HTTP_SERVER_CERT"),
            (("http_server_cert", "a.pem"), "given together"),
            (("token_life", "5s"), "10s to 1h"),
            (("rate_per_peer", "0"), "1 to 1000000"),
            (("audit_file_max", "1KiB"), "64KiB to 64MiB"),
            (("keys_open", &key()), "configured twice"),
            (("key_file", "k"), "not both"),
        ] {
            let refused = read(&[("key", &key()), flag]).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        let beyond = [("http_host", "::"), ("http_behind_tls_proxy", "true")];
        assert!(read(&[&[("key", key().as_str())][..], &beyond].concat()).is_ok());
    }
}
