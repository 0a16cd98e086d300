//! TLS from files.

use std::path::PathBuf;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Tls;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{}: no certificate in it", .0.display())]
    Empty(PathBuf),
    #[error("{} with {}: {source}", certificate.display(), private_key.display())]
    Certificate { certificate: PathBuf, private_key: PathBuf, source: rustls::Error },
}

/// # Errors
/// Which file is unusable, and why.
pub fn load(files: &Tls) -> Result<ServerConfig, Error> {
    let pem = |path: &PathBuf, source| Error::Pem { path: path.clone(), source };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| pem(&files.certificate, source))?;
    if chain.is_empty() {
        return Err(Error::Empty(files.certificate.clone()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.private_key).map_err(|source| pem(&files.private_key, source))?;
    let mut config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).map_err(|source| {
            Error::Certificate {
                certificate: files.certificate.clone(),
                private_key: files.private_key.clone(),
                source,
            }
        })?;
    // A WebSocket over HTTP/2 (RFC 8441) would share one connection, and its buffers, with others.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
