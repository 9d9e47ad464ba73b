//! What `image_url` names: looked up once, when it is named, so that every attempt runs the same
//! bytes.

use std::time::Duration;

use axum::http::StatusCode;
use propeller_oci::image::{ImageError, resolve};
use propeller_oci::registry::Obstacle;
use propeller_oci::sign::VerifyingKey;
use propeller_oci::signatures::{self, SignatureError};
use propeller_oci::{Reference, Registry, RegistryError};

use super::upload::check;
use super::{Api, ApiError};
use crate::dispatch::{NewModule, cannot_be_signed};
use crate::store::image::Image;

/// How long whoever names an image waits for its registry.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Looks images up.
#[derive(Debug)]
pub struct Images {
    /// Asks registries.
    pub registry: Registry,
    /// One of these has to have signed an image; without any, nobody has to.
    pub trusted: Vec<VerifyingKey>,
}

/// An image that was looked up.
enum Seen {
    /// Its manifest was read.
    Here(Image),
    /// Its registry does not answer us, and its digest was given.
    Away(Image),
}

impl Seen {
    fn image(self) -> Image {
        match self {
            Self::Here(image) | Self::Away(image) => image,
        }
    }
}

/// Leave to take a module that nobody can have signed, because it is in no image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsigned(());

impl Api {
    /// That leave, unless the operator wants signatures; `what` is what carries none.
    pub(super) fn unsigned(&self, what: &str) -> Result<Unsigned, ApiError> {
        match &*self.shared.images.trusted {
            [] => Ok(Unsigned(())),
            _ => Err(ApiError::invalid(cannot_be_signed(what))),
        }
    }

    /// What `image_url` names: an image, by its digest, or the module at an address.
    ///
    /// With a `key`, the task is encrypted: it has to be an image, and an encrypted one.
    pub(super) async fn image_or_file(
        &self,
        named: &str,
        key: Option<String>,
    ) -> Result<NewModule, ApiError> {
        let find = async {
            match (is_file(named), key) {
                (true, None) => self.file(named).await,
                (true, Some(_)) => Err(ApiError::invalid(
                    "image_url: an encrypted task runs an image in a registry, and this is the \
                     address of a file",
                )),
                (false, None) => {
                    let seen = self.look_up(parse(named)?).await?;
                    Ok(NewModule::Image(seen.image()))
                }
                (false, Some(key)) => {
                    let image = self.look_up_encrypted(parse(named)?, key).await?;
                    Ok(NewModule::Image(image))
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, find).await;
        found.unwrap_or_else(|_| {
            let why = format!("image_url: network: no answer after {PATIENCE:?}");
            Err(ApiError::new(StatusCode::BAD_GATEWAY, why))
        })
    }

    /// The module at an address, fetched now, as if it had been uploaded.
    async fn file(&self, address: &str) -> Result<NewModule, ApiError> {
        let images = &self.shared.images;
        let unsigned = self.unsigned("image_url: a module at an address")?;
        let _slot = self.slot().await?;
        let fetched = images.registry.file(address, self.shared.upload_max).await;
        let wasm = fetched.map_err(|error| no_file(address, &error))?;
        check(&wasm).map_err(|why| {
            let or_image = or_image(address);
            ApiError::invalid(format!("image_url: media type: {why}{or_image}"))
        })?;
        self.module(wasm.into(), unsigned).await
    }

    /// Whoever has a public key can encrypt to it: what makes an encrypted image the one that was
    /// meant is its digest, or a signature.
    async fn look_up_encrypted(
        &self,
        reference: Reference,
        key: String,
    ) -> Result<Image, ApiError> {
        if reference.digest().is_none() && self.shared.images.trusted.is_empty() {
            let why = format!(
                "image_url: an encrypted task names its image by digest, {}{}@sha256:…, since \
                 encryption does not say who made it: `propeller-cli inspect {reference}` prints it",
                if reference.is_plain() { "http://" } else { "" },
                reference.name(),
            );
            return Err(ApiError::invalid(why));
        }
        let image = match self.look_up(reference).await? {
            Seen::Here(image) if !image.encrypted => {
                let why = "image_url: the task says that this image is encrypted, and it is not: \
                           encrypt it with `propeller-cli push --encrypt`";
                return Err(ApiError::invalid(why));
            }
            seen => seen.image(),
        };
        Ok(Image {
            encrypted: true,
            key: Some(key),
            ..image
        })
    }

    async fn look_up(&self, reference: Reference) -> Result<Seen, ApiError> {
        let images = &self.shared.images;
        let resolved = match resolve(&images.registry, &reference).await {
            Ok(resolved) => resolved,
            // Somebody who has the digest needs no registry to find it out; the proplet may reach
            // one that we do not.
            Err(ImageError::Registry(error))
                if reference.digest().is_some() && images.trusted.is_empty() && is_away(&error) =>
            {
                return Ok(Seen::Away(Image {
                    reference: reference.to_string(),
                    encrypted: false,
                    key: None,
                    signed: None,
                }));
            }
            Err(error) => return Err(refused(&reference, &error)),
        };
        let admitted = signatures::admit(&images.registry, resolved, &images.trusted).await;
        let admitted = admitted.map_err(|error| refused(&reference, &error))?;
        let resolved = admitted.resolved();
        Ok(Seen::Here(Image {
            reference: resolved.pinned().to_string(),
            encrypted: resolved.manifest().is_encrypted(),
            key: None,
            signed: admitted.signed().map(|verified| verified.key),
        }))
    }
}

fn parse(named: &str) -> Result<Reference, ApiError> {
    let reference = named.parse();
    reference.map_err(|error| ApiError::invalid(format!("image_url: {error}")))
}

/// Whether an address of a file is meant, as upstream has it. One of a registry without TLS looks
/// like it; what tells them apart is the tag or digest at its end, which a file that is called one may
/// have in its name, and anything in its query, which no image has.
fn is_file(named: &str) -> bool {
    let address = named.starts_with("http://") || named.starts_with("https://");
    let path = named.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let called_so = last.ends_with(".wasm");
    address && (path != named || called_so || !last.contains([':', '@']))
}

fn no_file(address: &str, error: &RegistryError) -> ApiError {
    let status = match is_away(error) {
        true => {
            tracing::warn!(error = %propeller_oci::chain(error), "who has a file does not answer");
            StatusCode::BAD_GATEWAY
        }
        false => StatusCode::BAD_REQUEST,
    };
    let why = match error {
        RegistryError::Status {
            host, status: 404, ..
        } => {
            let or_image = or_image(address);
            format!("name: {host} has no file at this address{or_image}")
        }
        error => propeller_oci::chain(error),
    };
    ApiError::new(status, format!("image_url: {why}"))
}

/// What to write in place of the address of a file, if an image was meant: nothing, if it names none.
fn or_image(address: &str) -> String {
    match format!("{address}:latest").parse::<Reference>() {
        Ok(image) => format!("; if this is an image in a registry, name its tag: {image}"),
        Err(_) => String::new(),
    }
}

/// Whether nobody answered.
fn is_away(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Network { .. } | RegistryError::Patience { .. }
    )
}

fn refused(reference: &Reference, error: &(dyn std::error::Error + 'static)) -> ApiError {
    let registry = match error.downcast_ref::<ImageError>() {
        Some(ImageError::Registry(error)) => Some(error),
        _ => match error.downcast_ref::<SignatureError>() {
            Some(SignatureError::Registry(error)) => Some(error),
            _ => None,
        },
    };
    let status = match registry.is_some_and(is_away) {
        true => StatusCode::BAD_GATEWAY,
        false => StatusCode::BAD_REQUEST,
    };
    let hint = match registry.and_then(RegistryError::obstacle) {
        Some(Obstacle::NoTls) => format!("; a registry without TLS is named http://{reference}"),
        Some(Obstacle::Authority) => {
            "; it shows an authority's certificate (CA:TRUE) as its own: give it one with CA:FALSE"
                .to_owned()
        }
        Some(Obstacle::Certificate) => {
            "; MANAGER_REGISTRY_CA names certificates to trust besides the system's".to_owned()
        }
        _ => String::new(),
    };
    let (name, why) = (reference.name(), propeller_oci::chain(error));
    if status == StatusCode::BAD_GATEWAY {
        tracing::warn!(image = %name, error = %why, cause = ?error, "a registry does not answer");
    }
    ApiError::new(status, format!("image {name}: {why}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_an_image_by_its_end() {
        for (named, file) in [
            ("https://h/hello.wasm", true),
            ("http://h/hello", true),
            ("http://h/hello.wasm?sig=a:b", true),
            ("http://h/hello?sig=a:b@c/d:e", true),
            ("http://h/hello#a:b", true),
            ("http://h/hello@1.0.0.wasm", true),
            ("http://h:5000/a:b/hello:1.wasm", true),
            ("http://h:5000/hello:1", false),
            ("http://h:5000/hello.wasm:1", false),
            ("http://h:5000/hello.wasm@sha256:00", false),
            ("h/hello.wasm", false),
            ("ghcr.io/hello:1", false),
        ] {
            assert_eq!(is_file(named), file, "{named}");
        }
    }
}
