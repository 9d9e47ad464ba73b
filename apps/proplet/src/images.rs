//! Modules out of images, fetched by the proplet itself: each once, however many attempts want it,
//! and kept in memory for the next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use propeller_model::Digest;
use propeller_oci::crypt::PrivateKey;
use propeller_oci::image::{PullOptions, pull, resolve};
use propeller_oci::{Reference, Registry, RegistryError, chain, sha256, signatures};
use propeller_settings::Images as Settings;
use tokio::sync::{OnceCell, Semaphore};
use tracing::info;

use crate::cache::Modules;

/// Images on their way at the same time: each is in memory as a whole, packed and unpacked.
const PULLS_MAX: usize = 2;
/// How long an image may take, with its signature, however steadily it drips.
const PATIENCE: Duration = Duration::from_secs(900);
/// How much larger than a module the layers around it may be.
const LAYERS_PER_MODULE: u64 = 4;
const ENTRIES_MAX: usize = 100_000;

/// Where images come from.
#[derive(Clone, Debug)]
pub struct ImagesConfig {
    /// How registries are asked, and whom to believe.
    pub settings: Settings,
    /// What opens encrypted images.
    pub keys: Arc<[PrivateKey]>,
    /// Layers at a time.
    pub layers_at_once: usize,
    /// Largest module, in bytes.
    pub module_bytes_max: u64,
}

/// The modules of images.
#[derive(Debug)]
pub struct Images {
    registry: Registry,
    config: ImagesConfig,
    pulls: Semaphore,
    known: Mutex<Known>,
}

/// What is here, and what is on its way.
#[derive(Debug, Default)]
struct Known {
    modules: Modules,
    coming: HashMap<Reference, Weak<OnceCell<Bytes>>>,
}

impl Images {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// If a certificate is none, or the process has no provider of cryptography for TLS.
    pub fn new(config: ImagesConfig) -> Result<Self, RegistryError> {
        Ok(Self {
            registry: Registry::new(config.settings.registry.clone())?,
            config,
            pulls: Semaphore::new(PULLS_MAX),
            known: Mutex::default(),
        })
    }

    /// The module of an image; in words, why there is none. Whoever stops waiting leaves the pull to
    /// the others who wait for it.
    pub(crate) async fn module(&self, image: &str) -> Result<Bytes, String> {
        let told = |why: String| format!("image {image}: {why}");
        let reference: Reference = image.parse().map_err(|error| told(chain(&error)))?;
        let digest = reference.digest();
        let digest = digest.ok_or_else(|| told("it has no digest, which is needed".to_owned()))?;
        // In its repository: what may be fetched from one, or was signed for one, says nothing of
        // another.
        let digest = sha256(format!("{}@{digest}", reference.name()).as_bytes());
        let coming = {
            let mut known = self.known.lock().expect("no thread panics with it");
            if let Some(module) = known.modules.get(digest) {
                return Ok(module);
            }
            known.coming(&reference)
        };
        let pull = || async {
            let pulled = tokio::time::timeout(PATIENCE, self.pull(&reference)).await;
            pulled.unwrap_or_else(|_| Err(format!("network: it is not here after {PATIENCE:?}")))
        };
        let pulled = coming.get_or_try_init(pull).await;
        let module = pulled.map_err(told)?.clone();
        let mut known = self.known.lock().expect("no thread panics with it");
        known.arrived(&reference, digest, &module);
        Ok(module)
    }

    async fn pull(&self, reference: &Reference) -> Result<Bytes, String> {
        let _place = self
            .pulls
            .acquire()
            .await
            .map_err(|error| error.to_string())?;
        let trusted = &self.config.settings.trusted;
        let resolved = resolve(&self.registry, reference).await;
        let resolved = resolved.map_err(|error| chain(&error))?;
        let admitted = signatures::admit(&self.registry, resolved, trusted).await;
        let admitted =
            admitted.map_err(|error| format!("{} (PROPLET_REQUIRE_SIGNATURE)", chain(&error)))?;
        let module_bytes_max = self.config.module_bytes_max;
        let options = PullOptions {
            layers_at_once: self.config.layers_at_once,
            module_bytes_max,
            unpacked_bytes_max: module_bytes_max.saturating_mul(LAYERS_PER_MODULE),
            entries_max: ENTRIES_MAX,
            keys: Arc::clone(&self.config.keys),
        };
        let pulled = pull(&self.registry, &admitted, &options, &|_| {}).await;
        let mut pulled = pulled.map_err(|error| chain(&error))?;
        info!(image = %reference, encrypted = pulled.encrypted, "pulled image");
        Ok(Bytes::from(std::mem::take(&mut *pulled.module)))
    }
}

impl Known {
    /// What everybody waits on who wants this image.
    fn coming(&mut self, reference: &Reference) -> Arc<OnceCell<Bytes>> {
        // Those that nobody waits for any more.
        self.coming.retain(|_, cell| cell.strong_count() > 0);
        if let Some(cell) = self.coming.get(reference).and_then(Weak::upgrade) {
            return cell;
        }
        let cell = Arc::new(OnceCell::new());
        self.coming.insert(reference.clone(), Arc::downgrade(&cell));
        cell
    }

    fn arrived(&mut self, reference: &Reference, digest: Digest, module: &Bytes) {
        if self.coming.remove(reference).is_some() {
            self.modules.insert(digest, module.clone());
        }
    }
}
