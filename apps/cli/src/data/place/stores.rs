//! Places as they are typed, and how to reach the stores among them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
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

/// How to reach the places of a command: its options fit all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach<'a>(&'a StoreArgs);

impl StoreArgs {
    /// Judges the options for all places of a command: an address has to be one, speaks the protocol
    /// of one vendor and gets the credentials of one; and what says how stores are reached is not
    /// for folders.
    pub(crate) fn reach<'d>(
        &self,
        destinations: impl IntoIterator<Item = &'d Destination>,
    ) -> Result<Reach<'_>, Failure> {
        if let Some(url) = &self.endpoint {
            let address: Address = url.parse().map_err(Failure::Endpoint)?;
            if address.is_plain() && !self.allow_http {
                return Err(Failure::PlainHttp(url.clone()));
            }
        }
        let kind = |destination: &Destination| match destination {
            Destination::Folder(_) => None,
            Destination::Bucket { kind, .. } => Some(*kind),
        };
        let mut kinds = destinations.into_iter().filter_map(kind);
        let first = kinds.next();
        match (&self.endpoint, self.allow_http) {
            (Some(_), _) if first.is_none() => Err(Failure::NoStore("--endpoint")),
            (None, true) if first.is_none() => Err(Failure::NoStore("--allow-http")),
            (Some(_), _) if kinds.any(|kind| Some(kind) != first) => Err(Failure::OneEndpoint),
            _ => Ok(Reach(self)),
        }
    }
}

impl Reach<'_> {
    /// The places that were typed, each once, whatever it is called.
    pub(crate) fn places(
        self,
        destinations: &[Destination],
        runtime: &Handle,
    ) -> Result<Vec<Place>, Failure> {
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

    fn place(self, destination: &Destination, runtime: &Handle) -> Result<Place, Failure> {
        Ok(match destination {
            Destination::Folder(path) => Place::Folder(path.clone()),
            Destination::Bucket {
                text,
                kind,
                bucket,
                prefix,
            } => {
                let (store, list) = self.store(text, *kind, bucket)?;
                Place::Bucket(Bucket {
                    text: text.clone(),
                    kind: *kind,
                    name: bucket.clone(),
                    prefix: prefix.clone(),
                    store,
                    list,
                    runtime: runtime.clone(),
                })
            }
        })
    }

    fn store(self, text: &str, kind: StoreKind, bucket: &str) -> Result<Both, Failure> {
        let failed = |source| Failure::Store {
            text: text.to_owned(),
            source,
        };
        Ok(match kind {
            StoreKind::S3 => both(self.s3(bucket)?.build().map_err(failed)?),
            StoreKind::Google => both(self.google(bucket)?.build().map_err(failed)?),
            StoreKind::Azure => both(self.azure(bucket)?.build().map_err(failed)?),
        })
    }

    fn s3(self, bucket: &str) -> Result<AmazonS3Builder, Failure> {
        let builder = variables::s3(AmazonS3Builder::new(), &environment())?;
        let mut builder = builder.with_bucket_name(bucket).with_retry(retry());
        if let Some(endpoint) = &self.0.endpoint {
            // The one that goes before others, which a variable may have set.
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        // The variables may allow it as well.
        if self.0.allow_http {
            builder = builder.with_allow_http(true);
        }
        Ok(builder)
    }

    fn google(self, bucket: &str) -> Result<GoogleCloudStorageBuilder, Failure> {
        let builder = variables::google(GoogleCloudStorageBuilder::new(), &environment())?;
        let mut builder = builder.with_bucket_name(bucket).with_retry(retry());
        if let Some(endpoint) = &self.0.endpoint {
            builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
        }
        // This builder alone allows it by itself, so that only the flag counts.
        let key = GoogleConfigKey::Client(object_store::ClientConfigKey::AllowHttp);
        builder = builder.with_config(key, self.0.allow_http.to_string());
        Ok(builder)
    }

    fn azure(self, container: &str) -> Result<MicrosoftAzureBuilder, Failure> {
        let builder = variables::azure(MicrosoftAzureBuilder::new(), &environment())?;
        // It would go before --endpoint, to an address of its own, and without TLS wherever that is.
        let emulator = builder.get_config_value(&AzureConfigKey::UseEmulator);
        if emulator.is_some_and(|value| !NO.contains(&value.to_ascii_lowercase().as_str())) {
            return Err(Failure::Emulator);
        }
        let mut builder = builder.with_container_name(container).with_retry(retry());
        if let Some(endpoint) = &self.0.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        if self.0.allow_http {
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

/// One client, as it reads and writes and as it lists.
type Both = (Arc<dyn ObjectStore>, Arc<dyn PaginatedListStore>);

fn both<S: ObjectStore + PaginatedListStore>(store: S) -> Both {
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
    /// The rest of it, which server that is and who asks it, is the same for a whole command.
    Bucket(StoreKind, String, Path),
}

impl Identity {
    fn of(place: &Place) -> Self {
        match place {
            Place::Bucket(Bucket {
                kind, name, prefix, ..
            }) => Self::Bucket(*kind, name.clone(), prefix.clone()),
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
