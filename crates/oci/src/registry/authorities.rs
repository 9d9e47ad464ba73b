//! Whom to trust besides the authorities that the system trusts.

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject as _};

/// Certificate authorities, at least one, each of which TLS can use.
#[derive(Clone, Debug)]
pub struct Authorities(Vec<Certificate>);

/// Why a file has no certificate authorities.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthoritiesError {
    /// There is none in it.
    #[error("there is no certificate in it: it has to be PEM, with BEGIN CERTIFICATE")]
    None,
    /// It is no PEM.
    #[error("it is no PEM: {0}")]
    Pem(pem::Error),
    /// A certificate in it is damaged.
    #[error("certificate {number} in it is damaged: {why}")]
    Damaged {
        /// Which, from 1.
        number: usize,
        /// What is wrong with it.
        why: rustls::Error,
    },
}

impl Authorities {
    /// Reads a PEM file.
    ///
    /// # Errors
    ///
    /// [`AuthoritiesError`].
    pub fn from_pem(file: &[u8]) -> Result<Self, AuthoritiesError> {
        let mut all = Vec::new();
        for (index, found) in CertificateDer::pem_slice_iter(file).enumerate() {
            let found = found.map_err(AuthoritiesError::Pem)?;
            all.push(usable(&found).map_err(|why| AuthoritiesError::Damaged {
                number: index + 1,
                why,
            })?);
        }
        match all.is_empty() {
            true => Err(AuthoritiesError::None),
            false => Ok(Self(all)),
        }
    }

    pub(super) fn all(&self) -> &[Certificate] {
        &self.0
    }
}

/// A certificate that TLS takes as an authority: the client is made when it is first needed, which
/// is late for being told.
fn usable(found: &CertificateDer<'_>) -> Result<Certificate, rustls::Error> {
    RootCertStore::empty().add(found.clone())?;
    Certificate::from_der(found).map_err(|error| rustls::Error::General(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(file: &str) -> String {
        match Authorities::from_pem(file.as_bytes()) {
            Ok(authorities) => format!("{}", authorities.all().len()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_file_without_authorities_says_what_is_wrong_with_it() {
        let key = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]);
        let one = key.expect("it can be made").cert.pem();
        assert_eq!(said(&one), "1");
        assert_eq!(said(&format!("{one}{one}")), "2");
        assert!(said("").starts_with("there is no certificate in it"));
        assert!(said("words").starts_with("there is no certificate in it"));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let second = said(&format!("{one}{garbage}"));
        assert!(
            second.starts_with("certificate 2 in it is damaged"),
            "{second}"
        );
        let open = said("-----BEGIN CERTIFICATE-----\nAAAA\n");
        assert!(open.starts_with("it is no PEM"), "{open}");
    }
}
