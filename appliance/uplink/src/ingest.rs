//! Telling ingest that a session has to end (`docs/interfaces.md` 4).

use std::path::Path;
use std::time::Duration;

use nodi_protocol::SessionId;
use reqwest::StatusCode;

/// Ingest answers from memory; longer means that it hangs.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The origin says that a newer session owns the channel.
pub(crate) const SUPERSEDED: &str = "superseded";

/// A client of ingest's local socket.
#[derive(Debug, Clone)]
pub(crate) struct Ingest {
    client: reqwest::Client,
}

impl Ingest {
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(socket: &Path) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().unix_socket(socket).timeout(TIMEOUT).build()?;
        Ok(Self { client })
    }

    /// Asks ingest to hang up the publisher of `session`. A session that ingest does not know is over already.
    ///
    /// # Errors
    /// When ingest does not answer, or refuses.
    pub(crate) async fn end(&self, session: SessionId, reason: &str) -> Result<(), reqwest::Error> {
        // The host part is a placeholder: the socket is the address.
        let url = format!("http://ingest/sessions/{session}");
        let mut url = match reqwest::Url::parse(&url) {
            Ok(url) => url,
            Err(error) => {
                log::error!(session:%; "address of the session at ingest: {error}");
                return Ok(());
            }
        };
        url.query_pairs_mut().append_pair("reason", reason);
        let response = self.client.delete(url).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        response.error_for_status().map(drop)
    }
}
