//! Certificates as AMD makes them: RSA-PSS with SHA-384 from the root to the key of a chip.
//!
//! Source: AMD, Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification
//! (document 57230). The rules for chains are those of RFC 5280, section 6, as far as there is
//! anything of theirs in these certificates.

use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls_pki_types::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::{FromDer, Ia5String};
use x509_parser::der_parser::{Oid, oid};
use x509_parser::extensions::{ParsedExtension, X509Extension};

use super::error::ChainError;

/// The longest certificate that is looked at, in bytes. AMD's have some 1.6 KB.
const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

const PRODUCT: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.2);
const HARDWARE_ID: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.4);
const OPERATOR: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.5);

/// Bytes of the header of a SEQUENCE of 256 to 65535 bytes.
const HEADER_BYTES: usize = 4;

/// AlgorithmIdentifier of RSASSA-PSS with SHA-384, MGF1 with SHA-384, and a salt of 48 bytes
/// (RFC 4055).
const PSS_SHA384: &[u8] = b"\
    \x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\
    \x30\x34\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa2\x03\x02\x01\x30";

/// The same, with the trailer's number, which is 1 anyway.
const PSS_SHA384_TRAILER: &[u8] = b"\
    \x30\x46\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\
    \x30\x39\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
    \xa2\x03\x02\x01\x30\
    \xa3\x03\x02\x01\x01";

/// Parts of a TCB version, as extensions of a chip's key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Bootloader,
    Tee,
    Snp,
    Microcode,
    Fmc,
}

impl Part {
    fn oid(self) -> Oid<'static> {
        match self {
            Self::Bootloader => oid!(1.3.6.1.4.1.3704.1.3.1),
            Self::Tee => oid!(1.3.6.1.4.1.3704.1.3.2),
            Self::Snp => oid!(1.3.6.1.4.1.3704.1.3.3),
            Self::Microcode => oid!(1.3.6.1.4.1.3704.1.3.8),
            Self::Fmc => oid!(1.3.6.1.4.1.3704.1.3.9),
        }
    }
}

/// A certificate that can be read. Nobody has vouched for it yet.
pub(super) struct Certificate<'a> {
    which: &'static str,
    x509: X509Certificate<'a>,
}

impl<'a> Certificate<'a> {
    pub(super) fn read(which: &'static str, der: &'a [u8]) -> Result<Self, ChainError> {
        let unusable = |why| ChainError::Unusable { which, why };
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(unusable("it is longer than any of AMD's"));
        }
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|_| unusable("it is not DER of X.509"))?;
        if !rest.is_empty() {
            return Err(unusable("something follows it"));
        }
        if !is_signed_with_pss(&x509) {
            return Err(unusable("it is not signed with RSASSA-PSS and SHA-384"));
        }
        if x509.iter_extensions().any(is_critical_and_unknown) {
            return Err(unusable("it has a critical extension that is not known"));
        }
        Ok(Self { which, x509 })
    }

    /// What it is taken for.
    pub(super) fn which(&self) -> &'static str {
        self.which
    }

    /// Whether its issuer has that certificate's name.
    pub(super) fn names(&self, issuer: &Certificate<'_>) -> bool {
        self.x509.issuer().as_raw() == issuer.x509.subject().as_raw()
    }

    /// Whether both are about the same key.
    pub(super) fn has_key_of(&self, other: &Certificate<'_>) -> bool {
        self.x509.public_key().raw == other.x509.public_key().raw
    }

    /// That the owner of `issuer` made this certificate, and may make such.
    pub(super) fn is_issued_by(&self, issuer: &Certificate<'_>) -> Result<(), ChainError> {
        let unusable = |why| ChainError::Unusable {
            which: issuer.which,
            why,
        };
        let constraints = issuer.x509.basic_constraints().ok().flatten();
        if !constraints.is_some_and(|constraints| constraints.value.ca) {
            return Err(unusable("it is not one of an authority"));
        }
        let usage = issuer.x509.key_usage().ok().flatten();
        if !usage.is_some_and(|usage| usage.value.key_cert_sign()) {
            return Err(unusable("its key is not for signing certificates"));
        }
        let signed = self.x509.tbs_certificate.as_ref();
        let signature = &self.x509.signature_value.data;
        if self.names(issuer) && issuer.has_signed(&RSA_PSS_2048_8192_SHA384, signed, signature) {
            Ok(())
        } else {
            Err(ChainError::Signature { which: self.which })
        }
    }

    /// That `now` is in its time. Gives the end of it, in seconds since 1970.
    pub(super) fn is_valid_at(&self, now: UnixTime) -> Result<u64, ChainError> {
        let expired = ChainError::Expired { which: self.which };
        let validity = self.x509.validity();
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).ok();
        match (seconds(validity.not_before), seconds(validity.not_after)) {
            (Some(from), Some(until)) if (from..=until).contains(&now.as_secs()) => Ok(until),
            _ => Err(expired),
        }
    }

    /// Whether its key, which must be one of P-384, made this signature (`r ‖ s`).
    pub(super) fn has_signed_report(&self, report: &[u8], signature: &[u8]) -> bool {
        self.has_signed(&ECDSA_P384_SHA384_FIXED, report, signature)
    }

    fn has_signed(
        &self,
        algorithm: &'static dyn VerificationAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let key = &self.x509.public_key().subject_public_key.data;
        UnparsedPublicKey::new(algorithm, key)
            .verify(message, signature)
            .is_ok()
    }

    /// The only common name of its subject.
    pub(super) fn common_name(&self) -> Option<&str> {
        let mut names = self.x509.subject().iter_common_name();
        let name = names.next()?.as_str().ok()?;
        names.next().is_none().then_some(name)
    }

    /// One part of the TCB version that the key was derived from.
    pub(super) fn part(&self, part: Part) -> Result<Option<u8>, ChainError> {
        let Some(value) = self.extension(&part.oid())? else {
            return Ok(None);
        };
        let part = u8::from_der(value).ok();
        let part = part.filter(|(rest, _)| rest.is_empty());
        part.map(|(_, part)| Some(part))
            .ok_or_else(|| self.unusable("a part of its TCB version is not a byte"))
    }

    /// Identifier of the chip, not wrapped into anything: 64 bytes, or 8 from Turin on.
    pub(super) fn hardware_id(&self) -> Result<Option<&[u8]>, ChainError> {
        self.extension(&HARDWARE_ID)
    }

    /// The product's name, without its stepping: `Milan` for `Milan-B0`.
    pub(super) fn product(&self) -> Result<Option<String>, ChainError> {
        let name = self.text(&PRODUCT)?;
        Ok(name.map(|name| name.split('-').next().unwrap_or_default().to_owned()))
    }

    /// Operator of the cloud that a VLEK is for.
    pub(super) fn operator(&self) -> Result<Option<String>, ChainError> {
        self.text(&OPERATOR)
    }

    fn text(&self, oid: &Oid<'_>) -> Result<Option<String>, ChainError> {
        let Some(value) = self.extension(oid)? else {
            return Ok(None);
        };
        let text = Ia5String::from_der(value).ok();
        let text = text.filter(|(rest, _)| rest.is_empty());
        text.map(|(_, text)| Some(text.as_ref().to_owned()))
            .ok_or_else(|| self.unusable("a name in it is not text"))
    }

    fn extension(&self, oid: &Oid<'_>) -> Result<Option<&[u8]>, ChainError> {
        let extension = self.x509.get_extension_unique(oid);
        let extension = extension.map_err(|_| self.unusable("it says something twice"))?;
        Ok(extension.map(|extension| extension.value))
    }

    fn unusable(&self, why: &'static str) -> ChainError {
        ChainError::Unusable {
            which: self.which,
            why,
        }
    }
}

/// Whether the certificate says that it is signed with the only algorithm of AMD's, in the two ways
/// that AMD writes it. What the signature does not cover is held against bytes, so that there is
/// nothing in a certificate that could be something else.
fn is_signed_with_pss(x509: &X509Certificate<'_>) -> bool {
    let inner = &x509.tbs_certificate.signature;
    let signature = &x509.signature_value.data;
    let whole = x509.as_raw();
    let Some(unsigned) = whole.get(HEADER_BYTES + x509.tbs_certificate.as_ref().len()..) else {
        return false;
    };
    // A BIT STRING of more than 255 bytes, the first of which says that the last is a whole one.
    let [.., high, low] = (signature.len() + 1).to_be_bytes();
    let header = [0x03, 0x82, high, low, 0];
    let is_whole = |algorithm: &[u8]| {
        let rest = unsigned.strip_prefix(algorithm);
        let rest = rest.and_then(|rest| rest.strip_prefix(&header));
        rest == Some(signature)
    };
    let is_written = is_whole(PSS_SHA384) || is_whole(PSS_SHA384_TRAILER);
    is_written && *inner == x509.signature_algorithm
}

/// RFC 5280, section 4.2: such a certificate is refused.
fn is_critical_and_unknown(extension: &X509Extension<'_>) -> bool {
    let is_known = matches!(
        extension.parsed_extension(),
        ParsedExtension::BasicConstraints(_) | ParsedExtension::KeyUsage(_)
    );
    extension.critical && !is_known
}
