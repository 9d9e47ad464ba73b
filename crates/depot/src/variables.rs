//! The variables of stores' vendors, judged before a client gets them.
//!
//! The client of stores writes their values into addresses and headers, and panics where one does
//! not fit. These three functions are the only way from variables to a client, for depots and for
//! the places of `propeller data`.

use http::HeaderValue;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as S3};
use object_store::azure::{AzureConfigKey as Azure, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey as Google};

use crate::address::{Address, AddressError, read};

/// The variables that are not called like the vendor: where its machines find their credentials.
const GOOGLE_ACCOUNT: &str = "SERVICE_ACCOUNT";
const AZURE_IDENTITY: &str = "IDENTITY_ENDPOINT";
/// Where a machine's agent is asked whose path a variable gives.
const AWS_AGENT: &str = "http://169.254.170.2";

/// Why a variable cannot go into requests to a store. Its value is not repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VariableError {
    /// What should be an address.
    #[error("{name} is no address")]
    Address {
        /// The variable.
        name: String,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
    /// What is sent in a header.
    #[error(
        "{name} cannot be sent to a store: it begins or ends with a blank, or has a line break or \
         another character in it that is not in credentials"
    )]
    Header {
        /// The variable.
        name: String,
    },
    /// What is part of a host's name.
    #[error("{name} has to be of letters, digits, `.`, `-` and `_`")]
    Word {
        /// The variable.
        name: String,
    },
}

/// What a value becomes a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The address of the store, behind which buckets are written.
    Store,
    /// Any other address.
    Address,
    /// The path of an address of AWS's agents.
    AgentPath,
    /// A header, or what signs it.
    Header,
    /// The name of a host.
    Word,
    /// What the client judges by itself.
    Other,
}

/// A client of S3's protocol, with all `AWS_…` that it knows.
///
/// # Errors
/// For a variable that would make it panic.
pub fn s3(
    mut builder: AmazonS3Builder,
    variables: &[(String, String)],
) -> Result<AmazonS3Builder, VariableError> {
    for (name, value) in variables_of("AWS_", variables) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            judge(s3_use(key), name, value)?;
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder)
}

/// A client of Google's protocol, with all `GOOGLE_…` that it knows, and `SERVICE_ACCOUNT`.
///
/// # Errors
/// For a variable that would make it panic.
pub fn google(
    mut builder: GoogleCloudStorageBuilder,
    variables: &[(String, String)],
) -> Result<GoogleCloudStorageBuilder, VariableError> {
    if let Some(path) = exactly(GOOGLE_ACCOUNT, variables) {
        builder = builder.with_service_account_path(path);
    }
    for (name, value) in variables_of("GOOGLE_", variables) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            judge(google_use(key), name, value)?;
            builder = builder.with_config(key, value);
        }
    }
    Ok(builder)
}

/// A client of Azure's protocol, with all `AZURE_…` that it knows, and `IDENTITY_ENDPOINT`.
///
/// # Errors
/// For a variable that would make it panic.
pub fn azure(
    mut builder: MicrosoftAzureBuilder,
    variables: &[(String, String)],
) -> Result<MicrosoftAzureBuilder, VariableError> {
    for (name, value) in variables_of("AZURE_", variables) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            judge(azure_use(key), name, value)?;
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = exactly(AZURE_IDENTITY, variables) {
        judge(Use::Address, AZURE_IDENTITY, endpoint)?;
        builder = builder.with_msi_endpoint(endpoint.to_owned());
    }
    Ok(builder)
}

fn s3_use(key: S3) -> Use {
    match key {
        S3::Endpoint | S3::S3Endpoint => Use::Store,
        S3::StsEndpoint | S3::MetadataEndpoint | S3::ContainerCredentialsFullUri => Use::Address,
        S3::ContainerCredentialsRelativeUri => Use::AgentPath,
        S3::AccessKeyId | S3::SecretAccessKey | S3::Token => Use::Header,
        S3::Region | S3::DefaultRegion => Use::Word,
        _ => Use::Other,
    }
}

fn google_use(key: Google) -> Use {
    match key {
        Google::BaseUrl => Use::Store,
        Google::BearerToken => Use::Header,
        _ => Use::Other,
    }
}

fn azure_use(key: Azure) -> Use {
    match key {
        Azure::Endpoint => Use::Store,
        Azure::AuthorityHost | Azure::MsiEndpoint | Azure::FabricTokenServiceUrl => Use::Address,
        Azure::AccessKey | Azure::Token | Azure::SasKey | Azure::FabricSessionToken => Use::Header,
        Azure::AccountName | Azure::AuthorityId | Azure::FabricWorkloadHost => Use::Word,
        _ => Use::Other,
    }
}

fn judge(r#use: Use, name: &str, value: &str) -> Result<(), VariableError> {
    let named = || name.to_owned();
    let address = |source| VariableError::Address {
        name: named(),
        source,
    };
    match r#use {
        Use::Store => value.parse::<Address>().map(|_| ()).map_err(address),
        Use::Address => read(value).map(|_| ()).map_err(address),
        Use::AgentPath => {
            let asked = read(&format!("{AWS_AGENT}{value}"));
            asked.map(|_| ()).map_err(address)
        }
        Use::Header if is_header(value) => Ok(()),
        Use::Header => Err(VariableError::Header { name: named() }),
        Use::Word if is_word(value) => Ok(()),
        Use::Word => Err(VariableError::Word { name: named() }),
        Use::Other => Ok(()),
    }
}

/// Whether it can stand in a header as it is: blanks at its ends would be lost on the way.
fn is_header(value: &str) -> bool {
    value.trim() == value && HeaderValue::from_str(value).is_ok()
}

fn is_word(value: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !value.is_empty() && value.bytes().all(is_plain)
}

/// The variables of a vendor. Its other tools have more than the client of stores knows.
fn variables_of<'v>(
    prefix: &'static str,
    variables: &'v [(String, String)],
) -> impl Iterator<Item = (&'v str, &'v str)> {
    let ours = variables
        .iter()
        .filter(move |(name, _)| name.starts_with(prefix));
    ours.map(|(name, value)| (name.as_str(), value.as_str()))
}

fn exactly<'v>(name: &str, variables: &'v [(String, String)]) -> Option<&'v str> {
    let named = variables.iter().find(|(variable, _)| variable == name);
    named.map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(vendor: &str, name: &str, value: &str) -> Result<(), VariableError> {
        let variables = [(name.to_owned(), value.to_owned())];
        match vendor {
            "s3" => s3(AmazonS3Builder::new(), &variables).map(|_| ()),
            "gs" => google(GoogleCloudStorageBuilder::new(), &variables).map(|_| ()),
            _ => azure(MicrosoftAzureBuilder::new(), &variables).map(|_| ()),
        }
    }

    #[test]
    fn what_would_make_the_client_panic_is_refused_by_name_and_without_its_value() {
        for (vendor, name, value) in [
            ("s3", "AWS_ENDPOINT", "localhost:9000"),
            ("s3", "AWS_ENDPOINT_URL", ""),
            ("s3", "AWS_ENDPOINT_URL_S3", "https://localhost:99999"),
            ("s3", "AWS_ENDPOINT_URL_STS", "nonsense"),
            ("s3", "AWS_METADATA_ENDPOINT", "nonsense"),
            ("s3", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "nonsense"),
            ("s3", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/a secret"),
            ("s3", "AWS_ACCESS_KEY_ID", "secret\n"),
            ("s3", "AWS_SECRET_ACCESS_KEY", "secret "),
            ("s3", "AWS_SESSION_TOKEN", "se\ncret"),
            ("s3", "AWS_REGION", "us east"),
            ("s3", "AWS_DEFAULT_REGION", ""),
            ("gs", "GOOGLE_BASE_URL", "nonsense"),
            ("gs", "GOOGLE_BEARER_TOKEN", "secret\n"),
            ("az", "AZURE_STORAGE_ENDPOINT", "localhost:9000"),
            ("az", "AZURE_AUTHORITY_HOST", "nonsense"),
            ("az", "AZURE_STORAGE_ACCOUNT_NAME", "an account"),
            ("az", "AZURE_STORAGE_ACCOUNT_KEY", "secret\n"),
            ("az", "IDENTITY_ENDPOINT", "nonsense"),
        ] {
            let refused = check(vendor, name, value).expect_err(name).to_string();
            assert!(refused.contains(name), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn what_a_client_takes_is_left_to_it() {
        for (vendor, name, value) in [
            ("s3", "AWS_ENDPOINT_URL", "http://localhost:9000"),
            ("s3", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x?y=z"),
            ("s3", "AWS_SESSION_TOKEN", ""),
            ("s3", "AWS_REGION", "eu-central-1"),
            ("s3", "AWS_PAGER", "\n"),
            ("gs", "GOOGLE_SERVICE_ACCOUNT_KEY", "{\n}"),
            ("az", "AZURE_STORAGE_SAS_TOKEN", "?sv=2020&sig=a%2Bb"),
            ("az", "PATH", "\n"),
        ] {
            assert_eq!(check(vendor, name, value), Ok(()), "{name}");
        }
    }
}
