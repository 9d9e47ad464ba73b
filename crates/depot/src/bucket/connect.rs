//! How a store is reached: what its vendor's own tools read from the environment.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};

use super::Bucket;
use crate::address::Address;
use crate::bounds::{CONNECT_TIMEOUT, REQUEST_TIMEOUT, RETRIES_MAX, RETRY_TIME_MAX};
use crate::error::OpenError;
use crate::location::Vendor;
use crate::variables;

/// How long requests take at most, unless variables say otherwise.
const TIMEOUTS: [(ClientConfigKey, &str); 2] = [
    (ClientConfigKey::Timeout, REQUEST_TIMEOUT),
    (ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT),
];
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
    let builder = variables::s3(builder, variables)?;
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
    let builder = variables::google(builder, variables)?;
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
    let builder = variables::azure(builder, variables)?;
    // `object_store` takes the emulator's address from the process's environment, and allows http://
    // wherever that leads.
    let emulator = builder.get_config_value(&AzureConfigKey::UseEmulator);
    if emulator.is_some_and(|value| !NO.contains(&value.to_ascii_lowercase().as_str())) {
        return Err(OpenError::Emulator);
    }
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let allowed = AzureConfigKey::Client(ClientConfigKey::AllowHttp);
    let allowed = builder.get_config_value(&allowed);
    let is_allowed = judge(endpoint, allowed, "AZURE_ALLOW_HTTP")?;
    let builder = builder.with_allow_http(is_allowed).with_retry(retry());
    Ok(builder.with_container_name(container))
}

/// Whether requests may go without TLS: to this machine, or where a variable allows it.
fn judge(
    endpoint: Option<String>,
    allowed: Option<String>,
    variable: &'static str,
) -> Result<bool, OpenError> {
    let is_allowed = allowed.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    // The variables were read: what is no address is not among them.
    let endpoint: Option<Address> = endpoint.and_then(|endpoint| endpoint.parse().ok());
    let Some(endpoint) = endpoint.filter(Address::is_plain) else {
        return Ok(is_allowed);
    };
    match is_allowed || endpoint.is_loopback() {
        true => Ok(true),
        false => Err(OpenError::PlainHttp {
            host: endpoint.host().to_owned(),
            variable,
        }),
    }
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
            "http://store.example:9000",
            "http://127.0.0.1.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://[::2]",
        ] {
            let refused = judged(endpoint, None).unwrap_err().to_string();
            assert!(refused.contains("AWS_ALLOW_HTTP=true"), "{refused}");
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
