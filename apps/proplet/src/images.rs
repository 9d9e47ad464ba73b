//! Modules out of images, fetched from their registry or by way of a proxy: each once, however many
//! attempts want it, and kept in memory for the next.

mod no_module;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use propeller_blobs::Blobs;
use propeller_model::Digest;
use propeller_oci::crypt::PrivateKey;
use propeller_oci::image::{PullOptions, pull, resolve};
use propeller_oci::registry::SILENTLY;
use propeller_oci::{Reference, Registry, RegistryError, Source, chain, sha256, signatures};
use propeller_settings::Images as Settings;
use tokio::sync::{OnceCell, Semaphore, mpsc, watch};
use tracing::{info, warn};

use crate::attested::Release;
use crate::cache::{Modules, OpenModule};
use crate::courier::{Order, Tallies, Via};
use crate::shelved::Shelved;
use crate::together::Together;

use no_module::NoModule;

/// Images on their way at the same time: each is in memory as a whole, packed and unpacked. What drips
/// loses its place: see [`Pace`](propeller_oci::registry::Pace).
const PULLS_MAX: usize = 2;
/// How long an image may take, with its signature, however steadily it drips.
const PATIENCE: Duration = Duration::from_secs(900);
/// How much larger than a module the layers around it may be.
const LAYERS_PER_MODULE: u64 = 4;
const ENTRIES_MAX: usize = 100_000;
const NOT_ENCRYPTED: &str =
    "the task says that it is encrypted, and the layer with its module is not: it is not run";

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
    /// Who fetches.
    pub from: PullFrom,
    /// Most bytes of blobs that are kept on disk, sealed; 0 keeps none.
    pub disk_bytes_max: u64,
}

/// Who fetches images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullFrom {
    /// A proxy, if there is one; the proplet itself, if there is none.
    Auto,
    /// The proplet itself, from the registry.
    Registry,
    /// A proxy, and nobody else.
    Proxy,
}

impl std::str::FromStr for PullFrom {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "registry" => Ok(Self::Registry),
            "proxy" => Ok(Self::Proxy),
            _ => Err("`auto`, `registry` or `proxy`"),
        }
    }
}

/// The modules of images.
#[derive(Debug)]
pub struct Images {
    registry: Registry,
    /// What is wanted of a proxy.
    orders: mpsc::Sender<Order>,
    /// Whether there is a proxy.
    there: watch::Receiver<bool>,
    /// What is on disk, if anything is to be.
    blobs: Option<Arc<Blobs>>,
    config: ImagesConfig,
    pulls: Arc<Semaphore>,
    /// Those whose keys may differ, and layers do not.
    together: Together,
    known: Mutex<Known>,
}

/// An image, whoever names it and under whatever tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    /// Whether its registry is asked without TLS, which may come to something else.
    plain: bool,
    /// Its digest, in its repository: what may be fetched from one, or was signed for one, says
    /// nothing of another.
    image: Digest,
}

impl Wanted {
    fn new(reference: &Reference, digest: Digest) -> Self {
        Self {
            plain: reference.is_plain(),
            image: sha256(format!("{}@{digest}", reference.name()).as_bytes()),
        }
    }
}

/// Whose keys open an image.
enum Opener<'a, 'b> {
    /// Those that the operator gave to this proplet.
    Own,
    /// Those that a key broker releases for it.
    #[cfg_attr(
        not(feature = "tee"),
        allow(dead_code, reason = "no keys are released")
    )]
    Released(&'a mut Release<'b>),
}

/// How a pull has ended, for all who have waited for it: the module, or in words why there is none.
type Ending = OnceCell<Result<OpenModule, String>>;

/// What is here, and what is on its way.
#[derive(Debug, Default)]
struct Known {
    modules: Modules<OpenModule>,
    coming: HashMap<Wanted, Weak<Ending>>,
}

impl Images {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// If a certificate is none, or the process has no provider of cryptography for TLS.
    pub(crate) fn new(
        config: ImagesConfig,
        orders: mpsc::Sender<Order>,
        there: watch::Receiver<bool>,
        blobs: Option<Arc<Blobs>>,
    ) -> Result<Self, RegistryError> {
        let pulls = Arc::new(Semaphore::new(PULLS_MAX));
        Ok(Self {
            registry: Registry::new(config.settings.registry.clone())?,
            orders,
            there,
            blobs,
            config,
            together: Together::new(Arc::clone(&pulls)),
            pulls,
            known: Mutex::default(),
        })
    }

    /// Whether nothing is run that nobody has signed.
    pub(crate) fn wants_signatures(&self) -> bool {
        !self.config.settings.trusted.is_empty()
    }

    /// The module of an image; in words, why there is none. Whoever stops waiting leaves the pull to
    /// the others who wait for it; whoever waits when it fails hears why, and whoever comes later has
    /// a pull of his own.
    pub(crate) async fn module(&self, image: &str) -> Result<OpenModule, String> {
        let told = |why: String| format!("image {image}: {why}");
        let reference: Reference = image.parse().map_err(|error| told(chain(&error)))?;
        let digest = reference.digest();
        let digest = digest.ok_or_else(|| told("it has no digest, which is needed".to_owned()))?;
        let wanted = Wanted::new(&reference, digest);
        let coming = {
            let mut known = self.known.lock().expect("no thread panics with it");
            if let Some(module) = known.modules.get(wanted.image) {
                return Ok(module);
            }
            known.coming(wanted)
        };
        let pull = || async {
            let pulled = self.pull_in_time(&reference, &mut Opener::Own).await;
            let pulled = pulled.map_err(|why| why.text);
            let mut known = self.known.lock().expect("no thread panics with it");
            known.ended(wanted, &pulled);
            pulled
        };
        coming.get_or_init(pull).await.clone().map_err(told)
    }

    /// The module of an encrypted image, whose key is released for it. It is not kept, and shared
    /// with nobody; what comes from the registry is, with whoever wants it at the same time.
    #[cfg(feature = "tee")]
    pub(crate) async fn encrypted(
        &self,
        reference: &Reference,
        release: &mut Release<'_>,
    ) -> Result<OpenModule, NoModule> {
        let mut opener = Opener::Released(release);
        self.pull_in_time(reference, &mut opener).await
    }

    async fn pull_in_time(
        &self,
        reference: &Reference,
        opener: &mut Opener<'_, '_>,
    ) -> Result<OpenModule, NoModule> {
        let tallies = Tallies::default();
        let pull = self.pull_as(reference, opener, &tallies);
        let pulled = tokio::time::timeout(PATIENCE, pull).await;
        pulled.unwrap_or_else(|_| {
            Err(NoModule::late(format!(
                "network: it is not here after {PATIENCE:?}{tallies}"
            )))
        })
    }

    async fn pull_as(
        &self,
        reference: &Reference,
        opener: &mut Opener<'_, '_>,
        tallies: &Tallies,
    ) -> Result<OpenModule, NoModule> {
        let by_proxy = match self.config.from {
            PullFrom::Auto => *self.there.borrow(),
            PullFrom::Registry => false,
            PullFrom::Proxy => true,
        };
        let via = Via {
            orders: &self.orders,
            blob_bytes_max: self.config.settings.registry.blob_bytes_max,
            tallies,
        };
        let source: &dyn Source = match by_proxy {
            true => &via,
            false => &self.registry,
        };
        match self.pull_shelved(source, reference, opener).await {
            Err(why) if why.by_proxy && self.config.from == PullFrom::Auto => {
                warn!(image = %reference, error = %why.text, "asking the registry itself");
                self.pull_shelved(&self.registry, reference, opener).await
            }
            other => other,
        }
    }

    /// From the disk what is there, and the rest from `source`.
    async fn pull_shelved(
        &self,
        source: &dyn Source,
        reference: &Reference,
        opener: &mut Opener<'_, '_>,
    ) -> Result<OpenModule, NoModule> {
        match &self.blobs {
            None => self.pull_from(source, reference, opener).await,
            Some(blobs) => {
                let shelved = Shelved { source, blobs };
                self.pull_from(&shelved, reference, opener).await
            }
        }
    }

    async fn pull_from(
        &self,
        source: &dyn Source,
        reference: &Reference,
        opener: &mut Opener<'_, '_>,
    ) -> Result<OpenModule, NoModule> {
        let resolved = resolve(source, reference).await?;
        let trusted = &self.config.settings.trusted;
        let admitted = signatures::admit(source, resolved, trusted).await?;
        let keys = match opener {
            Opener::Own => Arc::clone(&self.config.keys).into(),
            Opener::Released(release) => {
                let manifest = admitted.resolved().manifest();
                if !manifest.is_encrypted() {
                    return Err(NoModule::for_good(NOT_ENCRYPTED.to_owned()));
                }
                release.keys(manifest).await?
            }
        };
        let module_bytes_max = self.config.module_bytes_max;
        let options = PullOptions {
            layers_at_once: self.config.layers_at_once,
            module_bytes_max,
            unpacked_bytes_max: module_bytes_max.saturating_mul(LAYERS_PER_MODULE),
            entries_max: ENTRIES_MAX,
            keys,
        };
        // From here on it is in memory. Whoever waits for a key has no place.
        let pulled = match opener {
            Opener::Own => {
                let place = self.pulls.acquire().await;
                let _place = place.map_err(NoModule::stops)?;
                pull(source, &admitted, &options, SILENTLY).await
            }
            Opener::Released(_) => {
                let wanted = Wanted::new(reference, admitted.resolved().digest());
                let pulled = self.together.pull(wanted, source, &admitted, &options);
                pulled.await.map_err(NoModule::stops)?
            }
        };
        let mut pulled = match opener {
            Opener::Own => pulled.map_err(NoModule::unreleased)?,
            Opener::Released(_) => pulled?,
        };
        info!(image = %reference, encrypted = pulled.encrypted, "pulled image");
        if let Opener::Released(release) = opener {
            if !pulled.encrypted {
                return Err(NoModule::for_good(NOT_ENCRYPTED.to_owned()));
            }
            release.decrypted_in(pulled.decrypting);
        }
        Ok(OpenModule {
            wasm: match pulled.encrypted {
                // Cleared when the last who has it lets go.
                true => Bytes::from_owner(pulled.module),
                false => Bytes::from_owner(std::mem::take(&mut *pulled.module)),
            },
            digest: pulled.digest,
        })
    }
}

impl Known {
    /// What everybody waits on who wants this image.
    fn coming(&mut self, wanted: Wanted) -> Arc<Ending> {
        // Those that nobody waits for any more.
        self.coming.retain(|_, cell| cell.strong_count() > 0);
        if let Some(cell) = self.coming.get(&wanted).and_then(Weak::upgrade) {
            return cell;
        }
        let cell = Arc::new(OnceCell::new());
        self.coming.insert(wanted, Arc::downgrade(&cell));
        cell
    }

    /// Nobody joins those who wait for it any more.
    fn ended(&mut self, wanted: Wanted, pulled: &Result<OpenModule, String>) {
        self.coming.remove(&wanted);
        if let Ok(module) = pulled {
            let bytes = module.wasm.len();
            self.modules.insert(wanted.image, module.clone(), bytes);
        }
    }
}
