//! Images that tasks name: looked up once, when they are named, so that every attempt runs the same
//! bytes.

use std::time::Duration;

use axum::http::StatusCode;
use propeller_oci::image::{ImageError, Resolved, resolve};
use propeller_oci::manifest::Descriptor;
use propeller_oci::sign::VerifyingKey;
use propeller_oci::signatures::{self, SignatureError};
use propeller_oci::{Reference, Registry, RegistryError};

use super::{Api, ApiError};
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
    /// The image that a task names, by its digest.
    pub(super) async fn image(&self, named: &str) -> Result<Image, ApiError> {
        let reference = parse(named)?;
        let looked = tokio::time::timeout(PATIENCE, self.look_up(reference)).await;
        looked.unwrap_or_else(|_| {
            let why = format!("image {named}: network: no answer after {PATIENCE:?}");
            Err(ApiError::new(StatusCode::BAD_GATEWAY, why))
        })
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
        images
            .check(&resolved)
            .await
            .map_err(|error| refused(&reference, &error))?;
        Ok(Image {
            reference: resolved.pinned.to_string(),
            encrypted: resolved
                .manifest
                .layers
                .iter()
                .any(Descriptor::is_encrypted),
        })
    }
}

impl Images {
    async fn check(&self, resolved: &Resolved) -> Result<(), SignatureError> {
        if self.trusted.is_empty() {
            return Ok(());
        }
        signatures::check(&self.registry, resolved, &self.trusted)
            .await
            .map(drop)
    }
}

/// A reference. An address of upstream's, which is of a file, looks like one of a registry without
/// TLS; what tells them apart is the tag or digest at the end.
fn parse(named: &str) -> Result<Reference, ApiError> {
    let reference: Reference = named
        .parse()
        .map_err(|error| ApiError::invalid(format!("image_url: {error}")))?;
    let last = named.rsplit('/').next().unwrap_or_default();
    let address = named.starts_with("http://") || named.starts_with("https://");
    if address && !last.contains([':', '@']) {
        let why = "image_url: a module behind an address is not supported by this version; an image \
                   in a registry without TLS is named with its tag, as http://HOST/REPOSITORY:TAG";
        return Err(ApiError::invalid(why));
    }
    Ok(reference)
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
