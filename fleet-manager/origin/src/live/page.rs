//! The watch page: files of one directory. Every `/watch/<channel>` is its `index.html`, which finds the
//! channel in its address.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, StatusCode, Uri};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use super::answer::{Answer, Body};

/// The build names everything under it after its content.
const HASHED: &str = "/assets/";

#[derive(Debug, Clone)]
pub(super) struct Pages {
    files: ServeDir,
}

impl Pages {
    #[must_use]
    pub(super) fn new(root: PathBuf) -> Self {
        Self { files: ServeDir::new(root).append_index_html_on_directories(false).precompressed_gzip() }
    }

    pub(super) async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        index: bool,
    ) -> Answer {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method.clone();
        *request.headers_mut() = headers.clone();
        *request.uri_mut() = if index { Uri::from_static("/index.html") } else { uri.clone() };
        let Ok(response) = self.files.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        if !(parts.status.is_success() || parts.status.is_redirection()) {
            return Answer::empty(parts.status);
        }
        let mut answer = Answer::empty(parts.status);
        answer.headers.extend(parts.headers);
        let caching = if !index && uri.path().starts_with(HASHED) {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        answer.headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        answer.headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        answer
            .headers
            .insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("same-origin"));
        if parts.status != StatusCode::NOT_MODIFIED {
            answer.body = Body::Stream(body.map_err(io::Error::other).boxed_unsync());
        }
        answer
    }
}
