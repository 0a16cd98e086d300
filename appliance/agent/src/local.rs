//! Asking the other processes of the box, over their local sockets (docs/interfaces.md sections 4 and 9).

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};

/// They answer from memory; longer means that they hang.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Longest answer, in bytes: a session takes 2 KiB, and a box carries some dozens.
const LONGEST: usize = 4 << 20;

/// Where a process listens: `unix:/path`, or an address and port on the loopback interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp(std::net::SocketAddr),
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Self::Unix(path.into())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| serde::de::Error::custom("neither unix:/PATH nor ADDRESS:PORT")),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not listen: it is down, or about to start.
    #[error("{process} does not answer: {reason}")]
    Away { process: &'static str, reason: String },
    #[error("{process} answers {status}")]
    Status { process: &'static str, status: StatusCode },
    #[error("{process}: the answer is unusable: {reason}")]
    Unusable { process: &'static str, reason: String },
}

/// A clonable handle to one process.
#[derive(Debug, Clone)]
pub struct Local {
    process: &'static str,
    base: String,
    client: Client,
}

impl Local {
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(process: &'static str, address: &Address) -> Result<Self, reqwest::Error> {
        let builder = Client::builder().timeout(TIMEOUT).no_proxy().http1_only().pool_max_idle_per_host(1);
        let (builder, base) = match address {
            // The host part is a placeholder: the socket is the address.
            Address::Unix(path) => (builder.unix_socket(path.as_path()), format!("http://{process}")),
            Address::Tcp(address) => (builder, format!("http://{address}")),
        };
        Ok(Self { process, base, client: builder.build()? })
    }

    /// `GET`, and the answer read as JSON.
    ///
    /// # Errors
    /// When the process is away, or answers something else.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let away = |error: reqwest::Error| self.away(&error);
        let mut response = self.client.get(format!("{}{path}", self.base)).send().await.map_err(away)?;
        if response.status() != StatusCode::OK {
            return Err(Error::Status { process: self.process, status: response.status() });
        }
        let unusable = |reason: String| Error::Unusable { process: self.process, reason };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(unusable(format!("longer than {LONGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|error| unusable(error.to_string()))
    }

    /// `DELETE` with a query; whether there was such a thing.
    ///
    /// # Errors
    /// When the process is away, or refuses.
    pub async fn delete(&self, path: &str, query: &[(&str, &str)]) -> Result<bool, Error> {
        let mut url = Url::parse(&format!("{}{path}", self.base))
            .map_err(|error| Error::Unusable { process: self.process, reason: error.to_string() })?;
        url.query_pairs_mut().extend_pairs(query);
        let response = self.client.delete(url).send().await.map_err(|error| self.away(&error))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            status => Err(Error::Status { process: self.process, status }),
        }
    }

    fn away(&self, error: &reqwest::Error) -> Error {
        Error::Away { process: self.process, reason: describe(error) }
    }
}

/// An error with its causes: reqwest's own text says only that sending failed.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
