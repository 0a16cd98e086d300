//! The certificate of this server: from files that are read again when they change, or from the fleet's own authority,
//! made anew in time.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::ca::{self, Authority};
use crate::clock::{Clock, millis};
use crate::config::Tls;

/// How often files are looked at. Who renews certificates does it weeks ahead.
const LOOK: Duration = Duration::from_secs(10);
/// Of a certificate of our own authority.
const VALIDITY: Duration = Duration::from_secs(90 * 86_400);
/// At two thirds of it the next is made.
const RENEW: Duration = Duration::from_secs(60 * 86_400);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{}: no certificate in it", .0.display())]
    Empty(PathBuf),
    #[error("the certificate and its key: {0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    Authority(#[from] ca::Error),
    #[error("the key of a new certificate: {0}")]
    Own(rustls::pki_types::pem::Error),
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Where the certificate comes from.
pub enum Source {
    Files { certificate: PathBuf, private_key: PathBuf },
    Authority { authority: Arc<Authority>, names: Vec<String>, clock: Clock },
}

impl Source {
    /// `public_url` names the host that a certificate of our own authority is for, beside the configured names.
    #[must_use]
    pub fn new(tls: &Tls, public_url: &str, authority: Arc<Authority>, clock: Clock) -> Self {
        if let (Some(certificate), Some(private_key)) = (&tls.certificate, &tls.private_key) {
            return Self::Files { certificate: certificate.clone(), private_key: private_key.clone() };
        }
        let mut names: Vec<String> = host_of(public_url).into_iter().collect();
        for name in &tls.names {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Self::Authority { authority, names, clock }
    }

    fn load(&self) -> Result<ServerConfig, Error> {
        let (chain, key) = match self {
            Self::Files { certificate, private_key } => from_files(certificate, private_key)?,
            Self::Authority { authority, names, clock } => {
                let identity = authority.issue_server(names, VALIDITY, clock.unix_ms())?;
                let certificate = CertificateDer::from_pem_slice(identity.certificate.pem.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
                (vec![certificate.map_err(Error::Own)?], key.map_err(Error::Own)?)
            }
        };
        let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The certificate as it is now, and the task that keeps it so.
    ///
    /// # Errors
    /// When there is none to begin with.
    pub fn follow(
        self,
    ) -> Result<(watch::Receiver<Arc<ServerConfig>>, impl Future<Output = ()> + Send + 'static), Error> {
        let (sender, receiver) = watch::channel(Arc::new(self.load()?));
        let mut seen = self.version();
        let task = async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let now = self.version();
                if now == seen {
                    continue;
                }
                seen = now;
                match self.load() {
                    Ok(config) => {
                        sender.send_replace(Arc::new(config));
                        log::info!("server certificate: there is a new one");
                    }
                    Err(error) => log::warn!("server certificate: still using the previous one: {error}"),
                }
            }
        };
        Ok((receiver, task))
    }

    /// Changes when there is a new certificate to be had.
    fn version(&self) -> Vec<Option<(u64, u64, i64, i64)>> {
        match self {
            Self::Files { certificate, private_key } => {
                [certificate, private_key].map(|path| stamp(path)).to_vec()
            }
            Self::Authority { clock, .. } => vec![Some((0, 0, clock.unix_ms() / millis(RENEW), 0))],
        }
    }
}

fn stamp(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

fn from_files(certificate: &Path, private_key: &Path) -> Result<Chain, Error> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(private_key)
        .map_err(|source| Error::Pem { path: private_key.to_owned(), source })?;
    Ok((chain, key))
}

/// All certificates of a PEM file; at least one.
///
/// # Errors
/// When the file cannot be read, or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| Error::Pem { path: path.to_owned(), source })?;
    if chain.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(chain) }
}

/// The host of a URL, without brackets and port.
#[must_use]
pub fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_what_a_certificate_names() {
        for (url, host) in [
            ("https://fleet.example", "fleet.example"),
            ("https://fleet.example:8443", "fleet.example"),
            ("http://127.0.0.1:1/x", "127.0.0.1"),
            ("https://[::1]:2", "::1"),
        ] {
            assert_eq!(host_of(url).as_deref(), Some(host));
        }
        assert_eq!(host_of("https://"), None);
    }
}
