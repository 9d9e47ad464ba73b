//! The settings that every service has: the broker, the workload keys, registries.

use propeller_envelope::{Keyring, WorkloadKey};
use propeller_wire::Base;
use propeller_wire::frame::FRAME_LEN_MAX;
use propeller_wire::mqtt::{Address, Options, Queues, Scheme, TlsFiles, Versions};
use zeroize::Zeroizing;

use crate::schema::{Key, Kind};
use crate::value::Settings;

/// The keys of these settings. A schema names them in [`crate::Schema::shared`].
pub const KEYS: &[Key] = &[
    Key::new(
        "mqtt_address",
        &[],
        Kind::Text,
        Some("tcp://127.0.0.1:1883"),
        "The broker: `tcp://HOST[:PORT]`, or `mqtts://HOST[:PORT]` with TLS.",
    ),
    Key::new(
        "mqtt_version",
        &[],
        Kind::Text,
        Some("auto"),
        "Version of MQTT: `auto`, `5` or `3.1.1`; `auto` tries 5 first, and the other one when there is a connection but no understanding.",
    ),
    Key::new(
        "mqtt_qos",
        &[],
        Kind::Number,
        Some("1"),
        "MQTT quality of service, 0 to 2. Nothing relies on it; 2 costs two more round trips.",
    ),
    Key::new(
        "mqtt_keep_alive",
        &[],
        Kind::Duration,
        Some("30s"),
        "Interval of MQTT's own pings.",
    ),
    Key::new(
        "mqtt_max_packet_size",
        &[],
        Kind::Bytes,
        Some("10MiB"),
        "Largest packet to accept, as upstream's proplet.",
    ),
    Key::new(
        "mqtt_tls_ca_cert",
        &[],
        Kind::Path,
        None,
        "Roots to trust for the broker instead of the system's, PEM.",
    ),
    Key::new(
        "mqtt_tls_client_cert",
        &[],
        Kind::Path,
        None,
        "Certificate to show to the broker, PEM.",
    ),
    Key::new(
        "mqtt_tls_client_key",
        &[],
        Kind::Path,
        None,
        "Key of that certificate, PEM.",
    ),
    Key::new(
        "mqtt_tls_insecure_skip_verify",
        &[],
        Kind::Flag,
        Some("false"),
        "Accept any certificate from the broker.",
    ),
    Key::new(
        "domain_id",
        &["tenant_id"],
        Kind::Text,
        Some("default"),
        "Domain: the first name in every topic.",
    ),
    Key::new(
        "channel_id",
        &[],
        Kind::Text,
        Some("default"),
        "Channel: the second name in every topic.",
    ),
    Key::new(
        "client_id",
        &["entity_id"],
        Kind::Text,
        None,
        "MQTT client id and user name; without one the manager takes a new id at every start and no user name.",
    ),
    Key::new(
        "client_key",
        &["api_key"],
        Kind::Secret,
        None,
        "MQTT password.",
    ),
    Key::new(
        "workload_key",
        &[],
        Kind::Secret,
        None,
        "The shared workload key, 64 hexadecimal digits: `openssl rand -hex 32`.",
    ),
    Key::new(
        "workload_key_file",
        &[],
        Kind::Path,
        None,
        "A file that holds the workload key, instead of `workload_key`.",
    ),
    Key::new(
        "workload_keys_open",
        &[],
        Kind::Secret,
        None,
        "Further keys that still open what was sealed with them, separated by commas.",
    ),
    Key::new(
        "registry_config",
        &[],
        Kind::Path,
        None,
        "Credentials for registries of images: a `config.json` as Docker, podman and skopeo write it.",
    ),
    Key::new(
        "registry_ca",
        &[],
        Kind::Path,
        None,
        "Certificate authorities to trust for registries besides the system's, PEM.",
    ),
];

/// Whose images are run: for those services that decide that.
pub const REQUIRE_SIGNATURE: Key = Key::new(
    "require_signature",
    &[],
    Kind::Text,
    None,
    "Files with public keys, separated by commas: an image has to be signed by one of them, as cosign does it. A module that is in no image is refused, since nobody can have signed it.",
);

/// The broker settings, which all services share.
pub fn mqtt(settings: &mut Settings, role: &str) -> Options {
    let address = settings
        .parse("mqtt_address", str::parse::<Address>)
        .unwrap_or_else(|| Address {
            scheme: Scheme::Plain,
            host: String::new(),
            port: 0,
        });
    let versions = settings.parse("mqtt_version", str::parse::<Versions>);
    let domain = settings.text("domain_id").unwrap_or_default().to_owned();
    let base = settings
        .parse("channel_id", |channel| Base::new(&domain, channel))
        .unwrap_or_else(|| Base::new("default", "default").expect("these names are clean"));
    let client_id = settings.text("client_id").map(ToOwned::to_owned);
    let password = settings.text("client_key").unwrap_or_default().to_owned();
    let packet_len_max = settings.bytes("mqtt_max_packet_size");
    let frame = FRAME_LEN_MAX as u64 + 1024;
    if !(frame..=u64::from(u32::MAX)).contains(&packet_len_max) {
        settings.invalid(
            "mqtt_max_packet_size",
            format!("{frame} bytes to 4GiB: a frame must fit"),
        );
    }
    Options {
        address,
        versions: versions.unwrap_or_default(),
        base,
        credentials: client_id.clone().map(|user| (user, password)),
        client_id: client_id.unwrap_or_else(|| format!("{role}-{}", uuid::Uuid::now_v7().simple())),
        tls: TlsFiles {
            ca_cert: settings.path("mqtt_tls_ca_cert"),
            client_cert: settings.path("mqtt_tls_client_cert"),
            client_key: settings.path("mqtt_tls_client_key"),
            insecure_skip_verify: settings.flag("mqtt_tls_insecure_skip_verify"),
        },
        qos: u8::try_from(settings.number("mqtt_qos", 0, 2)).unwrap_or(1),
        keep_alive: settings.duration("mqtt_keep_alive"),
        packet_len_max: u32::try_from(packet_len_max).unwrap_or(u32::MAX),
        queues: Queues::default(),
    }
}

/// The workload keys, which manager and proplet read in the same way.
pub fn keys(settings: &mut Settings) -> Keyring {
    let sealing = sealing_key(settings);
    let opening = settings
        .parse("workload_keys_open", |text| {
            text.split(',')
                .filter(|part| !part.trim().is_empty())
                .map(WorkloadKey::from_hex)
                .collect::<Result<Vec<_>, _>>()
        })
        .unwrap_or_default();
    let ring = Keyring::with_opening(sealing.clone(), opening);
    ring.unwrap_or_else(|error| {
        settings.invalid("workload_keys_open", error.to_string());
        Keyring::new(sealing)
    })
}

/// The key that seals. A placeholder stands in only after a mistake has been recorded.
fn sealing_key(settings: &mut Settings) -> WorkloadKey {
    let from_file = settings.parse("workload_key_file", read_key_file);
    if settings.path("workload_key_file").is_some() {
        if settings.text("workload_key").is_some() {
            let why = "set either the key or its file, not both";
            settings.invalid("workload_key_file", why.to_owned());
        }
        return from_file.unwrap_or_else(|| WorkloadKey::from_bytes([0; 32]));
    }
    settings.required("workload_key");
    settings
        .parse("workload_key", WorkloadKey::from_hex)
        .unwrap_or_else(|| WorkloadKey::from_bytes([0; 32]))
}

/// A key file that others can read is no secret any more.
fn read_key_file(path: &str) -> Result<WorkloadKey, String> {
    use std::os::unix::fs::PermissionsExt;
    let wrong = |error: std::io::Error| format!("cannot read {path}: {error}");
    let meta = std::fs::metadata(path).map_err(wrong)?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(format!("{path} is readable by others: chmod 600 {path}"));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(wrong)?);
    WorkloadKey::from_hex(&text).map_err(|error| format!("{path}: {error}"))
}
