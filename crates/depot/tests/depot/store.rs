//! A store to try depots in.

use propeller_depot::{Depot, OpenError};

use crate::server::{Server, Vendor};
use crate::support::skipped;

/// The bucket that is there.
const BUCKET: &str = "aaa";

/// A store with the bucket `aaa`.
pub(crate) struct Store {
    server: Server,
    vendor: Vendor,
}

impl Store {
    /// Nothing, with a reason where tests that were skipped are counted, if it cannot be had here.
    pub(crate) fn new(vendor: Vendor) -> Option<Self> {
        // There may be one already.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        match Server::start(vendor, &[BUCKET]) {
            Ok(server) => Some(Self { server, vendor }),
            Err(reason) => {
                skipped(reason);
                None
            }
        }
    }

    /// Opens a depot in it, as the variables of its vendor say.
    pub(crate) async fn open(&self, place: &str) -> Result<Depot, OpenError> {
        self.open_with(place, &[]).await
    }

    /// The same, with variables that come last.
    pub(crate) async fn open_with(
        &self,
        place: &str,
        more: &[(&str, &str)],
    ) -> Result<Depot, OpenError> {
        let location = format!("{}://{place}", self.vendor.scheme());
        let endpoint = match self.vendor {
            Vendor::S3 => "AWS_ENDPOINT_URL",
            Vendor::Azure => "AZURE_STORAGE_ENDPOINT",
        };
        let mut variables = vec![(endpoint, self.server.url.as_str())];
        variables.extend(self.vendor.variables());
        variables.extend(more);
        Depot::open(&location.parse().unwrap(), variables).await
    }

    /// Somebody else's object.
    pub(crate) fn put(&mut self, key: &str) {
        self.server.ask(&format!("put {BUCKET} {key}"));
    }

    /// How many uploads are unfinished.
    pub(crate) fn unfinished(&mut self) -> u64 {
        let uploads = self.server.ask(&format!("uploads {BUCKET}"));
        uploads.as_u64().unwrap()
    }

    pub(crate) fn objects(&mut self) -> Vec<String> {
        let keys = self.server.ask(&format!("list {BUCKET}"));
        let keys = keys.as_array().unwrap().iter();
        keys.map(|key| key.as_str().unwrap().to_owned()).collect()
    }
}
