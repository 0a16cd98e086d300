//! The lab's own certificate authority, with the certificates that boxes and origins need.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::{Error, io};

/// Signs certificates; its own one is in `<dir>/ca.pem`.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// Paths of one certificate and its key, both PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// A new authority for each lab: nothing trusts it longer than the lab lives.
    ///
    /// # Errors
    /// When key generation or writing fails.
    pub fn create(dir: &Path, name: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(io(format!("creating {}", dir.display())))?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let path = dir.join("ca.pem");
        std::fs::write(&path, certificate.pem()).map_err(io(format!("writing {}", path.display())))?;
        Ok(Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// For a server on loopback.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn server(&self, name: &str) -> Result<Identity, Error> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        self.issue(name, &names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a box: its common name is the box id.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn client(&self, name: &str) -> Result<Identity, Error> {
        self.issue(name, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        name: &str,
        subjects: &[String],
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity, Error> {
        let mut params = CertificateParams::new(subjects)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let identity = Identity {
            certificate: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        };
        std::fs::write(&identity.certificate, certificate.pem())
            .map_err(io(format!("writing {}", identity.certificate.display())))?;
        std::fs::write(&identity.key, key.serialize_pem())
            .map_err(io(format!("writing {}", identity.key.display())))?;
        Ok(identity)
    }
}
