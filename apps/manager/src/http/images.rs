//! What `image_url` names: looked up once, when it is named, so that every attempt runs the same
//! bytes.

use std::time::Duration;

use axum::http::StatusCode;
use propeller_oci::image::{ImageError, resolve};
use propeller_oci::sign::VerifyingKey;
use propeller_oci::signatures;
use propeller_oci::{Reference, Registry, RegistryError};

use super::{Api, ApiError};
use crate::dispatch::NewModule;
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

impl Api {
    /// What `image_url` names: an image, by its digest, or the module at an address.
    pub(super) async fn image_or_file(&self, named: &str) -> Result<NewModule, ApiError> {
        let find = async {
            match is_file(named) {
                true => self.file(named).await,
                false => Ok(NewModule::Image(self.look_up(parse(named)?).await?)),
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
        if !images.trusted.is_empty() {
            let why = "image_url: a module at an address cannot be signed, and \
                       MANAGER_REQUIRE_SIGNATURE wants that: push it to a registry";
            return Err(ApiError::invalid(why));
        }
        let _slot = self.slot().await?;
        let fetched = images.registry.file(address, self.shared.upload_max).await;
        let wasm = fetched.map_err(|error| {
            let status = match is_away(&error) {
                true => StatusCode::BAD_GATEWAY,
                false => StatusCode::BAD_REQUEST,
            };
            ApiError::new(
                status,
                format!("image_url: {}", propeller_oci::chain(&error)),
            )
        })?;
        self.module(wasm.into()).await
    }

    async fn look_up(&self, reference: Reference) -> Result<Image, ApiError> {
        let images = &self.shared.images;
        let resolved = match resolve(&images.registry, &reference).await {
            Ok(resolved) => resolved,
            // Somebody who has the digest needs no registry to find it out; the proplet may reach
            // one that we do not.
            Err(ImageError::Registry(error))
                if reference.digest().is_some() && images.trusted.is_empty() && is_away(&error) =>
            {
                return Ok(Image {
                    reference: reference.to_string(),
                    encrypted: false,
                });
            }
            Err(error) => return Err(refused(&reference, &error)),
        };
        let admitted = signatures::admit(&images.registry, resolved, &images.trusted).await;
        let admitted = admitted.map_err(|error| refused(&reference, &error))?;
        let resolved = admitted.resolved();
        Ok(Image {
            reference: resolved.pinned().to_string(),
            encrypted: resolved.manifest().is_encrypted(),
        })
    }
}

fn parse(named: &str) -> Result<Reference, ApiError> {
    let reference = named.parse();
    reference.map_err(|error| ApiError::invalid(format!("image_url: {error}")))
}

/// Whether an address of a file is meant, as upstream has it. One of a registry without TLS looks
/// like it; what tells them apart is the tag or digest at its end.
fn is_file(named: &str) -> bool {
    let address = named.starts_with("http://") || named.starts_with("https://");
    let last = named.rsplit('/').next().unwrap_or_default();
    address && !last.contains([':', '@'])
}

/// Whether nobody answered.
fn is_away(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Network { .. } | RegistryError::Patience { .. }
    )
}

fn refused(reference: &Reference, error: &(dyn std::error::Error + 'static)) -> ApiError {
    let status = match error.downcast_ref::<ImageError>() {
        Some(ImageError::Registry(error)) if is_away(error) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::BAD_REQUEST,
    };
    let name = reference.name();
    ApiError::new(
        status,
        format!("image {name}: {}", propeller_oci::chain(error)),
    )
}
