//! The settings for registries of images, read from the files that they name.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use propeller_oci::crypt::PrivateKey;
use propeller_oci::registry::Authorities;
use propeller_oci::sign::VerifyingKey;
use propeller_oci::{Credentials, RegistryOptions};

use crate::value::Settings;

/// The longest file that is read: many certificates.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How registries are asked, and whom to believe about an image.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// How registries are asked.
    pub registry: RegistryOptions,
    /// One of these has to have signed an image; without any, nobody has to.
    pub trusted: Vec<VerifyingKey>,
}

/// Reads them. What is wrong is noted in `settings`.
pub fn images(settings: &mut Settings) -> Images {
    Images {
        registry: registry(settings),
        trusted: keys(settings, "require_signature", VerifyingKey::from_pem),
    }
}

/// How registries are asked. What is wrong is noted in `settings`.
pub fn registry(settings: &mut Settings) -> RegistryOptions {
    let credentials = read(settings, "registry_config", Credentials::from_docker_config);
    let roots = read(settings, "registry_ca", Authorities::from_pem);
    RegistryOptions {
        credentials: credentials.unwrap_or_default(),
        extra_roots: roots.into_iter().collect(),
        ..RegistryOptions::default()
    }
}

/// The private keys that open encrypted images, from the files that a setting lists.
pub fn image_keys(settings: &mut Settings, name: &'static str) -> Vec<PrivateKey> {
    keys(settings, name, PrivateKey::from_bytes)
}

fn keys<K, E: std::error::Error>(
    settings: &mut Settings,
    name: &'static str,
    parse: impl Fn(&[u8]) -> Result<K, E>,
) -> Vec<K> {
    let Some(list) = settings.text(name).map(str::to_owned) else {
        return Vec::new();
    };
    let files = list.split(',').map(str::trim);
    let files: Vec<_> = files.filter(|file| !file.is_empty()).collect();
    if files.is_empty() {
        // As no keys at all, it would let everything pass.
        let why = "it names no file: write one or more, separated by commas, or unset it";
        settings.invalid(name, why.to_owned());
    }
    let mut keys = Vec::new();
    for file in files {
        match content(Path::new(file)) {
            Err(error) => settings.invalid(name, format!("cannot read {file}: {error}")),
            Ok(bytes) => match parse(&bytes) {
                Ok(key) => keys.push(key),
                Err(error) => settings.invalid(name, format!("{file}: {error}")),
            },
        }
    }
    keys
}

fn read<T, E: std::error::Error>(
    settings: &mut Settings,
    name: &'static str,
    parse: impl Fn(&[u8]) -> Result<T, E>,
) -> Option<T> {
    let path = settings.path(name)?;
    let shown = path.display().to_string();
    let why = match content(&path) {
        Err(error) => format!("cannot read {shown}: {error}"),
        Ok(bytes) => match parse(&bytes) {
            Ok(value) => return Some(value),
            Err(error) => format!("{shown}: {error}"),
        },
    };
    settings.invalid(name, why);
    None
}

fn content(path: &Path) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let file = File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other("it is too large for what it should be")),
        false => Ok(bytes),
    }
}
