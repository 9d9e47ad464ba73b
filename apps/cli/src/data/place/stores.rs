//! Places as they are typed, and how to reach the stores among them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use object_store::aws::AmazonS3Builder;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{ObjectStore, RetryConfig};
use propeller_depot::{Address, variables};
use tokio::runtime::Handle;

use super::{Bucket, Destination, Place, StoreKind};
use crate::data::failure::Failure;

/// How often a request that a store did not answer is made again.
const RETRIES_MAX: usize = 5;
/// How long that goes on.
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);
/// What `object_store` takes for a no.
const NO: [&str; 5] = ["0", "false", "off", "no", "n"];

/// How to reach object stores.
#[derive(Debug, Args)]
#[command(next_help_heading = "Object stores")]
pub struct StoreArgs {
    /// Address of a server that speaks the protocol of S3, Azure or Google, in place of theirs
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Allow http://: anybody on the way sees the requests, and can change what is not signed
    #[arg(long)]
    allow_http: bool,
}

impl StoreArgs {
    /// The places that were typed, each once, whatever it is called.
    pub(crate) fn places(
        &self,
        destinations: &[Destination],
        runtime: &Handle,
    ) -> Result<Vec<Place>, Failure> {
        self.judge_endpoint(destinations)?;
        let mut places = Vec::new();
        let mut identities = Vec::new();
        for destination in destinations {
            let place = self.place(destination, runtime)?;
            let identity = Identity::of(&place);
            if identities.contains(&identity) {
                return Err(Failure::PlaceTwice(place.to_string()));
            }
            identities.push(identity);
            places.push(place);
        }
        Ok(places)
    }

    /// Refuses an address without TLS, and one for the stores of several vendors: it speaks the
    /// protocol of one, and gets the credentials of one.
    pub(crate) fn judge_endpoint<'d>(
        &self,
        destinations: impl IntoIterator<Item = &'d Destination>,
    ) -> Result<(), Failure> {
        let Some(url) = &self.endpoint else {
            return Ok(());
        };
        let address: Address = url.parse().map_err(Failure::Endpoint)?;
        if address.is_plain() && !self.allow_http {
            return Err(Failure::PlainHttp(url.clone()));
        }
        let kind = |destination: &Destination| match destination {
            Destination::Folder(_) => None,
            Destination::Bucket { kind, .. } => Some(*kind),
        };
        let mut kinds = destinations.into_iter().filter_map(kind);
        let first = kinds.next();
        match kinds.any(|kind| Some(kind) != first) {
            true => Err(Failure::OneEndpoint),
            false => Ok(()),
        }
    }

    fn place(&self, destination: &Destination, runtime: &Handle) -> Result<Place, Failure> {
        Ok(match destination {
            Destination::Folder(path) => Place::Folder(path.clone()),
            Destination::Bucket { text, kind, prefix } => {
                Place::Bucket(self.bucket(text, *kind, prefix, runtime)?)
            }
        })
    }

    fn bucket(
        &self,
        text: &str,
        kind: StoreKind,
        prefix: &Path,
        runtime: &Handle,
    ) -> Result<Bucket, Failure> {
        let failed = |source| Failure::Store {
            text: text.to_owned(),
            source,
        };
        let (store, list): (Arc<dyn ObjectStore>, Arc<dyn PaginatedListStore>) = match kind {
            StoreKind::S3 => both(self.s3(text)?.build().map_err(failed)?),
            StoreKind::Google => both(self.google(text)?.build().map_err(failed)?),
            StoreKind::Azure => both(self.azure(text)?.build().map_err(failed)?),
        };
        Ok(Bucket {
            text: text.to_owned(),
            prefix: prefix.clone(),
            store,
            list,
            runtime: runtime.clone(),
        })
    }

    fn s3(&self, text: &str) -> Result<AmazonS3Builder, Failure> {
        let builder = variables::s3(AmazonS3Builder::new(), &environment())?;
        let mut builder = builder.with_url(text).with_retry(retry());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        // The variables may allow it as well.
        if self.allow_http {
            builder = builder.with_allow_http(true);
        }
        Ok(builder)
    }

    fn google(&self, text: &str) -> Result<GoogleCloudStorageBuilder, Failure> {
        let builder = variables::google(GoogleCloudStorageBuilder::new(), &environment())?;
        let mut builder = builder.with_url(text).with_retry(retry());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
        }
        // This builder alone allows it by itself, so that only the flag counts.
        let key = GoogleConfigKey::Client(object_store::ClientConfigKey::AllowHttp);
        builder = builder.with_config(key, self.allow_http.to_string());
        Ok(builder)
    }

    fn azure(&self, text: &str) -> Result<MicrosoftAzureBuilder, Failure> {
        let builder = variables::azure(MicrosoftAzureBuilder::new(), &environment())?;
        // It would go before --endpoint, to an address of its own, and without TLS wherever that is.
        let emulator = builder.get_config_value(&AzureConfigKey::UseEmulator);
        if emulator.is_some_and(|value| !NO.contains(&value.to_ascii_lowercase().as_str())) {
            return Err(Failure::Emulator);
        }
        let mut builder = builder.with_url(text).with_retry(retry());
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        if self.allow_http {
            builder = builder.with_allow_http(true);
        }
        Ok(builder)
    }
}

/// The variables of this process that are text.
fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

fn both<S: ObjectStore + PaginatedListStore>(
    store: S,
) -> (Arc<dyn ObjectStore>, Arc<dyn PaginatedListStore>) {
    let store = Arc::new(store);
    (Arc::clone(&store) as Arc<dyn ObjectStore>, store)
}

fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
        ..RetryConfig::default()
    }
}

/// What is the same for one place that is typed in two ways.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    /// The device and the number of a folder that is there.
    Folder(u64, u64),
    /// The path of one that is not.
    Path(PathBuf),
    Bucket(String),
}

impl Identity {
    fn of(place: &Place) -> Self {
        match place {
            Place::Bucket(bucket) => Self::Bucket(bucket.text.clone()),
            Place::Folder(folder) => match fs::metadata(folder) {
                Ok(meta) => Self::Folder(meta.dev(), meta.ino()),
                Err(_) => Self::Path(absolute(folder)),
            },
        }
    }
}

fn absolute(folder: &FilePath) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}
