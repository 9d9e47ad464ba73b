//! TLS to a broker: extra roots, a client certificate, and, if somebody insists, no verification.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rumqttc_v5::TlsConfiguration;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Certificates and keys, as PEM files.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    /// Roots to trust instead of the system's.
    pub ca_cert: Option<PathBuf>,
    /// Our certificate, with its chain.
    pub client_cert: Option<PathBuf>,
    /// The key of our certificate.
    pub client_key: Option<PathBuf>,
    /// Accept any certificate. The broker is not trusted with anything but its own name, so this
    /// costs the protection of that name.
    pub insecure_skip_verify: bool,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that cannot be read or is not PEM.
    #[error("cannot read {path}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: rustls::pki_types::pem::Error,
    },
    /// A certificate without its key or a key without its certificate.
    #[error("a client certificate and its key must be given together")]
    HalfAnIdentity,
    /// What rustls says.
    #[error("the certificate or key cannot be used")]
    Rustls(#[from] rustls::Error),
    /// The system has no roots.
    #[error("the system has no root certificates; name a file with MQTT_TLS_CA_CERT")]
    NoRoots(#[source] io::Error),
}

impl TlsFiles {
    /// The configuration for the MQTT client.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(super) fn configuration(&self) -> Result<TlsConfiguration, TlsError> {
        let builder = ClientConfig::builder();
        let builder = if self.insecure_skip_verify {
            builder
                .dangerous()
                .with_custom_certificate_verifier(danger::AcceptAny::new())
        } else {
            builder.with_root_certificates(self.roots()?)
        };
        let config = match (&self.client_cert, &self.client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                builder.with_client_auth_cert(certificates(cert)?, private_key(key)?)?
            }
            _ => return Err(TlsError::HalfAnIdentity),
        };
        Ok(TlsConfiguration::Rustls(Arc::new(config)))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca_cert {
            for cert in certificates(path)? {
                roots.add(cert)?;
            }
            return Ok(roots);
        }
        let system = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(system.certs);
        if added == 0 {
            let cause = system
                .errors
                .first()
                .map_or_else(|| "none found".to_owned(), ToString::to_string);
            return Err(TlsError::NoRoots(io::Error::other(cause)));
        }
        Ok(roots)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|cause| TlsError::Pem {
            path: path.to_owned(),
            cause,
        })
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|cause| TlsError::Pem {
        path: path.to_owned(),
        cause,
    })
}

/// What a reviewer should look at twice.
mod danger {
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{
        CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    };
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    /// Accepts any certificate, and still checks that the peer holds its key.
    #[derive(Debug)]
    pub(super) struct AcceptAny(CryptoProvider);

    impl AcceptAny {
        pub(super) fn new() -> Arc<Self> {
            Arc::new(Self(aws_lc_rs::default_provider()))
        }
    }

    impl ServerCertVerifier for AcceptAny {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(
                message,
                cert,
                dss,
                &self.0.signature_verification_algorithms,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(
                message,
                cert,
                dss,
                &self.0.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
