//! The authority's directory.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Error;
use super::issue::date;
use crate::clock::millis;

/// Of the authority's own certificate: longer than a fleet's hardware lives, since replacing it means visiting boxes.
const VALIDITY: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Before it is made: a box's clock may be behind.
const BACKDATE: Duration = Duration::from_secs(24 * 3600);
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    not_after_ms: i64,
}

impl Authority {
    /// A new one in `dir`, which is made when missing. An existing one is never replaced.
    ///
    /// # Errors
    /// When there is one already, or it cannot be written.
    pub fn create(dir: &Path, name: &str, now_ms: i64) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.to_owned(), source })?;
        let certificate_path = dir.join(CERTIFICATE);
        if certificate_path.exists() {
            return Err(Error::Exists(certificate_path));
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date(now_ms - millis(BACKDATE))?;
        params.not_after = date(now_ms + millis(VALIDITY))?;
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        // The key first: a certificate without its key would look like an authority.
        write_new(&dir.join(KEY), 0o600, key.serialize_pem().as_bytes())?;
        write_new(&certificate_path, 0o644, certificate.pem().as_bytes())?;
        Self::load(dir)
    }

    /// # Errors
    /// When there is none in `dir`, or it is unusable.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|source| Error::Io { path, source })
        };
        let (certificate_pem, key_pem) = (read(CERTIFICATE)?, read(KEY)?);
        let unusable = |name: &str, reason: String| Error::Unusable { path: dir.join(name), reason };
        let key = KeyPair::from_pem(&key_pem).map_err(|error| unusable(KEY, error.to_string()))?;
        let (_, pem) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes())
            .map_err(|error| unusable(CERTIFICATE, error.to_string()))?;
        let (_, certificate) = X509Certificate::from_der(&pem.contents)
            .map_err(|error| unusable(CERTIFICATE, error.to_string()))?;
        if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(unusable(KEY, format!("it is not the key of {CERTIFICATE}")));
        }
        let not_after_ms = certificate.validity().not_after.timestamp().saturating_mul(1_000);
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)
            .map_err(|error| unusable(CERTIFICATE, error.to_string()))?;
        Ok(Self { issuer, certificate_pem, not_after_ms })
    }

    /// Whether there is one in `dir`.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        dir.join(CERTIFICATE).exists()
    }

    /// What boxes, broker and origins trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// End of its own certificate; none that it signs is good for longer.
    #[must_use]
    pub fn not_after_ms(&self) -> i64 {
        self.not_after_ms
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.sync_all().map_err(io)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use x509_parser::prelude::ParsedExtension;

    use super::super::{BOX_VALIDITY, PublicKey, Revoked};
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn parsed(pem: &str, look: impl FnOnce(&X509Certificate<'_>)) {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let (_, certificate) = X509Certificate::from_der(&pem.contents).unwrap();
        look(&certificate);
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let made = Authority::create(dir.path(), "Test fleet", NOW).unwrap();
        assert_eq!(fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Authority::create(dir.path(), "Again", NOW), Err(Error::Exists(_))));
        let loaded = Authority::load(dir.path()).unwrap();
        assert_eq!(loaded.certificate_pem(), made.certificate_pem());
        assert_eq!(loaded.not_after_ms(), NOW + millis(VALIDITY));
        fs::write(dir.path().join(KEY), KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(matches!(Authority::load(dir.path()), Err(Error::Unusable { .. })));
    }

    #[test]
    fn a_box_certificate_is_for_that_box_as_a_client() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), "Test fleet", NOW).unwrap();
        let key = KeyPair::generate().unwrap();
        let public = PublicKey::from_bytes(key.public_key_raw()).unwrap();
        let first = authority.issue_box(&public, BOX_VALIDITY, NOW).unwrap();
        let second = authority.issue_box(&public, BOX_VALIDITY, NOW).unwrap();
        assert_ne!(first.serial, second.serial);
        assert_eq!(first.not_after_ms, NOW + millis(BOX_VALIDITY));
        parsed(authority.certificate_pem(), |ca| {
            parsed(&first.pem, |leaf| {
                let names: Vec<_> =
                    leaf.subject().iter_common_name().map(|name| name.as_str().unwrap()).collect();
                assert_eq!(names, [public.box_id().as_str()]);
                assert_eq!(leaf.raw_serial(), first.serial);
                assert_eq!(leaf.validity().not_after.timestamp() * 1_000, first.not_after_ms);
                leaf.verify_signature(Some(ca.public_key())).unwrap();
                let usage = leaf.extended_key_usage().unwrap().unwrap().value;
                assert!(usage.client_auth && !usage.server_auth);
                assert!(!leaf.is_ca());
                assert!(leaf.subject_alternative_name().unwrap().is_none());
            });
        });
    }

    #[test]
    fn a_server_certificate_names_its_hosts() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), "Test fleet", NOW).unwrap();
        let names = ["broker.example".to_owned(), "127.0.0.1".to_owned()];
        let identity = authority.issue_server(&names, Duration::from_secs(60), NOW).unwrap();
        parsed(&identity.certificate.pem, |leaf| {
            assert_eq!(leaf.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
            let usage = leaf.extended_key_usage().unwrap().unwrap().value;
            assert!(usage.server_auth && !usage.client_auth);
        });
        for bad in ["", "a b", "x/y"] {
            let refused = authority.issue_server(&[bad.to_owned()], Duration::from_secs(60), NOW);
            assert!(matches!(refused, Err(Error::BadName(_))), "{bad:?}");
        }
    }

    #[test]
    fn nothing_outlives_the_authority() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), "Test fleet", NOW).unwrap();
        let end = authority.not_after_ms();
        let late = authority.issue_client("x", BOX_VALIDITY, end - 1_000).unwrap();
        assert_eq!(late.certificate.not_after_ms, end);
        assert!(matches!(authority.issue_client("x", BOX_VALIDITY, end), Err(Error::Ended)));
    }

    #[test]
    fn the_revocation_list_names_serials_and_does_not_end_before_the_authority() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), "Test fleet", NOW).unwrap();
        let revoked = authority.issue_client("box-a", BOX_VALIDITY, NOW).unwrap().certificate;
        let list = [Revoked { serial: revoked.serial, at_ms: NOW }];
        for (list, number) in [(&list[..], 7), (&[], 8)] {
            let pem = authority.revocation_list(list, number, NOW).unwrap();
            let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
            let (_, crl) =
                x509_parser::revocation_list::CertificateRevocationList::from_der(&pem.contents).unwrap();
            let serials: Vec<_> =
                crl.iter_revoked_certificates().map(|one| one.raw_serial().to_vec()).collect();
            assert_eq!(serials, list.iter().map(|one| one.serial.clone()).collect::<Vec<_>>());
            assert_eq!(crl.next_update().unwrap().timestamp() * 1_000, authority.not_after_ms());
            assert!(crl.extensions().iter().any(|extension| matches!(
                extension.parsed_extension(),
                ParsedExtension::CRLNumber(n) if *n == number.into()
            )));
        }
    }
}
