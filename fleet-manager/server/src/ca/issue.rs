//! What the authority signs.

use std::time::Duration;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, RevocationReason, RevokedCertParams,
    SerialNumber,
};
use time::OffsetDateTime;

use super::{Authority, Error, PublicKey};
use crate::clock::millis;

/// Of a box's certificate. The box asks for the next at two thirds of it.
pub const BOX_VALIDITY: Duration = Duration::from_secs(90 * 24 * 3600);
/// Certificates begin so much before they are made: the clocks of those who check them differ.
const BACKDATE: Duration = Duration::from_secs(3600);
/// Common name of the fleet server's own certificate, and so its name at the broker. No box can have it: theirs begin
/// with `box-`.
pub const FLEET_NAME: &str = "nodi-fleet";
const SERIAL_BYTES: usize = 16;

/// One that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub pem: String,
    pub serial: Vec<u8>,
    pub not_before_ms: i64,
    pub not_after_ms: i64,
}

/// A certificate with a key that was made for it.
#[derive(Clone)]
pub struct Identity {
    pub certificate: Certificate,
    pub key_pem: String,
}

/// A certificate that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    pub serial: Vec<u8>,
    pub at_ms: i64,
}

impl Authority {
    /// For a box: good as a client and for nothing else, with the box id as common name.
    ///
    /// # Errors
    /// When signing fails or the authority is at its end.
    pub fn issue_box(&self, key: &PublicKey, validity: Duration, now_ms: i64) -> Result<Certificate, Error> {
        let mut params = leaf(key.box_id().as_str(), ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(&mut params, key, validity, now_ms)
    }

    /// For a client that is us: with a key that is made here and that nobody keeps on a disk.
    ///
    /// # Errors
    /// As [`Self::issue_box`].
    pub fn issue_client(&self, name: &str, validity: Duration, now_ms: i64) -> Result<Identity, Error> {
        self.with_new_key(leaf(name, ExtendedKeyUsagePurpose::ClientAuth), validity, now_ms)
    }

    /// For a server: the broker, the fleet server, an origin. Good for `names` and for nothing but serving.
    ///
    /// # Errors
    /// As [`Self::issue_box`], and when a name is neither a DNS name nor an IP address.
    pub fn issue_server(&self, names: &[String], validity: Duration, now_ms: i64) -> Result<Identity, Error> {
        let params = server(names)?;
        self.with_new_key(params, validity, now_ms)
    }

    /// For an origin: it serves with it, and is `origin-<id>` at the broker, where it may read and nothing else.
    ///
    /// # Errors
    /// As [`Self::issue_server`].
    pub fn issue_origin(
        &self,
        id: &str,
        names: &[String],
        validity: Duration,
        now_ms: i64,
    ) -> Result<Identity, Error> {
        // The alphabet of all our names.
        id.parse::<nodi_protocol::ChannelId>().map_err(|_| Error::BadName(id.to_owned()))?;
        let mut params = server(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("origin-{id}"));
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.with_new_key(params, validity, now_ms)
    }

    /// The list of certificates that were taken back, PEM. It is good until the authority's own end: a list that ends
    /// earlier would cut off every box when the fleet server is away for long.
    ///
    /// # Errors
    /// When signing fails.
    pub fn revocation_list(&self, revoked: &[Revoked], number: u64, now_ms: i64) -> Result<String, Error> {
        let revoked_certs = revoked
            .iter()
            .map(|revoked| {
                Ok(RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&revoked.serial),
                    revocation_time: date(revoked.at_ms)?,
                    reason_code: Some(RevocationReason::PrivilegeWithdrawn),
                    invalidity_date: None,
                })
            })
            .collect::<Result<_, Error>>()?;
        let params = CertificateRevocationListParams {
            this_update: date(now_ms - millis(BACKDATE))?,
            next_update: date(self.not_after_ms())?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(self.issuer())?.pem()?)
    }

    fn with_new_key(
        &self,
        mut params: CertificateParams,
        validity: Duration,
        now_ms: i64,
    ) -> Result<Identity, Error> {
        let key = KeyPair::generate()?;
        let certificate = self.sign(&mut params, &key, validity, now_ms)?;
        Ok(Identity { certificate, key_pem: key.serialize_pem() })
    }

    fn sign(
        &self,
        params: &mut CertificateParams,
        key: &impl PublicKeyData,
        validity: Duration,
        now_ms: i64,
    ) -> Result<Certificate, Error> {
        if now_ms >= self.not_after_ms() {
            return Err(Error::Ended);
        }
        // Whole seconds: a certificate cannot say more.
        let not_before_ms = (now_ms - millis(BACKDATE)) / 1_000 * 1_000;
        let not_after_ms = (now_ms + millis(validity)).min(self.not_after_ms()) / 1_000 * 1_000;
        params.not_before = date(not_before_ms)?;
        params.not_after = date(not_after_ms)?;
        let serial = serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = params.signed_by(key, self.issuer())?;
        Ok(Certificate { pem: certificate.pem(), serial, not_before_ms, not_after_ms })
    }
}

fn server(names: &[String]) -> Result<CertificateParams, Error> {
    let first = names.first().ok_or_else(|| Error::BadName(String::new()))?;
    for name in names {
        rustls::pki_types::ServerName::try_from(name.as_str()).map_err(|_| Error::BadName(name.clone()))?;
    }
    let mut params = leaf(first, ExtendedKeyUsagePurpose::ServerAuth);
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    Ok(params)
}

fn leaf(common_name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

/// Random and positive (RFC 5280, 4.1.2.2). Two certificates of one key have different ones, so that one of them can be
/// taken back.
fn serial() -> Result<Vec<u8>, Error> {
    let mut bytes = [0; SERIAL_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    if let Some(first) = bytes.first_mut() {
        // Never zero at the front, so that every writer of DER spells it alike.
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(bytes.to_vec())
}

pub(super) fn date(unix_ms: i64) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(unix_ms.div_euclid(1_000)).map_err(|_| Error::BadTime(unix_ms))
}
