//! The manager's settings.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use propeller_depot::Location;
use propeller_envelope::Keyring;
use propeller_model::retry::Policy;
use propeller_model::{Digest, PropletId};
use propeller_oci::sign::VerifyingKey;
use propeller_settings::{Key, Kind, Schema, Settings, SettingsError, shared};
use propeller_wire::mqtt::Options;
use zeroize::Zeroizing;

use crate::attestation;
use crate::dispatch::Rules;
use crate::http::PATIENCE;
use crate::judge::Judge;

/// Every setting of the manager.
pub const SCHEMA: Schema = Schema {
    section: "manager",
    prefix: "MANAGER",
    shared: shared::KEYS,
    own: &[
        shared::REQUIRE_SIGNATURE,
        Key::new(
            "log_level",
            &[],
            Kind::Text,
            Some("info"),
            "What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `info,propeller_wire=debug`.",
        ),
        Key::new(
            "http_host",
            &[],
            Kind::Text,
            Some("127.0.0.1"),
            "Address of the REST API. Anything but loopback needs a token and TLS.",
        ),
        Key::new(
            "http_port",
            &[],
            Kind::Number,
            Some("7070"),
            "Port of the REST API; 0 takes a free one.",
        ),
        Key::new(
            "http_server_cert",
            &[],
            Kind::Path,
            None,
            "Certificate chain of the REST API, PEM; turns TLS on.",
        ),
        Key::new(
            "http_server_key",
            &[],
            Kind::Path,
            None,
            "Key of that certificate, PEM.",
        ),
        Key::new(
            "http_token",
            &[],
            Kind::Secret,
            None,
            "Bearer token that every request must carry, at least 16 characters.",
        ),
        Key::new(
            "http_behind_tls_proxy",
            &[],
            Kind::Flag,
            Some("false"),
            "Says that something in front of the REST API speaks TLS, so that it may leave loopback without.",
        ),
        Key::new(
            "upload_max",
            &[],
            Kind::Bytes,
            Some("100MiB"),
            "Largest module that is accepted, as upstream.",
        ),
        Key::new(
            "object_store",
            &[],
            Kind::Text,
            None,
            "Where large inputs and outputs of tasks lie, sealed: an absolute folder, `s3://BUCKET/PREFIX`, `gs://…` or `az://…`, which no other manager uses. Proplets are given the same. Credentials are the vendor's usual variables.",
        ),
        Key::new(
            "inline_max",
            &[],
            Kind::Bytes,
            Some("1MiB"),
            "Longest standard input in a request; a longer one goes into the object store.",
        ),
        Key::new(
            "object_max",
            &[],
            Kind::Bytes,
            Some("16GiB"),
            "Largest object that is accepted for the object store, as it comes: compressed and sealed.",
        ),
        Key::new(
            "storage_type",
            &[],
            Kind::Text,
            Some("sqlite"),
            "Only `sqlite` in this version.",
        ),
        Key::new(
            "data_dir",
            &[],
            Kind::Path,
            Some("propeller-data/manager"),
            "Where the manager keeps its database and blobs.",
        ),
        Key::new(
            "lease",
            &[],
            Kind::Duration,
            Some("30s"),
            "How long an attempt lives without a sign of life: three heartbeats.",
        ),
        Key::new(
            "attempts_max",
            &[],
            Kind::Number,
            Some("3"),
            "How often a task is tried before it fails.",
        ),
        Key::new(
            "retry_backoff",
            &[],
            Kind::Duration,
            Some("500ms"),
            "Pause before the second attempt; it doubles with every further one, up to a minute.",
        ),
        Key::new(
            "retention",
            &[],
            Kind::Duration,
            Some("7d"),
            "How long finished tasks and unused modules are kept.",
        ),
        Key::new(
            "attestation_policy",
            &[],
            Kind::Path,
            None,
            "A TOML file with the evidence that proplets in TEEs have to show: kinds, measurements, TCB. Without it, evidence of hardware is passed on and shown as not checked.",
        ),
        Key::new(
            "allow_plaintext_proplets",
            &[],
            Kind::Flag,
            Some("false"),
            "Also serve upstream's proplets, without any encryption.",
        ),
    ],
};

/// How a manager runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Log filter.
    pub log_level: String,
    /// The REST API.
    pub http: Http,
    /// The broker.
    pub mqtt: Options,
    /// Workload keys.
    pub keys: Keyring,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// What the dispatcher goes by.
    pub rules: Rules,
    /// How images are looked up.
    pub images: propeller_settings::Images,
    /// Where large inputs and outputs lie.
    pub objects: Objects,
}

/// Where large inputs and outputs lie, and what counts as large.
#[derive(Debug, Clone)]
pub struct Objects {
    /// The object store, if there is one.
    pub store: Option<Location>,
    /// What its vendor's variables say.
    pub variables: Variables,
    /// Longest standard input in a request, in bytes.
    pub inline_max: u64,
    /// Largest object, in bytes.
    pub object_max: u64,
}

/// The variables of stores: addresses, and credentials, which are never shown.
#[derive(Clone, Default)]
pub struct Variables(pub Vec<(String, String)>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Variables")
    }
}

/// How the REST API is served.
#[derive(Debug, Clone)]
pub struct Http {
    /// Address; loopback unless the operator says otherwise.
    pub host: IpAddr,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Certificate chain and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Bearer token.
    pub token: Option<Token>,
    /// Largest module, in bytes.
    pub upload_max: u64,
}

/// A bearer token, which is never shown.
#[derive(Clone)]
pub struct Token(pub(crate) Zeroizing<String>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Shortest token that is accepted.
    const LEN_MIN: usize = 16;
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn from_settings(mut settings: Settings) -> Result<Self, SettingsError> {
        let images = images(&mut settings);
        let signers = images.trusted.iter().map(VerifyingKey::fingerprint);
        let config = Self {
            log_level: settings.text("log_level").unwrap_or("info").to_owned(),
            http: http(&mut settings),
            mqtt: shared::mqtt(&mut settings, "manager"),
            keys: shared::keys(&mut settings),
            data_dir: settings.path("data_dir").unwrap_or_default(),
            rules: rules(&mut settings, signers.collect()),
            images,
            objects: objects(&mut settings),
        };
        if settings.text("storage_type") != Some("sqlite") {
            let why = "not supported by this version: only `sqlite` is";
            settings.invalid("storage_type", why.to_owned());
        }
        settings.finish(config)
    }
}

fn objects(settings: &mut Settings) -> Objects {
    /// All that a guest is given by a request travels in one message.
    const INLINE_MAX: u64 = 3 * 1024 * 1024;
    let objects = Objects {
        store: settings.parse("object_store", str::parse),
        variables: Variables(propeller_settings::store_variables()),
        inline_max: settings.bytes("inline_max"),
        object_max: settings.bytes("object_max"),
    };
    if objects.inline_max > INLINE_MAX {
        settings.invalid("inline_max", "0 to 3MiB".to_owned());
    }
    if objects.object_max == 0 {
        settings.invalid("object_max", "at least 1".to_owned());
    }
    objects
}

/// Whoever names an image waits for it.
fn images(settings: &mut Settings) -> propeller_settings::Images {
    let mut images = propeller_settings::images(settings);
    images.registry.patience = PATIENCE;
    images.registry.pause_max = Duration::ZERO;
    images
}

fn http(settings: &mut Settings) -> Http {
    let host = settings
        .parse("http_host", |text| match text {
            "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
            text => text.parse::<IpAddr>().map_err(|_| "write an IP address"),
        })
        .unwrap_or_else(|| IpAddr::from([127, 0, 0, 1]));
    let port = settings.number("http_port", 0, u64::from(u16::MAX));
    let tls = match (
        settings.path("http_server_cert"),
        settings.path("http_server_key"),
    ) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => {
            let why = "a certificate and its key must be given together";
            settings.invalid("http_server_cert", why.to_owned());
            None
        }
    };
    let token = settings
        .text("http_token")
        .map(|text| Token(Zeroizing::new(text.to_owned())));
    if token.as_ref().is_some_and(|t| t.0.len() < Token::LEN_MIN) {
        let why = "at least 16 characters; make one with `openssl rand -hex 32`";
        settings.invalid("http_token", why.to_owned());
    }
    let behind_proxy = settings.flag("http_behind_tls_proxy");
    if behind_proxy && token.is_none() {
        let why = "what a proxy publishes is open to everybody: set MANAGER_HTTP_TOKEN";
        settings.invalid("http_behind_tls_proxy", why.to_owned());
    }
    let protected = tls.is_some() || behind_proxy;
    if !host.is_loopback() && (token.is_none() || !protected) {
        let why = "beyond loopback the API needs MANAGER_HTTP_TOKEN, and TLS \
                   (MANAGER_HTTP_SERVER_CERT and _KEY) or MANAGER_HTTP_BEHIND_TLS_PROXY=true";
        settings.invalid("http_host", why.to_owned());
    }
    Http {
        host,
        port: u16::try_from(port).unwrap_or(0),
        tls,
        token,
        upload_max: upload_max(settings),
    }
}

fn upload_max(settings: &mut Settings) -> u64 {
    /// What a proplet takes as a whole, with what sealing adds.
    const MAX: u64 = 120 * 1024 * 1024;
    let max = settings.bytes("upload_max");
    if max == 0 || max > MAX {
        settings.invalid("upload_max", "1 to 120MiB".to_owned());
    }
    max
}

fn rules(settings: &mut Settings, signers: Vec<Digest>) -> Rules {
    /// Below it heartbeats would be most of what happens.
    const LEASE_MIN: Duration = Duration::from_millis(500);
    /// A task on a lost proplet waits this long.
    const LEASE_MAX: Duration = Duration::from_secs(86_400);
    let lease = settings.duration("lease");
    if !(LEASE_MIN..=LEASE_MAX).contains(&lease) {
        settings.invalid("lease", "500ms to 1d".to_owned());
    }
    let attempts_max = settings.number("attempts_max", 1, 100);
    Rules {
        tenant: "default".to_owned(),
        lease,
        retry: Policy {
            attempts_max: u32::try_from(attempts_max).unwrap_or(1),
            backoff: settings.duration("retry_backoff"),
            backoff_max: Duration::from_secs(60),
        },
        retention: settings.duration("retention"),
        allow_plaintext: settings.flag("allow_plaintext_proplets"),
        judge: judge(settings),
        signers,
    }
}

fn judge(settings: &mut Settings) -> Arc<Judge> {
    let Some(path) = settings.path("attestation_policy") else {
        return Arc::default();
    };
    Arc::new(attestation::read(&path).unwrap_or_else(|why| {
        settings.invalid("attestation_policy", why);
        Judge::default()
    }))
}

/// A name for this instance: new at every start, so that every start has its own sessions.
#[must_use]
pub fn instance() -> PropletId {
    let name = format!("manager-{}", uuid::Uuid::now_v7().simple());
    name.parse().expect("letters, digits and a dash")
}
