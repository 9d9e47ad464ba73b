//! Images in registries: `push`, `pull`, and `inspect` of what is there. No manager is asked.

mod failure;
mod keeping;
mod keys;
mod look;
mod pull;
mod push;

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use propeller_inspect::BYTES_MAX;
use propeller_oci::credentials::CONFIG_BYTES_MAX;
use propeller_oci::crypt::Keys;
use propeller_oci::image::{PullOptions, Resolved};
use propeller_oci::registry::Authorities;
use propeller_oci::sign::VerifyingKey;
use propeller_oci::signatures::{self, Admitted};
use propeller_oci::{Credentials, Registry, RegistryOptions};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

pub(crate) use failure::Failure;
pub use keys::KeyArg;
pub(crate) use look::look;
pub use pull::Pull;
pub(crate) use pull::run as pull;
pub use push::Push;
pub(crate) use push::{parse, run as push};

/// The longest file with a key or certificates that is read.
const FILE_BYTES_MAX: u64 = CONFIG_BYTES_MAX;

/// How much larger than a module the layers around it may be, packed and unpacked.
const UNPACKED_BYTES_MAX: u64 = 4 * BYTES_MAX as u64;
const ENTRIES_MAX: usize = 100_000;
const LAYERS_AT_ONCE: usize = 4;

/// How to reach registries.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries")]
pub struct RegistryArgs {
    /// File with credentials, as Docker, podman and skopeo write it [default: Docker's config.json]
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// Folder of Docker's config.json
    #[arg(long, value_name = "DIR", env = "DOCKER_CONFIG", hide = true)]
    docker_config: Option<PathBuf>,
    /// File that podman and skopeo use
    #[arg(long, value_name = "FILE", env = "REGISTRY_AUTH_FILE", hide = true)]
    registry_auth_file: Option<PathBuf>,
    /// PEM file with certificate authorities to trust besides the system's
    #[arg(long, value_name = "FILE")]
    registry_ca: Vec<PathBuf>,
}

/// What opens an image and vouches for it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Images")]
pub struct OpenArgs {
    /// Key that opens encrypted layers: jwe:FILE with a private key, in PEM, DER or as JWK; or
    /// provider:attestation-agent:keypath=FILE::keyid=kbs:///…
    #[arg(long, value_name = "jwe:FILE|provider:…")]
    decryption_key: Vec<KeyArg>,
    /// Public key, one of which has to have signed the image
    #[arg(long, value_name = "FILE")]
    require_signature: Vec<PathBuf>,
}

impl RegistryArgs {
    /// A client of registries that knows what the arguments and files say.
    async fn client(&self) -> Result<Registry, Failure> {
        let mut extra_roots = Vec::new();
        for path in &self.registry_ca {
            let found = Authorities::from_pem(&read(path).await?);
            extra_roots.push(found.map_err(|source| Failure::Authorities {
                path: path.clone(),
                source,
            })?);
        }
        let options = RegistryOptions {
            credentials: self.credentials().await?,
            extra_roots,
            blob_bytes_max: UNPACKED_BYTES_MAX,
            ..RegistryOptions::default()
        };
        Ok(Registry::new(options)?)
    }

    async fn credentials(&self) -> Result<Credentials, Failure> {
        let named = self
            .registry_config
            .as_ref()
            .or(self.registry_auth_file.as_ref());
        let (path, asked_for) = match (named, &self.docker_config) {
            (Some(path), _) => (path.clone(), true),
            (None, Some(folder)) => (folder.join("config.json"), false),
            (None, None) => match std::env::home_dir() {
                Some(home) => (home.join(".docker/config.json"), false),
                None => return Ok(Credentials::default()),
            },
        };
        let file = match read(&path).await {
            Ok(file) => file,
            // Whoever has no file is nobody to every registry.
            Err(Failure::Read { source, .. })
                if !asked_for && source.kind() == io::ErrorKind::NotFound =>
            {
                return Ok(Credentials::default());
            }
            Err(failure) => return Err(failure),
        };
        let credentials = Credentials::from_docker_config(&file);
        credentials.map_err(|source| Failure::Credentials { path, source })
    }
}

impl OpenArgs {
    /// The first flag that is given, for who has no image.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let key = (!self.decryption_key.is_empty()).then_some("--decryption-key");
        let signature = (!self.require_signature.is_empty()).then_some("--require-signature");
        key.or(signature)
    }

    async fn keys(&self) -> Result<Keys, Failure> {
        keys::opening(&self.decryption_key).await
    }

    /// Admits an image, if whoever has to have signed it has.
    async fn admit(&self, registry: &Registry, resolved: Resolved) -> Result<Admitted, Failure> {
        let mut trusted = Vec::new();
        for path in &self.require_signature {
            let key = VerifyingKey::from_pem(&read(path).await?);
            trusted.push(key.map_err(|source| Failure::key(path, source))?);
        }
        Ok(signatures::admit(registry, resolved, &trusted).await?)
    }
}

fn limits(keys: Keys) -> PullOptions {
    PullOptions {
        layers_at_once: LAYERS_AT_ONCE,
        module_bytes_max: BYTES_MAX as u64,
        unpacked_bytes_max: UNPACKED_BYTES_MAX,
        entries_max: ENTRIES_MAX,
        keys,
    }
}

/// A small file.
pub(crate) async fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |source| Failure::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).await.map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).await;
    read.map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(failed(io::Error::other(
            "it is too large for what it should be",
        )));
    }
    Ok(bytes)
}
