//! The media types of what is in a registry.
//!
//! Sources: the OCI image specification 1.1, the CNCF artifact layout for Wasm, Docker's image
//! manifest 2.2, ocicrypt (`+encrypted`), and cosign's simple signing.

/// An OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// A manifest as Docker writes it.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// An index as Docker writes it.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The configuration of an OCI image.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The configuration of an image as Docker writes it.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// The configuration of a Wasm artifact.
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// The same, as older tools wrote it.
pub const WASM_CONFIG_OLD: &str = "application/vnd.wasm.config.v1+json";

/// A module or component as a layer.
pub const WASM_LAYER: &str = "application/wasm";
/// The same, as older tools wrote it.
pub const WASM_LAYER_OLD: &str = "application/vnd.wasm.content.layer.v1+wasm";
/// A layer that is a tar archive.
pub const TAR_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The same, compressed by gzip (RFC 1952).
pub const TAR_GZIP_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The same, compressed by zstd (RFC 8878).
pub const TAR_ZSTD_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// A layer of Docker's: a tar archive compressed by gzip.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What cosign signs.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// How the media type of an encrypted layer ends; the rest says what is inside.
pub const ENCRYPTED: &str = "+encrypted";
