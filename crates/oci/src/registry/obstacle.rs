//! What stands between us and a registry that does not answer, as far as it says what to change.

use std::error::Error;
use std::io;

use super::RegistryError;

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// The server shows an authority's certificate as its own.
    Authority,
    /// Its certificate is not trusted, for another name, or for another day.
    Certificate,
    /// It speaks no TLS.
    NoTls,
}

impl RegistryError {
    /// What stood in the way, if that is known.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        let Self::Network { source, .. } = self else {
            return None;
        };
        let first: &(dyn Error + 'static) = source;
        let mut errors = std::iter::successors(Some(first), |&error| beneath(error));
        errors.find_map(|error| match error.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(why) => Some(certificate(why)),
            rustls::Error::InvalidMessage(_) => Some(Obstacle::NoTls),
            _ => None,
        })
    }
}

/// Of what is wrong with an authority as a server, webpki has a word and rustls has none.
fn certificate(why: &rustls::CertificateError) -> Obstacle {
    match format!("{why:?}").contains("CaUsedAsEndEntity") {
        true => Obstacle::Authority,
        false => Obstacle::Certificate,
    }
}

/// The error below this one. An I/O error made from another does not name that one as its source,
/// but that one's source.
fn beneath<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match inner {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
