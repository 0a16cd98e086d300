//! Who this box is: a key that it made itself and never shows, and what the fleet said to it.

mod enrol;
mod renew;

use std::path::{Path, PathBuf};

use nodi_protocol::BoxId;
use nodi_protocol::enrol::{Broker, Enrolled, Renewed, box_id};
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use crate::files;

pub(crate) use enrol::{enrol, load as provisioning};
pub(crate) use renew::{Schedule, renew};

/// Only this process reads the key. Others that need it get it from systemd as a credential.
const KEY_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

/// Why the box has no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("key {path}: {source}")]
    Key { path: PathBuf, source: rcgen::Error },
    #[error("request for a certificate: {0}")]
    Request(rcgen::Error),
    #[error("{path}: {source}")]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("certificate: {0}")]
    Certificate(String),
}

/// Where the parts of the identity are, for other processes of the box. Certificate and authority are replaced when
/// they are renewed; the key stays for ever.
#[derive(Debug, Clone)]
pub struct Files {
    pub key: PathBuf,
    pub certificate: PathBuf,
    pub ca: PathBuf,
    /// Everything that the fleet answered to the enrolment; the other two are made from it.
    enrolled: PathBuf,
}

impl Files {
    fn below(directory: &Path) -> Self {
        Self {
            key: directory.join("key.pem"),
            certificate: directory.join("certificate.pem"),
            ca: directory.join("ca.pem"),
            enrolled: directory.join("enrolled.json"),
        }
    }
}

/// The box's key, and the id that follows from it.
#[derive(Debug)]
pub struct Identity {
    pub box_id: BoxId,
    pub files: Files,
    key: KeyPair,
}

impl Identity {
    /// Reads the key below `directory`, or makes one at first boot.
    ///
    /// # Errors
    /// When it cannot be read, or not be written.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let files = Files::below(directory);
        let key_error = |source| Error::Key { path: files.key.clone(), source };
        let key = match std::fs::read_to_string(&files.key) {
            Ok(pem) => KeyPair::from_pem(&pem).map_err(key_error)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(key_error)?;
                std::fs::create_dir_all(directory)
                    .and_then(|()| files::replace(&files.key, key.serialize_pem().as_bytes(), KEY_MODE))
                    .map_err(|source| Error::File { path: files.key.clone(), source })?;
                log::info!("made a key for this box");
                key
            }
            Err(source) => return Err(Error::File { path: files.key, source }),
        };
        let box_id = box_id(&Sha256::digest(key.subject_public_key_info()).into());
        Ok(Self { box_id, files, key })
    }

    /// A request for a certificate, PEM.
    pub(crate) fn request(&self) -> Result<String, Error> {
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(Error::Request)?;
        params.distinguished_name.push(DnType::CommonName, self.box_id.as_str());
        params.serialize_request(&self.key).and_then(|request| request.pem()).map_err(Error::Request)
    }

    /// What the fleet answered, if it did already. One that was meant for another key is not taken.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn enrolled(&self) -> Result<Option<Enrolled>, Error> {
        let path = &self.files.enrolled;
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { path: path.clone(), source }),
        };
        let enrolled: Enrolled =
            serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.clone(), source })?;
        if enrolled.box_id != self.box_id {
            log::error!(enrolled:% = enrolled.box_id, own:% = self.box_id; "enrolled with another key: once more");
            return Ok(None);
        }
        self.publish(&enrolled)?;
        Ok(Some(enrolled))
    }

    /// Keeps what the fleet answered. On disk when this returns.
    ///
    /// # Errors
    /// When it is not usable or cannot be written.
    pub(crate) fn keep(&self, enrolled: &Enrolled) -> Result<(), Error> {
        if enrolled.box_id != self.box_id {
            return Err(Error::Certificate(format!("is for {}, not for {}", enrolled.box_id, self.box_id)));
        }
        Validity::of(&enrolled.certificate_pem)?;
        self.chain_and_key(enrolled)?;
        let json = serde_json::to_vec(enrolled)
            .map_err(|source| Error::Json { path: self.files.enrolled.clone(), source })?;
        files::replace(&self.files.enrolled, &json, PUBLIC_MODE)
            .map_err(|source| Error::File { path: self.files.enrolled.clone(), source })?;
        self.publish(enrolled)
    }

    /// The two files that other processes read.
    fn publish(&self, enrolled: &Enrolled) -> Result<(), Error> {
        for (path, pem) in
            [(&self.files.ca, &enrolled.ca_pem), (&self.files.certificate, &enrolled.certificate_pem)]
        {
            files::replace_if_other(path, pem.as_bytes(), PUBLIC_MODE)
                .map_err(|source| Error::File { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// For TLS.
    pub(crate) fn chain_and_key(
        &self,
        enrolled: &Enrolled,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let chain = CertificateDer::pem_slice_iter(enrolled.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::Certificate(error.to_string()))?;
        if chain.is_empty() {
            return Err(Error::Certificate("there is none in the answer".to_owned()));
        }
        let key = PrivateKeyDer::try_from(self.key.serialize_der())
            .map_err(|error| Error::Certificate(error.to_owned()))?;
        Ok((chain, key))
    }
}

/// What a renewal changes.
pub(crate) fn renewed(old: &Enrolled, new: Renewed) -> Enrolled {
    let Renewed { certificate_pem, ca_pem, broker: Broker { host, port } } = new;
    Enrolled { box_id: old.box_id.clone(), certificate_pem, ca_pem, broker: Broker { host, port } }
}

/// When a certificate is valid, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub not_before_ms: u64,
    pub not_after_ms: u64,
}

impl Validity {
    /// Of the first certificate in `pem`.
    pub(crate) fn of(pem: &str) -> Result<Self, Error> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| Error::Certificate(error.to_string()))?;
        Self::of_der(&der)
    }

    pub(crate) fn of_der(der: &CertificateDer<'_>) -> Result<Self, Error> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der)
            .map_err(|error| Error::Certificate(error.to_string()))?;
        let validity = certificate.validity();
        let ms = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or(0) * 1000;
        Ok(Self { not_before_ms: ms(validity.not_before), not_after_ms: ms(validity.not_after) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_box_keeps_its_key_and_its_id() {
        let directory = tempfile::tempdir().unwrap();
        let identity = directory.path().join("identity");
        let first = Identity::open(&identity).unwrap();
        let again = Identity::open(&identity).unwrap();
        assert_eq!(first.box_id, again.box_id);
        let mode = std::fs::metadata(&first.files.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(first.request().unwrap().starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
        assert!(first.enrolled().unwrap().is_none());
        let other = Identity::open(directory.path()).unwrap();
        assert_ne!(first.box_id, other.box_id);
    }
}
