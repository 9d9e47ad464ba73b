//! HKDF-SHA256 (RFC 5869) in the one shape used here.

use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

/// `HKDF(ikm, salt, info, N)`; `info` is given in parts that are joined.
pub(crate) fn hkdf<const N: usize>(ikm: &[u8], salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(ikm)
        .expand(info, Length(N))
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("at most 32 bytes are asked for, far below HKDF's limit of 8160");
    out
}

#[derive(Clone, Copy)]
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
