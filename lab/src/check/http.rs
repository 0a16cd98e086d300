//! The checker's client: one request, and what of the answer the rules look at.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{self, HeaderMap};

use crate::error::Error;

/// Longer than any origin blocks: three target durations and more.
const TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug, Clone)]
pub(super) struct Client(reqwest::Client);

#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// 0 when there was no answer.
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `max-age`, if the answer says one.
    pub(super) fn max_age(&self) -> Option<u64> {
        self.header(header::CACHE_CONTROL)
            .split(',')
            .find_map(|directive| directive.trim().strip_prefix("max-age="))
            .and_then(|seconds| seconds.parse().ok())
    }
}

impl Client {
    /// # Errors
    /// When the client cannot be made.
    pub(super) fn new() -> Result<Self, Error> {
        reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .map(Self)
            .map_err(|source| Error::Http { url: "client".to_owned(), source })
    }

    /// Never fails: no answer has status 0.
    pub(super) async fn get(&self, url: &str) -> Answer {
        self.get_with(url, HeaderMap::new()).await
    }

    pub(super) async fn get_with(&self, url: &str, headers: HeaderMap) -> Answer {
        let none = || Answer { status: 0, headers: HeaderMap::new(), body: Bytes::new() };
        // As a page of another site would ask.
        let request = self.0.get(url).headers(headers).header(header::ORIGIN, "https://watch.example");
        let Ok(response) = request.send().await else { return none() };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        // An answer that breaks off is no answer.
        response.bytes().await.map_or_else(|_| none(), |body| Answer { status, headers, body })
    }
}

/// Resolves a relative reference as far as our playlists use them: paths below the playlist's own, or whole URLs.
#[must_use]
pub(super) fn resolve(base: &str, reference: &str) -> String {
    if reference.contains("://") {
        return reference.to_owned();
    }
    let base = base.split(['?', '#']).next().unwrap_or(base);
    if reference.starts_with('/') {
        let host_at = base.find("://").map_or(0, |at| at + 3);
        let host = base.get(host_at..).and_then(|rest| rest.find('/'));
        let end = host.map_or(base.len(), |slash| host_at + slash);
        return format!("{}{reference}", base.get(..end).unwrap_or(base));
    }
    let folder = base.rfind('/').and_then(|slash| base.get(..=slash)).unwrap_or("");
    format!("{folder}{reference}")
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn references() {
        let base = "http://h:1/live/c/index.m3u8?x=/y";
        assert_eq!(resolve(base, "720p.m3u8"), "http://h:1/live/c/720p.m3u8");
        assert_eq!(resolve(base, "s/v/1.m4s"), "http://h:1/live/c/s/v/1.m4s");
        assert_eq!(resolve(base, "/x"), "http://h:1/x");
        assert_eq!(resolve(base, "https://o/x"), "https://o/x");
    }
}
