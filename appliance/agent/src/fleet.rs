//! HTTPS to the fleet server: time, enrolment, renewal; and a client for whatever else goes there.

use std::sync::Arc;
use std::time::Duration;

use nodi_protocol::BoxId;
use nodi_protocol::enrol::{Enrolled, Provisioning, Renewal, Renewed, Request, Time, Waiting};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::clock::Clock;
use crate::local::describe;
use crate::tls;

/// For name, TCP and TLS.
const CONNECT: Duration = Duration::from_secs(10);
/// For a whole request of the API. Uploads set their own.
const REQUEST: Duration = Duration::from_secs(20);
/// Longest answer that is read, in bytes: a chain of certificates and an authority are below 16 KiB.
const LONGEST_ANSWER: usize = 64 << 10;
/// What is shown of a refusal's text, in characters.
const SHOWN: usize = 200;

/// Why the fleet server gave no answer that is of use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("fleet server: {}", describe(.0))]
    Http(#[from] reqwest::Error),
    /// A verdict: the same request will not do better soon.
    #[error("fleet server refuses: {status} {detail}")]
    Refused { status: StatusCode, detail: String },
    #[error("fleet server answers {status} {detail}")]
    Busy { status: StatusCode, detail: String },
    #[error("fleet server's answer: {0}")]
    Unusable(String),
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

impl Error {
    /// Whether asking again soon is of no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// An answer to the request to be enrolled.
#[derive(Debug)]
pub(crate) enum Answer {
    Enrolled(Box<Enrolled>),
    Waiting(Waiting),
}

/// A clonable handle.
#[derive(Clone, Debug)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Url,
    client: Client,
    /// Does not look at dates; asks for the time and for nothing else.
    dateless: Client,
    roots: Arc<rustls::RootCertStore>,
    clock: Clock,
}

/// A download may be elsewhere than where it was asked for, such as with a CDN.
const REDIRECTS: usize = 5;

/// Whether a token may go there.
pub(crate) fn is_safe(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here =
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

impl Fleet {
    /// # Errors
    /// When the address or the authority is unusable.
    pub fn new(provisioning: &Provisioning, clock: &Clock) -> Result<Self, Error> {
        let base = Url::parse(&provisioning.fleet_url)
            .map_err(|error| Error::Unusable(format!("{:?}: {error}", provisioning.fleet_url)))?;
        let roots = tls::roots(provisioning.ca_pem.as_deref())?;
        Ok(Self(Arc::new(Inner {
            base,
            // A redirect could lead where the authority does not vouch.
            client: build(tls::client(roots.clone(), None, clock)?, Policy::none())?,
            dateless: build(tls::dateless(roots.clone(), clock)?, Policy::none())?,
            roots,
            clock: clock.clone(),
        })))
    }

    /// A client that trusts what the box was provisioned with and judges certificates by the box's clock. It waits at most
    /// 20 s for each piece of an answer; a limit for the whole is the caller's to set.
    #[must_use]
    pub fn client(&self) -> Client {
        self.0.client.clone()
    }

    /// For bundles, wherever they are: trusts the system's authorities as well, and follows redirects. What comes is
    /// verified by what the order says of it; the token goes to no other host than the order names.
    pub(crate) fn downloads(&self) -> Result<Client, Error> {
        let roots = tls::and_the_systems(&self.0.roots);
        Ok(build(tls::client(roots, None, &self.0.clock)?, redirects())?)
    }

    pub(crate) async fn time(&self) -> Result<Time, Error> {
        let request = self.0.dateless.get(self.url("api/v1/time")?).timeout(REQUEST);
        json(expect_ok(request.send().await?).await?).await
    }

    pub(crate) async fn enrol(&self, request: &Request) -> Result<Answer, Error> {
        let response =
            self.0.client.post(self.url("api/v1/enrolments")?).timeout(REQUEST).json(request).send().await?;
        if response.status() == StatusCode::ACCEPTED {
            return Ok(Answer::Waiting(json(response).await?));
        }
        Ok(Answer::Enrolled(Box::new(json(expect_ok(response).await?).await?)))
    }

    pub(crate) async fn renew(&self, box_id: &BoxId, renewal: &Renewal) -> Result<Renewed, Error> {
        let url = self.url(&format!("api/v1/boxes/{box_id}/certificate"))?;
        let response = self.0.client.post(url).timeout(REQUEST).json(renewal).send().await?;
        json(expect_ok(response).await?).await
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        // A base with a path of its own stays: the server may live below one.
        let mut base = self.0.base.clone();
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        base.join(path).map_err(|error| Error::Unusable(error.to_string()))
    }
}

fn build(config: rustls::ClientConfig, redirects: Policy) -> Result<Client, reqwest::Error> {
    Client::builder()
        .tls_backend_preconfigured(config)
        .redirect(redirects)
        .connect_timeout(CONNECT)
        .read_timeout(REQUEST)
        .http1_only()
        .pool_max_idle_per_host(1)
        .user_agent(concat!("nodi-agent/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// For bundles: a few, and never to where there is no TLS.
pub(crate) fn redirects() -> Policy {
    Policy::custom(|attempt| {
        if attempt.previous().len() > REDIRECTS {
            attempt.error("too many redirects")
        } else if is_safe(attempt.url()) {
            attempt.follow()
        } else {
            attempt.error("a redirect to where there is no TLS")
        }
    })
}

async fn expect_ok(response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response);
    }
    let body = read(response).await.unwrap_or_default();
    // Problem details (RFC 9457), or whatever else was sent.
    let detail = serde_json::from_slice::<Problem>(&body)
        .ok()
        .and_then(|problem| problem.detail.or(problem.title))
        .unwrap_or_else(|| String::from_utf8_lossy(&body).into_owned());
    let detail = detail.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if status.is_client_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && status != StatusCode::REQUEST_TIMEOUT
    {
        Err(Error::Refused { status, detail })
    } else {
        Err(Error::Busy { status, detail })
    }
}

#[derive(serde::Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, Error> {
    serde_json::from_slice(&read(response).await?).map_err(|error| Error::Unusable(error.to_string()))
}

async fn read(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return Err(Error::Unusable(format!("longer than {LONGEST_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
