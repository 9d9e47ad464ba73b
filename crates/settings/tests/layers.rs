//! Which value wins, and what is said about the others.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use propeller_settings::{Key, Kind, Schema, Settings, Sources};

const SCHEMA: Schema = Schema {
    section: "manager",
    prefix: "MANAGER",
    shared: &[],
    own: &[
        Key::new("http_port", &[], Kind::Number, Some("7070"), "Port."),
        Key::new("domain_id", &["tenant_id"], Kind::Text, None, "Domain."),
        Key::new("workload_key", &[], Kind::Secret, None, "Key."),
        Key::new("lease", &[], Kind::Duration, Some("30s"), "Lease."),
        Key::new("upload_max", &[], Kind::Bytes, Some("100MiB"), "Upload."),
    ],
};

fn pairs(text: &[(&str, &str)]) -> BTreeMap<String, String> {
    text.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn file(text: &str) -> Option<(PathBuf, toml::Table)> {
    Some((PathBuf::from("config.toml"), text.parse().unwrap()))
}

fn load(sources: &Sources) -> Settings {
    Settings::load(SCHEMA, "manager", sources)
}

#[test]
fn flags_go_before_environment_before_dotenv_before_file_before_default() {
    let mut sources = Sources::default();
    let check = |sources: &Sources, port: u64, from: &str| {
        let mut settings = load(sources);
        assert_eq!(settings.number("http_port", 0, 65535), port);
        assert!(settings.show().contains(from), "{}", settings.show());
    };
    check(&sources, 7070, "# default");
    sources.file = file("[manager]\nhttp_port = 1\n[proplet]\nanything = 1\n[proplet2]\nx = 1");
    check(&sources, 1, "# config.toml");
    sources.dotenv = pairs(&[("MANAGER_HTTP_PORT", "2")]);
    check(&sources, 2, "# .env");
    sources.environment = pairs(&[("MANAGER_HTTP_PORT", "3")]);
    check(&sources, 3, "# environment");
    sources.flags = pairs(&[("http_port", "4")]);
    check(&sources, 4, "# flag");
    sources.flags = pairs(&[("http_port", "")]);
    check(&sources, 3, "# environment");
}

#[test]
fn both_names_of_a_setting_work_and_must_not_differ() {
    let mut sources = Sources {
        environment: pairs(&[("MANAGER_TENANT_ID", "acme")]),
        ..Sources::default()
    };
    assert_eq!(load(&sources).text("domain_id"), Some("acme"));
    sources.environment = pairs(&[("MANAGER_TENANT_ID", "a"), ("MANAGER_DOMAIN_ID", "a")]);
    assert!(load(&sources).finish(()).is_ok());
    sources.environment = pairs(&[("MANAGER_TENANT_ID", "a"), ("MANAGER_DOMAIN_ID", "b")]);
    let error = load(&sources).finish(()).unwrap_err().to_string();
    assert!(
        error.contains("MANAGER_DOMAIN_ID and MANAGER_TENANT_ID"),
        "{error}"
    );
}

#[test]
fn unknown_keys_are_errors_in_files_and_warnings_in_the_environment() {
    let sources = Sources {
        environment: pairs(&[("MANAGER_COORDINATOR_URL", "x"), ("PATH", "y")]),
        file: file("[manager]\nhttpport = 1\n[typo]\n"),
        ..Sources::default()
    };
    let settings = load(&sources);
    assert_eq!(
        settings.warnings,
        ["MANAGER_COORDINATOR_URL (environment) is not used by this version"]
    );
    let error = settings.finish(()).unwrap_err().to_string();
    assert!(
        error.contains("`httpport` in [manager]; did you mean `http_port`?"),
        "{error}"
    );
    assert!(error.contains("`typo`"), "{error}");
}

#[test]
fn every_mistake_is_said_at_once_and_no_value_is_repeated() {
    let sources = Sources {
        environment: pairs(&[
            ("MANAGER_HTTP_PORT", "many"),
            ("MANAGER_LEASE", "soon"),
            ("MANAGER_UPLOAD_MAX", "100MB"),
        ]),
        ..Sources::default()
    };
    let mut settings = load(&sources);
    settings.number("http_port", 0, 65535);
    settings.duration("lease");
    settings.bytes("upload_max");
    settings.required("workload_key");
    let error = settings.finish(()).unwrap_err().to_string();
    for text in [
        "MANAGER_HTTP_PORT",
        "MANAGER_LEASE",
        "MANAGER_UPLOAD_MAX",
        "MANAGER_WORKLOAD_KEY is not set",
    ] {
        assert!(error.contains(text), "{error}");
    }
    for value in ["many", "soon", "100MB"] {
        assert!(!error.contains(value), "{error}");
    }
}

#[test]
fn durations_and_sizes_are_read_with_and_without_their_unit() {
    let check = |lease: &str, ms: u128, upload: &str, bytes: u64| {
        let sources = Sources {
            environment: pairs(&[("MANAGER_LEASE", lease), ("MANAGER_UPLOAD_MAX", upload)]),
            ..Sources::default()
        };
        let mut settings = load(&sources);
        assert_eq!(settings.duration("lease").as_millis(), ms, "{lease}");
        assert_eq!(settings.bytes("upload_max"), bytes, "{upload}");
        assert!(settings.finish(()).is_ok());
    };
    check("10", 10_000, "1024", 1024);
    check("10s", 10_000, "64KiB", 65_536);
    check("500ms", 500, "2MiB", 2 << 20);
    check("2m", 120_000, "1GiB", 1 << 30);
    check("1d", 86_400_000, "7B", 7);
}

#[test]
fn secrets_are_never_shown() {
    let secret = "5ec2e7".repeat(10);
    let sources = Sources {
        environment: pairs(&[("MANAGER_WORKLOAD_KEY", &secret)]),
        ..Sources::default()
    };
    let settings = load(&sources);
    assert_eq!(settings.text("workload_key"), Some(secret.as_str()));
    assert!(!settings.show().contains(&secret));
    assert!(!format!("{settings:?}").contains(&secret));
}
