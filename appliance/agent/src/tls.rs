//! TLS as the box does it: its own clock, the authorities that it was given, and for one request no look at dates.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::clock::Clock;
use crate::identity::Validity;

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("authority: {0}")]
    Authority(String),
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("TLS: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// Authorities from `pem`, or the system's.
pub(crate) fn roots(pem: Option<&str>) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    match pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| Error::Authority(error.to_string()))?;
                roots.add(certificate)?;
            }
        }
        None => {
            let native = rustls_native_certs::load_native_certs();
            // Some systems have one or two that are out of the ordinary.
            roots.add_parsable_certificates(native.certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::Authority("there is none".to_owned()));
    }
    Ok(Arc::new(roots))
}

/// `roots`, and the system's: for what may be anywhere.
pub(crate) fn and_the_systems(roots: &RootCertStore) -> Arc<RootCertStore> {
    let mut all = roots.clone();
    all.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(all)
}

fn crypto() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// For requests to the fleet server, and for links to the broker with the box's certificate.
pub(crate) fn client(
    roots: Arc<RootCertStore>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    clock: &Clock,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_details(crypto(), clock.for_tls())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    // One server and rare connections: a ticket is enough.
    config.resumption = rustls::client::Resumption::in_memory_sessions(2);
    Ok(config)
}

/// For asking the time: everything is verified but that the certificate is valid today, which is what is to be found out.
pub(crate) fn dateless(roots: Arc<RootCertStore>, clock: &Clock) -> Result<ClientConfig, Error> {
    let crypto = crypto();
    let inner = WebPkiServerVerifier::builder_with_provider(roots, crypto.clone()).build()?;
    let mut config = ClientConfig::builder_with_details(crypto, clock.for_tls())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Dateless { inner }))
        .with_no_client_auth();
    // A session that was resumed is not verified again: it must not last beyond one request.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Verifies as always, at a time at which the certificates that the server shows are valid.
#[derive(Debug)]
struct Dateless {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Dateless {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut from_ms = 0;
        for certificate in std::iter::once(end_entity).chain(intermediates) {
            let validity = Validity::of_der(certificate)
                .map_err(|_| rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding))?;
            // From the moment on at which the youngest of them became valid, all of them are.
            from_ms = from_ms.max(validity.not_before_ms);
        }
        let then = UnixTime::since_unix_epoch(std::time::Duration::from_millis(from_ms));
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, then)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
