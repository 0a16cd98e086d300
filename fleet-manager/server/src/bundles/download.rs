//! Handing a bundle to a box that has an order for it.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use rusqlite::OptionalExtension as _;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::range::{Wanted, wanted};
use super::{BundleId, store};
use crate::error::{Error, Problem};
use crate::http::identity::bearer;
use crate::ids;
use crate::state::App;

/// What is read from the disk at a time.
const CHUNK: usize = 128 << 10;
/// A box that comes while too many download tries again after so long.
const RETRY_AFTER_S: u64 = 30;

/// One answer with a bundle or a part of it.
///
/// # Errors
/// When the token is not of an order for this bundle that is not over.
pub(super) async fn answer(app: &App, id: BundleId, headers: &HeaderMap) -> Result<Response, Error> {
    let refused = || Error::Unauthenticated("this token is not of an order for this bundle".to_owned());
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let token = text(header::AUTHORIZATION).and_then(bearer).ok_or_else(refused)?;
    let digest = ids::digest(token);
    let wants = id.clone();
    // Tokens are looked up by their digest: nothing is to be learnt from how long that takes.
    let bundle = app
        .db
        .read(move |connection| {
            let allowed: Option<String> = connection
                .prepare_cached("SELECT bundle FROM box_update WHERE token_digest = ?1 AND over_ms IS NULL")?
                .query_row([digest], |row| row.get(0))
                .optional()?;
            match allowed {
                Some(allowed) if allowed == wants.as_str() => store::one(connection, &wants),
                _ => Ok(None),
            }
        })
        .await?
        .ok_or_else(refused)?;
    let etag = format!("\"{id}\"");
    if text(header::IF_NONE_MATCH) == Some(etag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let (status, start, length) =
        match wanted(text(header::RANGE), text(header::IF_RANGE), &etag, bundle.bytes) {
            Wanted::Whole => (StatusCode::OK, 0, bundle.bytes),
            Wanted::Part { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
            Wanted::Nothing => {
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                let problem = Problem {
                    r#type: "about:blank".to_owned(),
                    title: "Range Not Satisfiable".to_owned(),
                    status: status.as_u16(),
                    detail: format!("the bundle has {} bytes", bundle.bytes),
                    field: None,
                };
                let range = format!("bytes */{}", bundle.bytes);
                return Ok(([(header::CONTENT_RANGE, range)], problem).into_response());
            }
        };
    let Ok(permit) = app.bundles.downloading.clone().try_acquire_owned() else {
        let problem = Error::Unavailable("too many boxes download just now".to_owned());
        return Ok(([(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))], problem).into_response());
    };
    let path = app.bundles.path(&id);
    let gone = |error: std::io::Error| Error::Internal(format!("{}: {error}", path.display()));
    let mut file = tokio::fs::File::open(&path).await.map_err(gone)?;
    file.seek(std::io::SeekFrom::Start(start)).await.map_err(gone)?;
    let sent = app.bundles.sent.clone();
    let stream = ReaderStream::with_capacity(file.take(length), CHUNK).inspect(move |chunk| {
        // Given back with the stream.
        let _place = &permit;
        if let Ok(chunk) = chunk {
            sent.inc_by(chunk.len() as u64);
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        (header::ETAG, header_value(&etag)?),
    ];
    let mut response = (status, headers, Body::from_stream(stream)).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {start}-{}/{}", start + length - 1, bundle.bytes);
        response.headers_mut().insert(header::CONTENT_RANGE, header_value(&range)?);
    }
    Ok(response)
}

fn header_value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|error| Error::Internal(error.to_string()))
}
