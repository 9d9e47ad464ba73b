//! What judging needs beside the evidence: what the vendor of the hardware says about the platform.

use std::fmt;

use dcap_qvl::QuoteCollateralV3;

/// The longest collateral that is read, in bytes. One has some 25 KB.
pub const COLLATERAL_BYTES_MAX: usize = 1024 * 1024;

/// What the vendor says about the platform that made the evidence. Whoever brings it need not be
/// trusted: all of it is signed, up to the [anchors](super::Anchors).
#[derive(Debug, Clone, Default)]
pub enum Collateral {
    /// Nothing: enough for `sample`, and for `snp` evidence that brings its certificates.
    #[default]
    None,
    /// For `tdx` and `sgx`.
    Dcap(Box<DcapCollateral>),
    /// For `snp`. It takes the place of the certificates in the evidence.
    Snp(SnpChain),
}

/// What Intel says about a platform: TCB levels, the identity of the quoting enclave, lists of
/// revoked certificates. Signed by Intel, and valid for some 30 days.
#[derive(Clone)]
pub struct DcapCollateral(QuoteCollateralV3);

/// Not collateral for quotes.
#[derive(Debug, thiserror::Error)]
pub enum CollateralError {
    /// More than anybody needs.
    #[error("collateral of {bytes} bytes, and {COLLATERAL_BYTES_MAX} are read")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// Not the JSON form.
    #[error("not collateral for quotes, in the JSON form of dcap-qvl (QuoteCollateralV3)")]
    Json(#[source] serde_json::Error),
}

impl DcapCollateral {
    /// Reads the JSON form that `dcap-qvl` and its tools write: texts, and hexadecimal for what is
    /// DER or a signature.
    ///
    /// # Errors
    /// If it is too long, or not that form.
    pub fn from_json(json: &[u8]) -> Result<Self, CollateralError> {
        if json.len() > COLLATERAL_BYTES_MAX {
            return Err(CollateralError::TooLong { bytes: json.len() });
        }
        let collateral = serde_json::from_slice(json).map_err(CollateralError::Json)?;
        Ok(Self(collateral))
    }

    pub(super) fn inner(&self) -> &QuoteCollateralV3 {
        &self.0
    }
}

impl fmt::Debug for DcapCollateral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DcapCollateral").finish_non_exhaustive()
    }
}

/// Certificates from the key that signed an SEV-SNP report up to AMD's root, in DER.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnpChain {
    /// AMD's root (ARK). Not needed, as roots are anchors; if it is there, it must be one of them.
    pub ark: Option<Vec<u8>>,
    /// The key between (ASK, or ASVK for a VLEK). Not needed for a VCEK of a product that is among
    /// the anchors.
    pub ask: Option<Vec<u8>>,
    /// The chip's key.
    pub vcek: Option<Vec<u8>>,
    /// The key that AMD gave to a cloud's operator.
    pub vlek: Option<Vec<u8>>,
}
