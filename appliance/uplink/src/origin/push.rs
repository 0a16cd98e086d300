//! The push API's client (`docs/interfaces.md` 5): one method per request, typed refusals.

use std::time::Duration;

use bytes::Bytes;
use nodi_protocol::push::{ChannelState, Claim, Claimed, End, PlaylistUpdate, Refusal, UPLOAD_OFFSET, path};
use nodi_protocol::stream_key::StreamKey;
use nodi_protocol::{ChannelId, RenditionName, SessionId};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::http::describe;

/// For requests with a small body. The origin answers them from memory, so that longer means a dead network.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Bytes of an answer that are read: a claim's list of segments is the longest.
const MAX_ANSWER: usize = 1 << 20;

/// Why a push did not succeed. [`Error::remedy`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No answer at all.
    #[error("{0}")]
    Unreachable(String),
    /// The origin cannot now.
    #[error("{status}: {error}")]
    Unavailable { status: StatusCode, error: String },
    /// 404: the origin does not know the session, or not any more.
    #[error("the origin does not know the session: {0}")]
    Unknown(String),
    /// 409 with the bytes that it holds.
    #[error("the origin holds {held} bytes of the segment: {error}")]
    Offset { held: u64, error: String },
    /// 409: a newer session owns the channel.
    #[error("a newer session{} owns the channel", .newer.map(|id| format!(" ({id})")).unwrap_or_default())]
    Superseded { newer: Option<SessionId> },
    /// 401 or 403: the key is bad or for another channel, the channel is suspended, or the box was revoked.
    #[error("the origin refuses: {error} ({status})")]
    Unauthorised { status: StatusCode, error: String },
    /// 413, 422 and whatever else will not get better by trying again.
    #[error("{status}: {error}")]
    Rejected { status: StatusCode, error: String },
    /// An answer that is not the push API's.
    #[error("not an answer of the push API: {0}")]
    Strange(String),
}

/// What helps against an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Wait a little, claim the session again, go on from what the origin holds.
    Reconnect,
    /// The object will never be taken: go on without it.
    Skip,
    /// The session has no business at this origin any more.
    Stop,
}

impl Error {
    #[must_use]
    pub(super) fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable(_)
            | Self::Unavailable { .. }
            | Self::Unknown(_)
            | Self::Offset { .. }
            | Self::Strange(_) => Remedy::Reconnect,
            Self::Rejected { .. } => Remedy::Skip,
            Self::Superseded { .. } | Self::Unauthorised { .. } => Remedy::Stop,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        // The address is in the log line's target already.
        Self::Unreachable(describe(&error.without_url()))
    }
}

type Result<T> = std::result::Result<T, Error>;

/// One session's pushes to one origin.
#[derive(Debug, Clone)]
pub(super) struct Push {
    client: Client,
    base: Url,
    authorization: HeaderValue,
    channel: ChannelId,
    session: SessionId,
}

impl Push {
    /// # Errors
    /// When the key cannot be a header, which no real key fails.
    pub(super) fn new(
        client: Client,
        base: Url,
        key: &StreamKey,
        channel: ChannelId,
        session: SessionId,
    ) -> Result<Self> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", key.reveal())).map_err(|_| Error::Unauthorised {
                status: StatusCode::UNAUTHORIZED,
                error: "the credential file's key is not text".to_owned(),
            })?;
        authorization.set_sensitive(true);
        Ok(Self { client, base, authorization, channel, session })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        // A configured address may have a path of its own, as behind a reverse proxy.
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        self.client.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    pub(super) async fn state(&self) -> Result<ChannelState> {
        let request = self.request(Method::GET, &path::channel(&self.channel));
        json(request.timeout(TIMEOUT).send().await?).await
    }

    pub(super) async fn claim(&self, claim: &Claim) -> Result<Claimed> {
        let request = self.request(Method::PUT, &path::session(&self.channel, self.session));
        json(request.json(claim).timeout(TIMEOUT).send().await?).await
    }

    pub(super) async fn init(&self, rendition: &RenditionName, init: u32, bytes: Bytes) -> Result<()> {
        let path = path::init(&self.channel, self.session, rendition, init);
        let request = self.request(Method::PUT, &path).header(CONTENT_TYPE, "video/mp4");
        done(request.body(bytes).timeout(TIMEOUT).send().await?).await
    }

    /// Without a time limit of its own: the body takes as long as the segment grows.
    pub(super) async fn segment(
        &self,
        rendition: &RenditionName,
        msn: u64,
        offset: u64,
        body: Body,
    ) -> Result<()> {
        let path = path::segment(&self.channel, self.session, rendition, msn);
        let mut request = self.request(Method::PUT, &path).header(CONTENT_TYPE, "video/iso.segment");
        if offset > 0 {
            request = request.header(UPLOAD_OFFSET, offset);
        }
        done(request.body(body).send().await?).await
    }

    pub(super) async fn playlist(&self, rendition: &RenditionName, update: &PlaylistUpdate) -> Result<()> {
        let path = path::playlist(&self.channel, self.session, rendition);
        done(self.request(Method::PUT, &path).json(update).timeout(TIMEOUT).send().await?).await
    }

    pub(super) async fn thumbnail(&self, bytes: Bytes) -> Result<()> {
        let path = path::thumbnail(&self.channel, self.session);
        let request = self.request(Method::PUT, &path).header(CONTENT_TYPE, "image/jpeg");
        done(request.body(bytes).timeout(TIMEOUT).send().await?).await
    }

    pub(super) async fn end(&self, reason: &str) -> Result<()> {
        let path = path::end(&self.channel, self.session);
        let end = End { reason: reason.to_owned() };
        done(self.request(Method::POST, &path).json(&end).timeout(TIMEOUT).send().await?).await
    }
}

async fn done(response: Response) -> Result<()> {
    if response.status().is_success() { Ok(()) } else { Err(refusal(response).await) }
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T> {
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let bytes = answer(response).await?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Strange(error.to_string()))
}

async fn answer(mut response: Response) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(Error::Strange(format!("longer than {MAX_ANSWER} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn refusal(response: Response) -> Error {
    let status = response.status();
    let body = match answer(response).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    // A proxy in between answers with a page of its own: its beginning is the best reason there is.
    let refusal = serde_json::from_slice::<Refusal>(&body).unwrap_or_else(|_| Refusal {
        error: String::from_utf8_lossy(&body).chars().take(200).collect(),
        newer_session: None,
        held_bytes: None,
    });
    classify(status, refusal)
}

fn classify(status: StatusCode, refusal: Refusal) -> Error {
    let Refusal { error, newer_session, held_bytes } = refusal;
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Unauthorised { status, error },
        StatusCode::NOT_FOUND => Error::Unknown(error),
        StatusCode::CONFLICT => match held_bytes {
            Some(held) => Error::Offset { held, error },
            None => Error::Superseded { newer: newer_session },
        },
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Error::Unavailable { status, error },
        status if status.is_server_error() => Error::Unavailable { status, error },
        status => Error::Rejected { status, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_remedy() {
        let plain = |error: &str| Refusal { error: error.into(), newer_session: None, held_bytes: None };
        let newer = Refusal { newer_session: Some(SessionId::new(9, 9)), ..plain("newer") };
        let held = Refusal { held_bytes: Some(7), ..plain("offset") };
        for (status, refusal, remedy) in [
            (401, plain("expired"), Remedy::Stop),
            (403, plain("other channel"), Remedy::Stop),
            (404, plain("no such session"), Remedy::Reconnect),
            (409, newer, Remedy::Stop),
            (409, held, Remedy::Reconnect),
            (413, plain("too large"), Remedy::Skip),
            (422, plain("malformed"), Remedy::Skip),
            (429, plain("slow down"), Remedy::Reconnect),
            (500, plain("oops"), Remedy::Reconnect),
            (503, plain("full"), Remedy::Reconnect),
        ] {
            let error = classify(StatusCode::from_u16(status).unwrap(), refusal);
            assert_eq!(error.remedy(), remedy, "{error}");
        }
    }
}
