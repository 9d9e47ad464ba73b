//! How a store is reached: what its vendor's own tools read from the environment.

use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};

use super::Bucket;
use crate::bounds::{CONNECT_TIMEOUT, REQUEST_TIMEOUT, RETRIES_MAX, RETRY_TIME_MAX};
use crate::error::OpenError;
use crate::location::Vendor;

/// How long requests take at most, unless variables say otherwise.
const TIMEOUTS: [(ClientConfigKey, &str); 2] = [
    (ClientConfigKey::Timeout, REQUEST_TIMEOUT),
    (ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT),
];
/// The variables that are not called like the vendor: where its machines find their credentials.
const GOOGLE_ACCOUNT: &str = "SERVICE_ACCOUNT";
const AZURE_IDENTITY: &str = "IDENTITY_ENDPOINT";
/// What `object_store` takes for a no.
const NO: [&str; 5] = ["0", "false", "off", "no", "n"];

/// A way to a bucket. Nothing is sent yet.
pub(crate) fn connect(
    vendor: Vendor,
    bucket: &str,
    prefix: &Path,
    variables: &[(String, String)],
) -> Result<Bucket, OpenError> {
    let built = match vendor {
        Vendor::S3 => s3(bucket, variables)?.build().map(shared),
        Vendor::Google => google(bucket, variables)?.build().map(shared),
        Vendor::Azure => azure(bucket, variables)?.build().map(shared),
    };
    let store = built.map_err(|source| OpenError::Variables {
        location: format!("{}://{bucket}", vendor.scheme()),
        source,
    })?;
    Ok(Bucket {
        store,
        prefix: prefix.clone(),
    })
}

fn shared<S: ObjectStore>(store: S) -> Arc<dyn ObjectStore> {
    Arc::new(store)
}

fn s3(bucket: &str, variables: &[(String, String)]) -> Result<AmazonS3Builder, OpenError> {
    let mut builder = AmazonS3Builder::new();
    for (key, value) in TIMEOUTS {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    for (name, value) in variables_of("AWS_", variables) {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
        .iter()
        .find_map(|key| builder.get_config_value(key));
    let allowed = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
    let allowed = builder.get_config_value(&allowed);
    let is_allowed = judge(endpoint, allowed, "AWS_ALLOW_HTTP")?;
    let builder = builder.with_allow_http(is_allowed).with_retry(retry());
    Ok(builder.with_bucket_name(bucket))
}

fn google(
    bucket: &str,
    variables: &[(String, String)],
) -> Result<GoogleCloudStorageBuilder, OpenError> {
    let mut builder = GoogleCloudStorageBuilder::new();
    // This builder alone allows it by itself.
    let allowed = GoogleConfigKey::Client(ClientConfigKey::AllowHttp);
    builder = builder.with_config(allowed, "false");
    for (key, value) in TIMEOUTS {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    if let Some(path) = exactly(GOOGLE_ACCOUNT, variables) {
        builder = builder.with_service_account_path(path);
    }
    for (name, value) in variables_of("GOOGLE_", variables) {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let said = builder.get_config_value(&allowed);
    let is_allowed = judge(endpoint, said, "GOOGLE_ALLOW_HTTP")?;
    let builder = builder.with_config(allowed, is_allowed.to_string());
    Ok(builder.with_retry(retry()).with_bucket_name(bucket))
}

fn azure(
    container: &str,
    variables: &[(String, String)],
) -> Result<MicrosoftAzureBuilder, OpenError> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in TIMEOUTS {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    for (name, value) in variables_of("AZURE_", variables) {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    // `object_store` takes the emulator's address from the process's environment, and allows http://
    // wherever that leads.
    let emulator = builder.get_config_value(&AzureConfigKey::UseEmulator);
    if emulator.is_some_and(|value| !NO.contains(&value.to_ascii_lowercase().as_str())) {
        return Err(OpenError::Emulator);
    }
    if let Some(endpoint) = exactly(AZURE_IDENTITY, variables) {
        builder = builder.with_msi_endpoint(endpoint.to_owned());
    }
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let allowed = AzureConfigKey::Client(ClientConfigKey::AllowHttp);
    let allowed = builder.get_config_value(&allowed);
    let is_allowed = judge(endpoint, allowed, "AZURE_ALLOW_HTTP")?;
    let builder = builder.with_allow_http(is_allowed).with_retry(retry());
    Ok(builder.with_container_name(container))
}

/// The variables of a vendor, in lower case. Its other tools have more than `object_store` knows.
fn variables_of<'v>(
    prefix: &'static str,
    variables: &'v [(String, String)],
) -> impl Iterator<Item = (String, &'v str)> {
    let ours = variables
        .iter()
        .filter(move |(name, _)| name.starts_with(prefix));
    ours.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
}

fn exactly<'v>(name: &str, variables: &'v [(String, String)]) -> Option<&'v str> {
    let named = variables.iter().find(|(variable, _)| variable == name);
    named.map(|(_, value)| value.as_str())
}

/// Whether requests may go without TLS: to this machine, or where a variable allows it.
fn judge(
    endpoint: Option<String>,
    allowed: Option<String>,
    variable: &'static str,
) -> Result<bool, OpenError> {
    let is_allowed = allowed.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let endpoint: Option<Uri> = endpoint.and_then(|endpoint| endpoint.parse().ok());
    // What is no address fails when the client is built.
    let Some(endpoint) = endpoint.filter(|uri| uri.scheme_str() == Some("http")) else {
        return Ok(is_allowed);
    };
    let host = endpoint.host().unwrap_or_default();
    match is_allowed || is_loopback(host) {
        true => Ok(true),
        false => Err(OpenError::PlainHttp {
            host: host.to_owned(),
            variable,
        }),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = bare.parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
        ..RetryConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(endpoint: &str, allowed: Option<&str>) -> Result<bool, OpenError> {
        let allowed = allowed.map(str::to_owned);
        judge(Some(endpoint.to_owned()), allowed, "AWS_ALLOW_HTTP")
    }

    #[test]
    fn requests_without_tls_go_to_this_machine_or_where_a_variable_allows_it() {
        for endpoint in [
            "http://127.0.0.1:9000",
            "HTTP://127.9.9.9/x",
            "http://localhost:9000",
            "http://[::1]:9000",
        ] {
            assert!(judged(endpoint, None).unwrap(), "{endpoint}");
        }
        for endpoint in [
            "http://k:secret@store.example:9000",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://[::2]",
        ] {
            let refused = judged(endpoint, None).unwrap_err().to_string();
            assert!(refused.contains("AWS_ALLOW_HTTP=true"), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
            assert!(judged(endpoint, Some("false")).is_err(), "{endpoint}");
            assert!(judged(endpoint, Some("true")).unwrap(), "{endpoint}");
        }
        assert!(!judged("https://store.example", None).unwrap());
        assert!(!judge(None, None, "AWS_ALLOW_HTTP").unwrap());
    }

    #[test]
    fn every_vendor_has_its_variables() {
        let variables = [
            ("AWS_ENDPOINT_URL_S3", "http://one.example"),
            ("GOOGLE_BASE_URL", "http://two.example"),
            ("AZURE_STORAGE_ENDPOINT", "http://three.example"),
            ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
            ("PATH", "/bin"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (vendor, expected) in [
            (Vendor::S3, "one.example"),
            (Vendor::Google, "two.example"),
            (Vendor::Azure, "three.example"),
        ] {
            let refused = match vendor {
                Vendor::S3 => s3("bucket", &variables).err(),
                Vendor::Google => google("bucket", &variables).err(),
                Vendor::Azure => azure("bucket", &variables).err(),
            };
            let refused = refused.unwrap();
            let OpenError::PlainHttp { host, .. } = refused else {
                panic!("{refused}");
            };
            assert_eq!(host, expected);
        }
    }
}
