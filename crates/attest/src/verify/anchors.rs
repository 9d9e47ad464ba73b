//! What trust ends in: the certificates of those who make the hardware.

/// Certificates that chains may end in. They are an argument of judging, so that whoever judges
/// says whom he trusts; [`Anchors::vendors`] is what everybody means.
#[derive(Debug, Clone)]
pub struct Anchors {
    /// Intel's root for SGX and TDX, in DER.
    pub intel: Vec<u8>,
    /// AMD's roots for SEV-SNP, one for each product.
    pub amd: Vec<AmdAnchor>,
}

/// AMD's keys for one product.
#[derive(Debug, Clone)]
pub struct AmdAnchor {
    /// Certificate of the root key (ARK), in DER. A root that comes with evidence counts only if it
    /// has the same key.
    pub ark: Vec<u8>,
    /// Certificate of the signing key (ASK) for keys of chips, in DER, for evidence that comes with
    /// nothing but the chip's own.
    pub ask: Vec<u8>,
}

impl Anchors {
    /// Those of Intel and AMD: the SGX Root CA, and the roots of Milan, Genoa and Turin.
    ///
    /// AMD's keys that sign keys of clouds (ASVK, for VLEK) are not among them: a chain with a VLEK
    /// brings that certificate with it.
    #[must_use]
    pub fn vendors() -> Self {
        let amd = |ark: &[u8], ask: &[u8]| AmdAnchor {
            ark: ark.to_vec(),
            ask: ask.to_vec(),
        };
        Self {
            intel: INTEL.to_vec(),
            amd: vec![
                amd(ARK_MILAN, ASK_MILAN),
                amd(ARK_GENOA, ASK_GENOA),
                amd(ARK_TURIN, ASK_TURIN),
            ],
        }
    }
}

const INTEL: &[u8] = include_bytes!("anchors/intel_sgx_root_ca.der");
const ARK_MILAN: &[u8] = include_bytes!("anchors/ark_milan.der");
const ASK_MILAN: &[u8] = include_bytes!("anchors/ask_milan.der");
const ARK_GENOA: &[u8] = include_bytes!("anchors/ark_genoa.der");
const ASK_GENOA: &[u8] = include_bytes!("anchors/ask_genoa.der");
const ARK_TURIN: &[u8] = include_bytes!("anchors/ark_turin.der");
const ASK_TURIN: &[u8] = include_bytes!("anchors/ask_turin.der");

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};
    use data_encoding::HEXLOWER;

    use super::*;

    /// A file that was swapped is noticed here, and not by whoever trusts it.
    #[test]
    fn the_certificates_are_the_published_ones() {
        for (der, sha256) in [
            (
                INTEL,
                "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3",
            ),
            (
                ARK_MILAN,
                "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
            ),
            (
                ASK_MILAN,
                "67d303bd3905fd38db8b20e0793699870e7fa612eaad5dec358293fd8c0bac1b",
            ),
            (
                ARK_GENOA,
                "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
            ),
            (
                ASK_GENOA,
                "5464738c1546aed5f2cecf1dc98c5c960a92e8913238a61711bc90ec6e828521",
            ),
            (
                ARK_TURIN,
                "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
            ),
            (
                ASK_TURIN,
                "5b77ef5fe7a7a004fd9032668fba9d0fda22f88c4442069a479636a6ae3b3185",
            ),
        ] {
            assert_eq!(HEXLOWER.encode(digest(&SHA256, der).as_ref()), sha256);
        }
    }
}
