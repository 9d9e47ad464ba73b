//! A client of registries, after the OCI distribution specification 1.1.
//!
//! A registry is a stranger: what it sends is bounded before it is read, checked before it is
//! believed, and told in few words. Credentials go to the registry that they are for, to the token
//! server that it names, and nowhere else.

mod auth;
mod authorities;
mod body;
mod challenge;
mod error;
mod exchange;
mod file;
mod keeper;
mod obstacle;
mod pace;
mod pull;
mod push;

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use reqwest::{Certificate, Url};
use rustls::crypto::CryptoProvider;
use tokio::sync::Semaphore;

use crate::{Credentials, Reference};

pub use authorities::{Authorities, AuthoritiesError};
pub use body::Progress;
pub use error::{Kind, RegistryError, Stage};
pub use obstacle::Obstacle;
pub use pace::Pace;
pub use pull::Fetched;
pub use push::{SILENTLY, Sent, silently};

/// How long nothing may arrive.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// What a client may do and take.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Who we are.
    pub credentials: Credentials,
    /// Certificate authorities to trust besides the system's.
    pub extra_roots: Vec<Authorities>,
    /// The largest blob that is fetched, in bytes.
    pub blob_bytes_max: u64,
    /// How long one blob or manifest may take, however steadily it drips.
    pub patience: Duration,
    /// How fast it must come, so that what drips keeps no place from others for that long.
    pub pace: Pace,
    /// How long a registry may ask us to wait before it is asked again.
    pub pause_max: Duration,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self {
            credentials: Credentials::default(),
            extra_roots: Vec::new(),
            blob_bytes_max: 512 << 20,
            patience: Duration::from_secs(600),
            pace: Pace::default(),
            pause_max: Duration::from_secs(10),
        }
    }
}

/// A client of any number of registries. It remembers the tokens that they give.
#[derive(Debug)]
pub struct Registry {
    /// Made when it is first needed: reading the system's certificates takes a while, and whoever
    /// has no images needs none.
    http: OnceLock<reqwest::Client>,
    /// The same for uploads: to the other one, an answer is late while its request is still on its
    /// way.
    sending: OnceLock<reqwest::Client>,
    roots: Vec<Certificate>,
    options: RegistryOptions,
    /// What opened a repository the last time, by registry, repository and action.
    passes: Mutex<HashMap<auth::Scope, auth::Pass>>,
    /// Who we said we were there the last time, for an error.
    said: Mutex<HashMap<auth::Scope, String>>,
    /// Places for programs that keep credentials.
    keepers: Semaphore,
}

impl Registry {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If the process has no provider of cryptography for TLS.
    pub fn new(options: RegistryOptions) -> Result<Self, RegistryError> {
        if CryptoProvider::get_default().is_none() {
            return Err(RegistryError::NoCryptoProvider);
        }
        let roots = options.extra_roots.iter().flat_map(Authorities::all);
        let roots = roots.cloned().collect();
        Ok(Self {
            http: OnceLock::new(),
            sending: OnceLock::new(),
            roots,
            options,
            passes: Mutex::default(),
            said: Mutex::default(),
            keepers: Semaphore::new(keeper::RUNNING_MAX),
        })
    }

    fn http(&self, stage: Stage) -> Result<&reqwest::Client, RegistryError> {
        let place = match stage {
            Stage::Upload => &self.sending,
            _ => &self.http,
        };
        if let Some(http) = place.get() {
            return Ok(http);
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("propeller/", env!("CARGO_PKG_VERSION")))
            // Followed by us, without credentials: see `exchange`.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            // Several layers at a time are several connections: one would be one congestion window.
            .http1_only()
            .tls_certs_merge(self.roots.clone());
        let http = match stage {
            Stage::Upload => http,
            _ => http.read_timeout(SILENCE_MAX),
        };
        let http = http.build().map_err(RegistryError::Setup)?;
        Ok(place.get_or_init(|| http))
    }
}

/// The address of something in a repository.
fn address(reference: &Reference, rest: &str) -> Result<Url, RegistryError> {
    let scheme = if reference.is_plain() {
        "http"
    } else {
        "https"
    };
    let (host, repository) = (reference.host(), reference.repository());
    let text = format!("{scheme}://{host}/v2/{repository}/{rest}");
    Url::parse(&text).map_err(|_| RegistryError::Address { text })
}
