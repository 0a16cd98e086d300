//! How simulated boxes get their identities: like real ones, from the fleet server with a claim code that may be used
//! as often as there are boxes.

use std::sync::Arc;
use std::time::Duration;

use nodi_protocol::BoxId;
use nodi_protocol::enrol::{Enrolled, Provisioning, Request};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinSet;

use super::vitals;
use crate::error::Error;

/// Enough to keep both sides busy.
const AT_A_TIME: usize = 16;
const DEADLINE: Duration = Duration::from_secs(30);

/// What a box holds after its enrolment.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) id: BoxId,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Arc<ClientConfig>,
}

/// The broker's certificate is judged by one verifier for all boxes: thousands of root stores would be most of the
/// simulator's memory.
pub(crate) struct Trust {
    verifier: Arc<WebPkiServerVerifier>,
}

impl Trust {
    pub(crate) fn new(ca_pem: &str) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            let certificate = certificate.map_err(|error| Error::Tls(error.to_string()))?;
            roots.add(certificate).map_err(|error| Error::Tls(error.to_string()))?;
        }
        let verifier = WebPkiServerVerifier::builder(Arc::new(roots))
            .build()
            .map_err(|error| Error::Tls(error.to_string()))?;
        Ok(Self { verifier })
    }

    /// TLS with a client certificate.
    pub(crate) fn client(&self, certificate_pem: &str, key_pem: &str) -> Result<Arc<ClientConfig>, Error> {
        let tls = |error: &dyn std::fmt::Display| Error::Tls(error.to_string());
        let chain = CertificateDer::pem_slice_iter(certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| tls(&error))?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| tls(&error))?;
        let mut config = ClientConfig::builder()
            .with_webpki_verifier(Arc::clone(&self.verifier))
            .with_client_auth_cert(chain, key)
            .map_err(|error| tls(&error))?;
        // Every connection pays for a whole handshake, as after a power cut.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// Enrols `count` boxes, several at a time.
pub(crate) async fn all(provisioning: &Provisioning, count: usize) -> Result<Vec<Identity>, Error> {
    let mut http = reqwest::Client::builder().no_proxy().timeout(DEADLINE);
    if let Some(pem) = &provisioning.ca_pem {
        let root = reqwest::Certificate::from_pem(pem.as_bytes())
            .map_err(|source| Error::Http { url: provisioning.fleet_url.clone(), source })?;
        http = http.tls_certs_only([root]);
    }
    let http = http.build().map_err(|source| Error::Http { url: provisioning.fleet_url.clone(), source })?;
    let mut identities: Vec<Option<Identity>> = vec![None; count];
    let mut trust: Option<Arc<Trust>> = None;
    let mut tasks = JoinSet::new();
    for index in 0..count {
        while tasks.len() >= AT_A_TIME {
            keep(tasks.join_next().await, &mut identities, &mut trust)?;
        }
        let (http, provisioning) = (http.clone(), provisioning.clone());
        tasks.spawn(async move { (index, one(&http, &provisioning, index).await) });
    }
    while !tasks.is_empty() {
        keep(tasks.join_next().await, &mut identities, &mut trust)?;
    }
    Ok(identities.into_iter().flatten().collect())
}

type Done = (usize, Result<(Enrolled, String), Error>);

fn keep(
    done: Option<Result<Done, tokio::task::JoinError>>,
    identities: &mut [Option<Identity>],
    trust: &mut Option<Arc<Trust>>,
) -> Result<(), Error> {
    let Some(done) = done else { return Ok(()) };
    let (index, enrolled) = done.map_err(|error| Error::Media(format!("enrolment: {error}")))?;
    let (enrolled, key) = enrolled?;
    let trust = match trust {
        Some(trust) => trust,
        None => trust.insert(Arc::new(Trust::new(&enrolled.ca_pem)?)),
    };
    let identity = Identity {
        tls: trust.client(&enrolled.certificate_pem, &key)?,
        id: enrolled.box_id,
        host: enrolled.broker.host,
        port: enrolled.broker.port,
    };
    if let Some(place) = identities.get_mut(index) {
        *place = Some(identity);
    }
    Ok(())
}

async fn one(
    http: &reqwest::Client,
    provisioning: &Provisioning,
    index: usize,
) -> Result<(Enrolled, String), Error> {
    let key = KeyPair::generate()?;
    let request = Request {
        csr_pem: CertificateParams::default().serialize_request(&key)?.pem()?,
        claim_code: provisioning.claim_code.clone(),
        hardware: vitals::hardware(index),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let url = format!("{}/api/v1/enrolments", provisioning.fleet_url);
    let http_error = |source| Error::Http { url: url.clone(), source };
    let answer = http.post(&url).json(&request).send().await.map_err(http_error)?;
    let status = answer.status();
    let bytes = answer.bytes().await.map_err(http_error)?;
    if status != reqwest::StatusCode::OK {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        return Err(Error::Refused { url, status: status.as_u16(), text });
    }
    let enrolled = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Media(format!("{url}: {error} in {}", String::from_utf8_lossy(&bytes))))?;
    Ok((enrolled, key.serialize_pem()))
}
