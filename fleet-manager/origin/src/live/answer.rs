//! Responses: their bodies, the headers that many of them share, and what the request's conditions make of them.

use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE, VARY,
};

use crate::blob::Slice;
use crate::rendered::Rendered;

/// What a response carries.
pub enum Body {
    Empty,
    Bytes(Bytes),
    /// Bytes that a plain connection can send from their file.
    Slice(Slice),
    /// Its length is not known yet.
    Stream(UnsyncBoxBody<Bytes, io::Error>),
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

/// How long a shared cache may keep it (RFC 8216bis, appendix B).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// The address never names other bytes.
    Immutable,
    /// What a player joins with: one second behind costs nothing, it catches up with blocking reloads.
    Short,
    /// A blocking reload's address names one position of one playlist: six target durations.
    Blocking(u64),
    /// Refusals: what is not there now may be there in the next moment.
    Never,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const ONE_SECOND: HeaderValue = HeaderValue::from_static("public, max-age=1");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
/// Longest target duration that a claim may have.
const MAX_TARGET_S: u64 = 60;

/// `max-age` of blocking reloads by target duration.
static BLOCKING: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    (0..=MAX_TARGET_S)
        .map(|target| HeaderValue::try_from(format!("public, max-age={}", target * 6)).unwrap_or(ONE_SECOND))
        .collect()
});

/// The headers of every response: any page may play any channel, and players read `Age`.
static COMMON: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Age, Content-Length, Content-Range, Date, ETag"),
    );
    headers
});

impl Caching {
    fn header(self) -> HeaderValue {
        match self {
            Self::Immutable => FOR_EVER,
            Self::Short => ONE_SECOND,
            Self::Blocking(target) => {
                let index = usize::try_from(target.min(MAX_TARGET_S)).unwrap_or(0);
                BLOCKING.get(index).cloned().unwrap_or(ONE_SECOND)
            }
            Self::Never => NO_STORE,
        }
    }
}

impl Answer {
    pub fn empty(status: StatusCode) -> Self {
        let mut headers = COMMON.clone();
        headers.insert(CACHE_CONTROL, NO_STORE);
        Self { status, headers, body: Body::Empty }
    }

    pub fn not_found() -> Self {
        Self::empty(StatusCode::NOT_FOUND)
    }

    /// A refusal that says why.
    pub fn text(status: StatusCode, text: &'static str) -> Self {
        let mut answer = Self::empty(status);
        answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        answer.body = Body::Bytes(Bytes::from_static(text.as_bytes()));
        answer
    }

    pub fn json(body: Vec<u8>) -> Self {
        Self::whole(JSON, Caching::Short, Body::Bytes(Bytes::from(body)))
    }

    pub fn whole(content_type: HeaderValue, caching: Caching, body: Body) -> Self {
        let mut headers = COMMON.clone();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(CACHE_CONTROL, caching.header());
        Self { status: StatusCode::OK, headers, body }
    }

    /// A playlist in the encoding that the player takes.
    pub fn playlist(rendered: &Rendered, caching: Caching, request: &HeaderMap) -> Self {
        let gzip = takes_gzip(request);
        let form = if gzip { &rendered.gzip } else { &rendered.identity };
        let mut answer = Self::whole(PLAYLIST, caching, Body::Empty);
        answer.headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        answer.headers.insert(ETAG, form.etag.clone());
        if matches_etag(request, &form.etag) {
            answer.headers.remove(CONTENT_TYPE);
            answer.status = StatusCode::NOT_MODIFIED;
            return answer;
        }
        if gzip {
            answer.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        answer.body = Body::Bytes(form.body.clone());
        answer
    }

    /// Immutable bytes, whole or as the range that was asked for.
    pub fn object(content: Content, content_type: HeaderValue, request: &HeaderMap) -> Self {
        let etag = content.etag();
        if matches_etag(request, &etag) {
            let mut answer = Self::whole(content_type, Caching::Immutable, Body::Empty);
            answer.headers.remove(CONTENT_TYPE);
            answer.headers.insert(ETAG, etag);
            answer.status = StatusCode::NOT_MODIFIED;
            return answer;
        }
        let len = content.len();
        let range = match requested_range(request, &etag) {
            Some(range) => range.within(len),
            None => Ok(None),
        };
        let (status, body, content_range) = match range {
            Ok(None) => (StatusCode::OK, content.into_body(), None),
            Ok(Some((start, count))) => (
                StatusCode::PARTIAL_CONTENT,
                content.range(start, count),
                Some(format!("bytes {start}-{}/{len}", start + count - 1)),
            ),
            Err(Unsatisfiable) => {
                let mut answer = Self::empty(StatusCode::RANGE_NOT_SATISFIABLE);
                answer.set(CONTENT_RANGE, format!("bytes */{len}"));
                return answer;
            }
        };
        let mut answer = Self::whole(content_type, Caching::Immutable, body);
        answer.status = status;
        answer.headers.insert(ETAG, etag);
        answer.headers.insert(ACCEPT_RANGES, BYTES);
        if let Some(content_range) = content_range {
            answer.set(CONTENT_RANGE, content_range);
        }
        answer
    }

    pub fn set(&mut self, name: hyper::header::HeaderName, value: String) {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(name, value);
        }
    }

    /// The answer to HEAD: all but the body.
    pub fn without_body(mut self) -> Self {
        if let Some(len) = self.body.size_hint().exact()
            && self.status != StatusCode::NOT_MODIFIED
            && self.status != StatusCode::NO_CONTENT
        {
            self.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        }
        self.body = Body::Empty;
        self
    }
}

/// Immutable bytes of known length.
pub enum Content {
    Bytes(Bytes),
    Slice(Slice),
}

impl Content {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Slice(slice) => slice.len(),
        }
    }

    /// The address names the object, so its place and length tell its only other state: cut short by a crash.
    fn etag(&self) -> HeaderValue {
        let offset = match self {
            Self::Bytes(_) => 0,
            Self::Slice(slice) => slice.file().1,
        };
        HeaderValue::try_from(format!("\"{offset:x}-{:x}\"", self.len()))
            .unwrap_or(HeaderValue::from_static("\"0\""))
    }

    fn into_body(self) -> Body {
        match self {
            Self::Bytes(bytes) => Body::Bytes(bytes),
            Self::Slice(slice) => Body::Slice(slice),
        }
    }

    fn range(self, start: u64, count: u64) -> Body {
        match self {
            Self::Slice(slice) => slice.range(start, count).map_or(Body::Empty, Body::Slice),
            Self::Bytes(bytes) => {
                let start = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(usize::try_from(count).unwrap_or(usize::MAX)).min(bytes.len());
                Body::Bytes(bytes.slice(start..end))
            }
        }
    }
}

/// One byte range as it was asked for (RFC 9110 14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    From(u64, Option<u64>),
    Last(u64),
}

/// No byte of the range is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsatisfiable;

impl ByteRange {
    /// Start and count within `len` bytes.
    pub fn within(self, len: u64) -> Result<Option<(u64, u64)>, Unsatisfiable> {
        let (start, end) = match self {
            Self::From(start, end) => (start, end.map_or(len, |end| end.saturating_add(1).min(len))),
            Self::Last(count) => (len.saturating_sub(count), len),
        };
        if start < end { Ok(Some((start, end - start))) } else { Err(Unsatisfiable) }
    }
}

/// The request's range, unless it has several, is malformed, or is for another version: those get the whole.
pub fn requested_range(request: &HeaderMap, etag: &HeaderValue) -> Option<ByteRange> {
    let text = request.get(RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
    if request.get(IF_RANGE).is_some_and(|version| version != etag) {
        return None;
    }
    let (start, end) = text.trim().split_once('-')?;
    let digits = |text: &str| {
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse().ok())
            .flatten()
    };
    match (start, end) {
        ("", count) => Some(ByteRange::Last(digits(count)?)),
        (start, "") => Some(ByteRange::From(digits(start)?, None)),
        (start, end) => {
            let (start, end) = (digits(start)?, digits(end)?);
            (start <= end).then_some(ByteRange::From(start, Some(end)))
        }
    }
}

fn matches_etag(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let Some(known) = request.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok()) else {
        return false;
    };
    let Ok(etag) = etag.to_str() else { return false };
    known.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == etag)
}

fn takes_gzip(request: &HeaderMap) -> bool {
    let Some(accepted) = request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Self::Stream(stream) = &mut *self {
            return Pin::new(stream).poll_frame(context);
        }
        Poll::Ready(match std::mem::replace(&mut *self, Self::Empty) {
            Self::Bytes(bytes) if !bytes.is_empty() => Some(Ok(Frame::data(bytes))),
            Self::Slice(slice) if !slice.is_empty() => Some(Ok(Frame::data(slice.bytes()))),
            _ => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Slice(slice) => slice.is_empty(),
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Slice(slice) => SizeHint::with_exact(slice.len()),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: hyper::header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn ranges_are_one_range_or_the_whole() {
        let etag = HeaderValue::from_static("\"a\"");
        let range = |text| requested_range(&request(RANGE, text), &etag);
        assert_eq!(range("bytes=0-9").unwrap().within(5), Ok(Some((0, 5))));
        assert_eq!(range("bytes=2-3").unwrap().within(5), Ok(Some((2, 2))));
        assert_eq!(range("bytes=4-").unwrap().within(5), Ok(Some((4, 1))));
        assert_eq!(range("bytes=-2").unwrap().within(5), Ok(Some((3, 2))));
        assert_eq!(range("bytes=5-").unwrap().within(5), Err(Unsatisfiable));
        assert_eq!(range("bytes=-0").unwrap().within(5), Err(Unsatisfiable));
        for whole in ["bytes=0-1,3-4", "bytes=3-2", "bytes=a-b", "items=0-1", "bytes=-", "bytes=+1-2"] {
            assert_eq!(range(whole), None, "{whole}");
        }
        let mut other = request(RANGE, "bytes=0-1");
        other.insert(IF_RANGE, HeaderValue::from_static("\"b\""));
        assert_eq!(requested_range(&other, &etag), None);
    }

    #[test]
    fn gzip_only_when_it_is_taken() {
        for (accepted, takes) in
            [("gzip", true), ("br, GZIP;q=0.5", true), ("gzip;q=0", false), ("br", false), ("", false)]
        {
            assert_eq!(takes_gzip(&request(ACCEPT_ENCODING, accepted)), takes, "{accepted}");
        }
    }

    #[test]
    fn validators_match_weakly() {
        let etag = HeaderValue::from_static("\"a\"");
        for (known, matches) in
            [("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\"", true), ("*", true), ("a", false)]
        {
            assert_eq!(matches_etag(&request(IF_NONE_MATCH, known), &etag), matches, "{known}");
        }
    }
}
