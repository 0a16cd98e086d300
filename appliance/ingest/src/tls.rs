//! The certificate of RTMPS, from PEM files that are reloaded when they change: a renewed certificate is
//! used from the next connection on, and a bad one keeps the old one.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use nodi_daemon::watch::{Look, WatchedFile};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("certificate {path}: {source}")]
    Certificate { path: PathBuf, source: pem::Error },
    #[error("certificate {path}: no certificate in it")]
    NoCertificate { path: PathBuf },
    #[error("private key {path}: {source}")]
    PrivateKey { path: PathBuf, source: pem::Error },
    #[error("certificate and private key: {0}")]
    Tls(#[from] rustls::Error),
}

/// What connections are answered with now.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The two files and the certificate made of them.
#[derive(Debug)]
pub struct Certificate {
    chain: WatchedFile,
    private_key: WatchedFile,
    chain_pem: Vec<u8>,
    private_key_pem: Vec<u8>,
    current: Arc<Current>,
}

impl Certificate {
    /// # Errors
    /// When a file cannot be read or holds something else, or the two do not belong together.
    pub fn load(config: &config::Rtmps) -> Result<Self, Error> {
        let mut chain = WatchedFile::new(&config.certificate);
        let mut private_key = WatchedFile::new(&config.private_key);
        let chain_pem = first_look(&mut chain)?;
        let private_key_pem = first_look(&mut private_key)?;
        let certified = certify(&chain, &chain_pem, &private_key, &private_key_pem)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(certified))));
        Ok(Self { chain, private_key, chain_pem, private_key_pem, current })
    }

    /// The TLS side of a listener; it follows every [`refresh`](Self::refresh).
    ///
    /// # Errors
    /// When no crypto provider is installed.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Current>::clone(&self.current);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        Ok(Arc::new(config))
    }

    /// Looks at the files and takes a new certificate over, if it is good. Blocks for a short read.
    pub fn refresh(&mut self) {
        let chain = follow(&mut self.chain, &mut self.chain_pem);
        let private_key = follow(&mut self.private_key, &mut self.private_key_pem);
        if !(chain || private_key) {
            return;
        }
        match certify(&self.chain, &self.chain_pem, &self.private_key, &self.private_key_pem) {
            Ok(certified) => {
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
                log::info!(path:% = self.chain.path().display(); "new RTMPS certificate in use");
            }
            // Also the moment between the replacement of the one file and of the other.
            Err(error) => {
                log::error!(error:%; "the new RTMPS certificate is unusable; the old one stays in use");
            }
        }
    }
}

fn first_look(file: &mut WatchedFile) -> Result<Vec<u8>, Error> {
    let read = match file.look() {
        Look::Changed(contents) => return Ok(contents),
        Look::Failed(source) => source,
        Look::Missing | Look::Same => std::io::ErrorKind::NotFound.into(),
    };
    Err(Error::Read { path: file.path().to_owned(), source: read })
}

/// Whether there is something new in `pem`.
fn follow(file: &mut WatchedFile, pem: &mut Vec<u8>) -> bool {
    match file.look() {
        Look::Same => false,
        Look::Changed(contents) => {
            *pem = contents;
            true
        }
        Look::Missing => {
            log::warn!(path:% = file.path().display(); "file is gone; the RTMPS certificate stays in use");
            false
        }
        Look::Failed(error) => {
            log::error!(path:% = file.path().display(), error:%;
                "cannot read the file; the RTMPS certificate stays in use");
            false
        }
    }
}

fn certify(
    chain: &WatchedFile,
    chain_pem: &[u8],
    private_key: &WatchedFile,
    private_key_pem: &[u8],
) -> Result<CertifiedKey, Error> {
    let certificates = CertificateDer::pem_slice_iter(chain_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Error::Certificate { path: chain.path().to_owned(), source })?;
    if certificates.is_empty() {
        return Err(Error::NoCertificate { path: chain.path().to_owned() });
    }
    let key = PrivateKeyDer::from_pem_slice(private_key_pem)
        .map_err(|source| Error::PrivateKey { path: private_key.path().to_owned(), source })?;
    // Also checks that the two belong together.
    Ok(CertifiedKey::from_der(certificates, key, &rustls::crypto::ring::default_provider())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &std::path::Path, name: &str) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        std::fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().to_vec()
    }

    fn in_use(certificate: &Certificate) -> Vec<u8> {
        certificate.current.0.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn a_good_new_certificate_is_taken_and_a_bad_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let config = config::Rtmps {
            listen: "127.0.0.1:0".parse().unwrap(),
            certificate: directory.path().join("cert.pem"),
            private_key: directory.path().join("key.pem"),
        };
        assert!(matches!(Certificate::load(&config), Err(Error::Read { .. })));
        let first = write(directory.path(), "one.example");
        let mut certificate = Certificate::load(&config).unwrap();
        assert_eq!(in_use(&certificate), first);

        let second = write(directory.path(), "two.example");
        certificate.refresh();
        assert_eq!(in_use(&certificate), second);

        std::fs::write(&config.certificate, "nonsense").unwrap();
        certificate.refresh();
        assert_eq!(in_use(&certificate), second);

        // The new certificate without its key, then the key.
        let made = rcgen::generate_simple_self_signed(vec!["three.example".to_owned()]).unwrap();
        std::fs::write(&config.certificate, made.cert.pem()).unwrap();
        certificate.refresh();
        assert_eq!(in_use(&certificate), second);
        std::fs::write(&config.private_key, made.signing_key.serialize_pem()).unwrap();
        certificate.refresh();
        assert_eq!(in_use(&certificate), made.cert.der().to_vec());
    }
}
