//! The dashboard: a single-page application whose files are built into the binary, or read from the source tree by a
//! development build.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::Error;

mod built_in {
    include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));
}

/// What the page build writes, seen from this crate.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/dist-fleet");
const INDEX: &str = "index.html";
/// Files below it carry a hash of what is in them in their names.
const HASHED: &str = "assets/";
/// Below it nothing is worth compressing.
const MIN_COMPRESSED: usize = 512;

const MISSING: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Nodi fleet</title>\
    <h1>The dashboard is not part of this build</h1>\
    <p>The fleet server runs. Build the dashboard with <code>make web</code>, then this server again.</p>\
    <p>The API works all the same: <a href=\"/api/docs\">its description</a>.</p></html>";

/// Everything that is not the API: a file of the dashboard, or the page itself, which knows its own addresses.
pub(super) async fn serve(request: Request) -> Response {
    let method = request.method();
    if method != Method::GET && method != Method::HEAD {
        let mut answer = Error::Method(method.to_string()).into_response();
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let headers = request.headers().clone();
    // Reading a file, or compressing it for the first time, takes a while.
    let answer = tokio::task::spawn_blocking(move || answer(&path, &headers)).await;
    answer.unwrap_or_else(|error| Error::Internal(format!("dashboard: {error}")).into_response())
}

fn answer(path: &str, headers: &HeaderMap) -> Response {
    let wanted = if path.is_empty() { INDEX } else { path };
    if let Some(bytes) = read(wanted) {
        return file(wanted, bytes, headers);
    }
    // What looks like a file is one, and not a page of the application.
    let last = wanted.rsplit('/').next().unwrap_or_default();
    if wanted.starts_with(HASHED) || last.contains('.') {
        return Error::not_found("file", path).into_response();
    }
    match read(INDEX) {
        Some(bytes) => file(INDEX, bytes, headers),
        None => {
            let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            (StatusCode::NOT_FOUND, kind, MISSING).into_response()
        }
    }
}

fn read(path: &str) -> Option<Cow<'static, [u8]>> {
    let built_in = built_in::FILES.iter().find(|(name, _)| *name == path);
    if let Some((_, bytes)) = built_in {
        return Some(Cow::Borrowed(bytes));
    }
    let plain =
        path.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains('\\'));
    if cfg!(debug_assertions) && plain {
        return std::fs::read(Path::new(SOURCE).join(path)).ok().map(Cow::Owned);
    }
    None
}

fn file(path: &str, bytes: Cow<'static, [u8]>, headers: &HeaderMap) -> Response {
    let kind = kind(path);
    // The page names the hashed files that belong to it: it must not be older than they are.
    let caching = if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let text = kind.starts_with("text/")
        || kind.contains("javascript")
        || kind.contains("json")
        || kind.contains("svg");
    let mut answer = if text && bytes.len() >= MIN_COMPRESSED && takes_gzip(headers) {
        let mut answer = compressed(path, &bytes).into_response();
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        answer
    } else {
        match bytes {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes).into_response(),
            Cow::Owned(bytes) => Bytes::from(bytes).into_response(),
        }
    };
    let set = answer.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if text {
        set.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    answer
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && parts.all(|part| part != "q=0")
    })
}

/// Compressed once; a file of a development build is compressed again when it has another length.
fn compressed(path: &str, bytes: &[u8]) -> Bytes {
    type Kept = HashMap<String, (usize, Bytes)>;
    /// Bounded by the number of files.
    static KEPT: Mutex<Option<Arc<Mutex<Kept>>>> = Mutex::new(None);
    let kept = Arc::clone(KEPT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default());
    if path.starts_with(HASHED)
        && let Some((length, done)) = kept.lock().unwrap_or_else(PoisonError::into_inner).get(path)
        && *length == bytes.len()
    {
        return done.clone();
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let done: Bytes = match encoder.write_all(bytes).and_then(|()| encoder.finish()) {
        Ok(done) => done.into(),
        // Memory does not fail to be written to.
        Err(_) => Bytes::new(),
    };
    if path.starts_with(HASHED) {
        kept.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.to_owned(), (bytes.len(), done.clone()));
    }
    done
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
