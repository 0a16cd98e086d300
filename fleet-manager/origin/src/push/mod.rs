//! The push API: what boxes send (`docs/interfaces.md` 5). The TLS handshake has let nobody in without a
//! certificate of the fleet; every request is checked for its stream key here.

pub mod auth;
pub mod error;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use nodi_protocol::push::{ChannelState, Claim, Claimed, End, PlaylistUpdate, UPLOAD_OFFSET, path};
use nodi_protocol::{BoxId, ChannelId, RenditionName, SessionId};
use serde::de::DeserializeOwned;

use crate::channel::{Channel, Claimant, Opened, Settings, Upload};
use crate::metrics::Metrics;
use crate::registry::Registry;
use auth::Authority;
use error::Error;

/// A claim or an update of a whole window with 200 ms parts takes less.
const MAX_JSON_BYTES: usize = 1 << 20;
/// An initialisation section takes about 1 KB.
const MAX_INIT_BYTES: usize = 64 << 10;
/// A 640-pixel JPEG takes less than 100 KB.
const MAX_THUMBNAIL_BYTES: usize = 512 << 10;

/// What handlers work with.
#[derive(Debug)]
pub struct Context {
    pub registry: Arc<Registry>,
    pub authority: Authority,
    pub settings: Arc<Settings>,
    pub metrics: Arc<Metrics>,
}

/// The box at the other end, from its certificate.
#[derive(Debug, Clone)]
pub struct Peer {
    /// For the log.
    pub name: Arc<str>,
    /// What its name is, if it is a box's.
    pub box_id: Option<BoxId>,
}

impl Peer {
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), box_id: name.parse().ok() }
    }
}

type Shared = State<Arc<Context>>;

/// All routes of the push API.
pub fn router(context: Arc<Context>) -> Router {
    let routes = Router::new()
        .route("/{channel}", get(state))
        .route("/{channel}/{session}", put(claim))
        .route("/{channel}/{session}/end", post(end))
        .route("/{channel}/{session}/thumbnail.jpg", put(thumbnail))
        .route("/{channel}/{session}/{rendition}/init/{init}", put(init))
        .route("/{channel}/{session}/{rendition}/segments/{msn}", put(segment))
        .route("/{channel}/{session}/{rendition}/playlist", put(playlist))
        .fallback(|| async { Error::NoPath });
    Router::new()
        .nest(path::ROOT, routes)
        .fallback(|| async { Error::NoPath })
        .layer(from_fn_with_state(Arc::clone(&context), observe))
        .with_state(context)
}

/// Turns revoked boxes away, counts every answer and logs every refusal. The key is in a header and never in the line.
async fn observe(
    State(context): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = match context.authority.admit(peer.box_id.as_ref()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let status = response.status();
    context.metrics.pushed(status);
    if !status.is_success() {
        log::info!(peer = &*peer.name, status = status.as_u16(); "refused {method} {path}");
    }
    response
}

async fn state(
    State(context): Shared,
    Path(channel): Path<String>,
    headers: HeaderMap,
) -> Result<Json<ChannelState>, Error> {
    let channel = context.authorise(&channel, &headers)?.0;
    let state = context.registry.get(channel.as_str()).map(|channel| channel.standing());
    Ok(Json(state.unwrap_or(ChannelState { session: None, next_msn: 0 })))
}

async fn claim(
    State(context): Shared,
    Extension(peer): Extension<Peer>,
    Path((channel, session)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Claimed>, Error> {
    let (channel, key_version) = context.authorise(&channel, &headers)?;
    let session: SessionId = session.parse()?;
    let claim: Claim = json(body).await?;
    let names: Vec<_> = claim.renditions.iter().map(|rendition| rendition.name.as_str()).collect();
    let names = names.join(" ");
    let by = Claimant { key_version, box_id: peer.box_id };
    let claimed = context.registry.claim(&channel, session, claim, by)?;
    log::info!(channel:%, session:%, base_msn = claimed.base_msn; "channel claimed with {names}");
    Ok(Json(claimed))
}

async fn end(
    State(context): Shared,
    Path((channel, session)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Error> {
    let (channel, session) = context.pusher(&channel, &session, &headers)?;
    let end: End = json(body).await?;
    channel.end(session)?;
    // From outside: bounded, and one line.
    let reason: String = end.reason.chars().filter(|char| !char.is_control()).take(80).collect();
    log::info!(channel:% = channel.id(), session:%; "session ended: {reason}");
    Ok(StatusCode::NO_CONTENT)
}

async fn thumbnail(
    State(context): Shared,
    Path((channel, session)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Error> {
    let (channel, session) = context.pusher(&channel, &session, &headers)?;
    let jpeg = whole(body, MAX_THUMBNAIL_BYTES).await?;
    // The public side serves it as image/jpeg: nothing else may hide in it.
    if !jpeg.starts_with(&[0xff, 0xd8, 0xff]) {
        return Err(Error::malformed("not a JPEG"));
    }
    channel.put_thumbnail(session, jpeg)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn init(
    State(context): Shared,
    Path((channel, session, rendition, init)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Error> {
    let (channel, session) = context.pusher(&channel, &session, &headers)?;
    let rendition: RenditionName = rendition.parse()?;
    let init = number(&init).and_then(|init| u32::try_from(init).ok()).ok_or(Error::NoPath)?;
    let bytes = whole(body, MAX_INIT_BYTES).await?;
    if bytes.is_empty() {
        return Err(Error::malformed("an initialisation section is not empty"));
    }
    // A copy of its own: the body's buffer is larger than what it holds.
    channel.put_init(session, &rendition, init, Bytes::copy_from_slice(&bytes))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn playlist(
    State(context): Shared,
    Path((channel, session, rendition)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Error> {
    let (channel, session) = context.pusher(&channel, &session, &headers)?;
    let rendition: RenditionName = rendition.parse()?;
    let update: PlaylistUpdate = json(body).await?;
    if let Some(shown_until_ms) = channel.put_playlist(session, &rendition, update)? {
        let lag_ms = context.settings.clock.unix_ms().saturating_sub(shown_until_ms);
        context.metrics.push_lag(Duration::from_millis(lag_ms));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn segment(
    State(context): Shared,
    Path((channel, session, rendition, msn)): Path<(String, String, String, String)>,
    headers: HeaderMap,
    mut body: Body,
) -> Result<StatusCode, Error> {
    let (channel, session) = context.pusher(&channel, &session, &headers)?;
    let rendition: RenditionName = rendition.parse()?;
    let msn = number(&msn).ok_or(Error::NoPath)?;
    let offset = header_number(&headers, UPLOAD_OFFSET)?.unwrap_or(0);
    let most = context.settings.limits.segment_bytes;
    let announced = header_number(&headers, CONTENT_LENGTH.as_str())?.unwrap_or(0);
    if offset.saturating_add(announced) > most {
        return Err(Error::TooLarge(most));
    }
    let mut upload = match channel.open_upload(session, &rendition, msn, offset)? {
        Opened::Upload(upload) => Some(upload),
        Opened::TooOld => None,
    };
    let idle = Duration::from_secs(context.settings.limits.upload_idle_s);
    let mut received = offset;
    loop {
        let frame = next_frame(&mut body, upload.as_ref(), idle).await?;
        let Some(bytes) = frame else { break };
        received = received.saturating_add(bytes.len() as u64);
        if received > most {
            return Err(Error::TooLarge(most));
        }
        if let Some(upload) = &mut upload {
            upload.take(&bytes)?;
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The body's next bytes; `None` at its end. What came before a failure is kept: the box goes on from there.
async fn next_frame(
    body: &mut Body,
    upload: Option<&Upload>,
    idle: Duration,
) -> Result<Option<Bytes>, Error> {
    let cancelled = async {
        match upload {
            Some(upload) => {
                upload.cancelled.cancelled().await;
                upload.refusal()
            }
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        frame = body.frame() => match frame {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(error)) => Err(Error::Broken(error.to_string())),
        },
        refusal = cancelled => Err(refusal),
        () = tokio::time::sleep(idle) => Err(Error::Idle(idle.as_secs())),
    }
}

impl Context {
    /// The channel of the path if the request's key is for it, with the key's version.
    fn authorise(&self, channel: &str, headers: &HeaderMap) -> Result<(ChannelId, u32), Error> {
        let channel: ChannelId = channel.parse()?;
        let now_unix_s = self.settings.clock.unix_ms() / 1_000;
        let grant = self.authority.check(headers, &channel, now_unix_s)?;
        Ok((channel, grant.version))
    }

    fn pusher(
        &self,
        channel: &str,
        session: &str,
        headers: &HeaderMap,
    ) -> Result<(Arc<Channel>, SessionId), Error> {
        let (channel, _) = self.authorise(channel, headers)?;
        let session: SessionId = session.parse()?;
        let channel = self.registry.get(channel.as_str()).ok_or(Error::NoSession(session))?;
        Ok((channel, session))
    }
}

async fn whole(body: Body, most: usize) -> Result<Bytes, Error> {
    to_bytes(body, most).await.map_err(|error| {
        let error = error.into_inner();
        if error.is::<http_body_util::LengthLimitError>() {
            Error::TooLarge(most as u64)
        } else {
            Error::Broken(error.to_string())
        }
    })
}

async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Error> {
    let bytes = whole(body, MAX_JSON_BYTES).await?;
    serde_json::from_slice(&bytes).map_err(|error| Error::malformed(error.to_string()))
}

fn header_number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(number);
    number.map(Some).ok_or_else(|| Error::malformed(format!("{name} is not a number")))
}

/// Decimal digits and nothing else, so that a number has one spelling in paths.
pub fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "00", "01", "+1", "-1", " 1", "1 ", "18446744073709551616", "1e3"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
