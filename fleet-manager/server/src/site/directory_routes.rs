//! The directory over HTTP: asked for, or followed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use tokio::sync::watch;
use utoipa_axum::routes;

use super::access::Site;
use super::directory::{Directory, Snapshot};
use super::limits::Place;
use crate::error::Error;
use crate::http::client::Client;
use crate::state::App;

/// How often a quiet stream says that it is alive: below the minute after which proxies close a silent connection.
const ALIVE: Duration = Duration::from_secs(15);
/// What a browser hears first: it is connected, and comes back after so long when it no longer is.
const HELLO: &[u8] = b"retry: 3000\n\n";

pub(super) fn routes() -> Site {
    Site::new("directory").public(routes!(live)).public(routes!(events))
}

/// What is live
#[utoipa::path(get, path = "/live",
    params(("if-none-match" = Option<String>, Header, description = "The ETag of what one has.")),
    responses(
        (status = 200, description = "Live channels, most viewers first.", body = Directory,
            headers(("etag" = String, description = "Changes with it."))),
        (status = 304, description = "It is what one has."),
    ))]
async fn live(State(app): State<App>, headers: HeaderMap) -> Result<Response, Error> {
    let snapshot = app.site.directory.now();
    let gzip = accepts_gzip(&headers);
    // Two forms are two things to a cache.
    let etag = if gzip { snapshot.etag.replacen('"', "\"z", 1) } else { snapshot.etag.clone() };
    let common = [
        (header::ETAG, HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""))),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=1")),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    if matches(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(if gzip {
        let encoding = (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        (common, [json, encoding], snapshot.gzip.clone()).into_response()
    } else {
        (common, [json], snapshot.json.clone()).into_response()
    })
}

/// Whether a client that asks `If-None-Match` has this already (RFC 9110 13.1.2: compared weakly).
pub(super) fn matches(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim().trim_start_matches("W/"))
        .any(|known| known == etag || known == "*")
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next()?;
            let refused = parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
            Some(name.eq_ignore_ascii_case("gzip") && !refused)
        })
        .any(|gzip| gzip)
}

/// What is live, as it changes
///
/// Server-sent events: `live`, each with all that `GET /site/v1/live` has. The first one at once, then whenever it is
/// another one. A slow reader misses what came between.
#[utoipa::path(get, path = "/live/events", responses(
    (status = 200, description = "A stream that does not end.", body = String, content_type = "text/event-stream"),
    (status = 429, description = "Too many follow already, or too many requests from this address.", headers(("retry-after" = u64, description = "In seconds."))),
))]
async fn events(State(app): State<App>, client: Client) -> Result<Response, Error> {
    let place = app.site.limits.follower(&app.config.site, client.address)?;
    app.site.counts.followers.inc();
    let mut changes = app.site.directory.follow();
    changes.mark_changed();
    let follower = Follower { app, changes, hello: true, _place: place };
    let stream = unfold(follower, |mut follower| async move {
        let bytes = follower.next().await?;
        Some((Ok::<_, Infallible>(bytes), follower))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would hold events back until it has a buffer full.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

struct Follower {
    app: App,
    changes: watch::Receiver<Arc<Snapshot>>,
    hello: bool,
    _place: Place,
}

impl Follower {
    /// `None` ends the stream.
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.hello) {
            return Some(Bytes::from_static(HELLO));
        }
        tokio::select! {
            changed = self.changes.changed() => {
                changed.ok()?;
                Some(self.changes.borrow_and_update().event.clone())
            }
            () = tokio::time::sleep(ALIVE) => Some(Bytes::from_static(b": alive\n\n")),
            () = self.app.shutdown.wait() => None,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.app.site.counts.followers.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(matches(&with(header::IF_NONE_MATCH, known), "\"a\""), "{known}");
        }
        for other in ["\"b\"", "a", ""] {
            assert!(!matches(&with(header::IF_NONE_MATCH, other), "\"a\""), "{other}");
        }
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for good in ["gzip", "br, gzip;q=0.5", "GZIP"] {
            assert!(accepts_gzip(&with(header::ACCEPT_ENCODING, good)), "{good}");
        }
        for bad in ["", "br", "gzip;q=0", "x-gzip"] {
            assert!(!accepts_gzip(&with(header::ACCEPT_ENCODING, bad)), "{bad}");
        }
    }
}
