//! Certificate signing requests (PKCS #10, RFC 2986), of which nothing is taken but the public key: what a box asks to
//! be called and to be allowed is not its business.

use nodi_protocol::{BoxId, enrol};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use sha2::{Digest as _, Sha256};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;

/// Longest request that is looked at, in bytes of PEM. Ours has 400.
const MAX_PEM: usize = 4 << 10;
/// SubjectPublicKeyInfo of a P-256 key up to the point (RFC 5480, 2.1.1): the one way to write it in DER.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point: 4, x and y.
const POINT: usize = 65;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is longer than {MAX_PEM} bytes")]
    TooLong,
    #[error("it is not one PEM block CERTIFICATE REQUEST")]
    NotPem,
    #[error("it is not a PKCS #10 request: {0}")]
    NotDer(String),
    #[error("there is something behind it")]
    Trailing,
    #[error("its key is not an uncompressed ECDSA key on P-256")]
    WrongKey,
    #[error("its signature is not by its key")]
    WrongSignature,
}

/// The public key of a box: a point on P-256, uncompressed (SEC 1, 2.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; POINT]);

impl PublicKey {
    /// As stored.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let point: [u8; POINT] = bytes.try_into().ok()?;
        (point.first() == Some(&4)).then_some(Self(point))
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the box that has this key is called.
    #[must_use]
    pub fn box_id(&self) -> BoxId {
        let digest = Sha256::new().chain_update(SPKI_PREFIX).chain_update(self.0).finalize();
        enrol::box_id(&digest.into())
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// A request whose sender has the key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningRequest {
    pub public_key: PublicKey,
}

impl SigningRequest {
    /// # Errors
    /// Why it is not good.
    pub fn from_pem(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_PEM {
            return Err(Refusal::TooLong);
        }
        let (rest, pem) = parse_x509_pem(text.as_bytes()).map_err(|_| Refusal::NotPem)?;
        if pem.label != "CERTIFICATE REQUEST" {
            return Err(Refusal::NotPem);
        }
        if !rest.trim_ascii().is_empty() {
            return Err(Refusal::Trailing);
        }
        Self::from_der(&pem.contents)
    }

    fn from_der(der: &[u8]) -> Result<Self, Refusal> {
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|error| Refusal::NotDer(error.to_string()))?;
        if !rest.is_empty() {
            return Err(Refusal::Trailing);
        }
        // Byte for byte, so that one key has one spelling and therefore one box id.
        let point = request
            .certification_request_info
            .subject_pki
            .raw
            .strip_prefix(&SPKI_PREFIX)
            .and_then(PublicKey::from_bytes)
            .ok_or(Refusal::WrongKey)?;
        request.verify_signature().map_err(|_| Refusal::WrongSignature)?;
        Ok(Self { public_key: point })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    fn pem(key: &KeyPair, params: &CertificateParams) -> String {
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn the_box_id_comes_from_the_key_whatever_the_request_says() {
        let key = KeyPair::generate().unwrap();
        let plain = SigningRequest::from_pem(&pem(&key, &CertificateParams::default())).unwrap();
        let mut params = CertificateParams::new(vec!["broker.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "nodi-fleet");
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
        let greedy = SigningRequest::from_pem(&pem(&key, &params)).unwrap();
        assert_eq!(plain, greedy);
        let spki: [u8; 32] = Sha256::digest(key.subject_public_key_info()).into();
        assert_eq!(plain.public_key.box_id(), enrol::box_id(&spki));
        assert_eq!(PublicKey::from_bytes(plain.public_key.as_bytes()), Some(plain.public_key));
    }

    #[test]
    fn other_keys_are_refused() {
        for algorithm in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let request = pem(&key, &CertificateParams::default());
            assert_eq!(SigningRequest::from_pem(&request), Err(Refusal::WrongKey));
        }
    }

    #[test]
    fn a_request_signed_by_another_key_is_refused() {
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        let mut der = request.der().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        assert_eq!(SigningRequest::from_der(&der), Err(Refusal::WrongSignature));
        // Another key in the place of the one that signed.
        let mut der = request.der().to_vec();
        let other = KeyPair::generate().unwrap();
        let at = der.windows(26).position(|window| window == SPKI_PREFIX).unwrap() + 26;
        der[at..at + POINT].copy_from_slice(other.public_key_raw());
        assert_eq!(SigningRequest::from_der(&der), Err(Refusal::WrongSignature));
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let key = KeyPair::generate().unwrap();
        let good = pem(&key, &CertificateParams::default());
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        for (text, refusal) in [
            (String::new(), Refusal::NotPem),
            ("-----BEGIN CERTIFICATE REQUEST-----".to_owned(), Refusal::NotPem),
            (certificate, Refusal::NotPem),
            (format!("{good}{good}"), Refusal::Trailing),
            ("x".repeat(MAX_PEM + 1), Refusal::TooLong),
        ] {
            assert_eq!(SigningRequest::from_pem(&text), Err(refusal), "{text}");
        }
        let cut = good.replacen("MII", "MIA", 1).replacen("MIH", "MIA", 1);
        assert!(SigningRequest::from_pem(&cut).is_err());
    }
}
