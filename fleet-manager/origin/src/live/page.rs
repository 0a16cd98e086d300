//! The watch site: files of one directory. Each of its pages is its `index.html`, which finds out from its address
//! what to show.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, StatusCode, Uri};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use super::answer::{Answer, Body};
use super::route::Page;

/// The build names everything under it after its content.
const HASHED: &str = "/assets/";
/// Pictures that chat messages name for ever: they hardly change.
const EMOTES: &str = "/emotes/";

/// What a page of the site may do. Scripts and styles come from files only, so that what somebody says in chat can become
/// neither; `'self'` includes the WebSocket of the same host (CSP 3, 6.7.2.8). Players hand video to the browser as `blob:`,
/// and an emote is shown that way before it is uploaded.
const POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; \
                      worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

#[derive(Debug, Clone)]
pub(super) struct Pages {
    files: ServeDir,
}

impl Pages {
    #[must_use]
    pub(super) fn new(root: PathBuf) -> Self {
        Self { files: ServeDir::new(root).append_index_html_on_directories(false).precompressed_gzip() }
    }

    pub(super) async fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, page: Page) -> Answer {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = if page == Page::File { uri.clone() } else { Uri::from_static("/index.html") };
        if page == Page::Missing {
            // What a cache has of a page that is missing is never good enough.
            if let Some(encodings) = headers.get(ACCEPT_ENCODING) {
                request.headers_mut().insert(ACCEPT_ENCODING, encodings.clone());
            }
        } else {
            *request.headers_mut() = headers.clone();
        }
        let Ok(response) = self.files.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        if !(parts.status.is_success() || parts.status.is_redirection()) {
            return Answer::empty(parts.status);
        }
        let status = if page == Page::Missing { StatusCode::NOT_FOUND } else { parts.status };
        let mut answer = Answer::empty(status);
        answer.headers.extend(parts.headers);
        for (name, value) in [
            (CACHE_CONTROL, caching(page, uri.path())),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        ] {
            answer.headers.insert(name, HeaderValue::from_static(value));
        }
        if parts.status != StatusCode::NOT_MODIFIED {
            answer.body = Body::Stream(body.map_err(io::Error::other).boxed_unsync());
        }
        answer
    }
}

fn caching(page: Page, path: &str) -> &'static str {
    match page {
        // It names the files of the release that runs now.
        Page::Document => "no-cache",
        Page::Missing => "no-store",
        Page::File if path.starts_with(HASHED) => "public, max-age=31536000, immutable",
        Page::File if path.starts_with(EMOTES) => "public, max-age=86400, stale-while-revalidate=604800",
        Page::File => "public, max-age=600, stale-while-revalidate=86400",
    }
}
