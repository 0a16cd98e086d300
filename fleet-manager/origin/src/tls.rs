//! TLS from files: certificate, key and the authority that clients must have a certificate of.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The files of one listener.
#[derive(Debug, Clone)]
pub struct Files {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// `Some`: clients without a certificate of it are refused in the handshake.
    pub client_ca: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{}: no certificate in it", .0.display())]
    Empty(PathBuf),
    #[error("{}: {source}", path.display())]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("{}: {source}", path.display())]
    Verifier { path: PathBuf, source: rustls::server::VerifierBuilderError },
    #[error("{} with {}: {source}", certificate.display(), private_key.display())]
    Certificate { certificate: PathBuf, private_key: PathBuf, source: rustls::Error },
}

impl Files {
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.certificate.clone(), self.private_key.clone()];
        paths.extend(self.client_ca.clone());
        paths
    }

    /// # Errors
    /// Which file is unusable, and why.
    pub fn load(&self) -> Result<ServerConfig, Error> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.private_key)
            .map_err(|source| Error::Pem { path: self.private_key.clone(), source })?;
        let builder = match &self.client_ca {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots
                        .add(certificate)
                        .map_err(|source| Error::Authority { path: path.clone(), source })?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                    .build()
                    .map_err(|source| Error::Verifier { path: path.clone(), source })?;
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|source| Error::Certificate {
            certificate: self.certificate.clone(),
            private_key: self.private_key.clone(),
            source,
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| Error::Pem { path: path.to_owned(), source })?;
    if chain.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(chain) }
}

/// The common name of the client's certificate: the box's id.
#[must_use]
pub fn peer_name(connection: &ServerConnection) -> Option<String> {
    common_name(connection.peer_certificates()?.first()?)
}

pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    // It goes into log lines.
    Some(name.chars().filter(|char| !char.is_control()).take(64).collect())
}
