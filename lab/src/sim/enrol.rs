//! How simulated boxes get their identities: like real ones, from the fleet server with a claim code that may be used
//! as often as there are boxes.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nodi_protocol::BoxId;
use nodi_protocol::enrol::{Enrolled, Provisioning, Request};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinSet;

use super::vitals;
use crate::error::{Error, io};

/// Enough to keep both sides busy.
const AT_A_TIME: usize = 16;
const DEADLINE: Duration = Duration::from_secs(60);
/// Below what the server takes from one address at once.
const BOXES_OF_AN_ADDRESS: usize = 100;
/// Common name of the fleet server's own client certificate.
const SERVER: &str = "nodi-fleet";

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
pub(super) async fn with_fleet(provisioning: &Provisioning, count: usize) -> Result<Vec<Identity>, Error> {
    let mut identities: Vec<Option<Identity>> = vec![None; count];
    let mut trust: Option<Trust> = None;
    let mut tasks: JoinSet<Done> = JoinSet::new();
    let mut http = None;
    for index in 0..count {
        if index % BOXES_OF_AN_ADDRESS == 0 {
            http = Some(client(provisioning, index / BOXES_OF_AN_ADDRESS)?);
        }
        while tasks.len() >= AT_A_TIME {
            keep(tasks.join_next().await, &mut identities, &mut trust)?;
        }
        if let Some(http) = http.clone() {
            let provisioning = provisioning.clone();
            tasks.spawn(async move { (index, one(&http, &provisioning, index).await) });
        }
    }
    while !tasks.is_empty() {
        keep(tasks.join_next().await, &mut identities, &mut trust)?;
    }
    Ok(identities.into_iter().flatten().collect())
}

/// Certificates straight from the authority's key in `dir`, for a broker without a fleet server behind it.
pub(super) fn with_authority(
    dir: &Path,
    (host, port): (&str, u16),
    count: usize,
) -> Result<(Vec<Identity>, Identity), Error> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read_to_string(&path).map_err(io(format!("reading {}", path.display())))
    };
    let ca_pem = read("ca.pem")?;
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, KeyPair::from_pem(&read("ca.key")?)?)?;
    let trust = Trust::new(&ca_pem)?;
    let sign = |name: &str| -> Result<Arc<ClientConfig>, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        trust.client(&params.signed_by(&key, &issuer)?.pem(), &key.serialize_pem())
    };
    let identity = |id: BoxId, name: &str| {
        Ok::<_, Error>(Identity { id, host: host.to_owned(), port, tls: sign(name)? })
    };
    let boxes = (0..count)
        .map(|index| {
            // No key stands behind it, and the broker does not mind.
            let name = format!("box-{index:016}");
            identity(name.parse()?, &name)
        })
        .collect::<Result<_, _>>()?;
    let server = identity(SERVER.parse()?, SERVER)?;
    Ok((boxes, server))
}

/// Several addresses on loopback, as boxes of several venues have them: the server slows down each of them.
fn client(provisioning: &Provisioning, group: usize) -> Result<reqwest::Client, Error> {
    let http = |source| Error::Http { url: provisioning.fleet_url.clone(), source };
    let [.., high, low] = u32::try_from(group + 1).unwrap_or(u32::MAX).to_be_bytes();
    let mut client = reqwest::Client::builder()
        .no_proxy()
        .timeout(DEADLINE)
        .local_address(IpAddr::from(Ipv4Addr::new(127, 1, high, low)));
    if let Some(pem) = &provisioning.ca_pem {
        client = client.tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).map_err(http)?]);
    }
    client.build().map_err(http)
}

type Done = (usize, Result<(Enrolled, String), Error>);

fn keep(
    done: Option<Result<Done, tokio::task::JoinError>>,
    identities: &mut [Option<Identity>],
    trust: &mut Option<Trust>,
) -> Result<(), Error> {
    let Some(done) = done else { return Ok(()) };
    let (index, enrolled) = done.map_err(|error| Error::Media(format!("enrolment: {error}")))?;
    let (enrolled, key) = enrolled?;
    let trust = match trust {
        Some(trust) => trust,
        None => trust.insert(Trust::new(&enrolled.ca_pem)?),
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

/// The same request until it is answered, as a box makes it.
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
    let end = Instant::now() + DEADLINE;
    loop {
        let answer = http.post(&url).json(&request).send().await.map_err(http_error)?;
        let status = answer.status();
        if status == StatusCode::TOO_MANY_REQUESTS && Instant::now() < end {
            let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            tokio::time::sleep(Duration::from_secs(wait.unwrap_or(1))).await;
            continue;
        }
        let bytes = answer.bytes().await.map_err(http_error)?;
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        if status != StatusCode::OK {
            return Err(Error::Refused { url, status: status.as_u16(), text: text() });
        }
        let enrolled = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Media(format!("{url}: {error} in {}", text())))?;
        return Ok((enrolled, key.serialize_pem()));
    }
}
