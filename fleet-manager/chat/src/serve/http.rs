//! As much HTTP/1.1 (RFC 9112) as a few small requests need: one request a connection, its head within limits, and an
//! answer. Bodies of requests are not read.

use std::io;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest head: cookies of other parts of the site come along.
const MAX_HEAD: usize = 16 << 10;
/// Most fields in it.
const MAX_FIELDS: usize = 96;
/// Read at a time.
const CHUNK: usize = 2 << 10;

/// Why a head was not understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The client went away; there is nobody to answer.
    #[error("the connection ended before the request")]
    Ended,
    #[error("the head of the request is longer than {MAX_HEAD} bytes or has more than {MAX_FIELDS} fields")]
    TooLong,
    #[error("not an HTTP/1.1 request")]
    Malformed,
}

/// The head of a request.
#[derive(Debug)]
pub(super) struct Head {
    pub method: String,
    /// Without the query.
    pub path: String,
    fields: Vec<(String, Vec<u8>)>,
    /// What was read behind it.
    pub rest: Vec<u8>,
}

impl Head {
    /// All fields of a name (in lower case), in order, that are text.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.fields
            .iter()
            .filter(move |(field, _)| field == name)
            .filter_map(|(_, value)| std::str::from_utf8(value).ok())
            .map(str::trim)
    }

    /// The only field of a name; `None` also when there are several.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether a field that is a list (RFC 9110 section 5.6.1) holds a token, whatever its case.
    pub(super) fn lists(&self, name: &str, token: &str) -> bool {
        self.items(name).any(|item| item.eq_ignore_ascii_case(token))
    }

    /// The items of a field that is a list.
    pub(super) fn items<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim)
    }
}

pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<Head, HeadError> {
    let mut bytes = Vec::new();
    loop {
        if bytes.len() >= MAX_HEAD {
            return Err(HeadError::TooLong);
        }
        bytes.reserve(CHUNK);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(HeadError::Ended);
        }
        if let Some(head) = parse(&bytes)? {
            return Ok(head);
        }
    }
}

/// `None`: there is more to come.
fn parse(bytes: &[u8]) -> Result<Option<Head>, HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLong),
        Err(_) => return Err(HeadError::Malformed),
    };
    let (Some(method), Some(target), Some(1)) = (request.method, request.path, request.version) else {
        return Err(HeadError::Malformed);
    };
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    Ok(Some(Head {
        method: method.to_owned(),
        path: path.to_owned(),
        fields: request
            .headers
            .iter()
            .map(|field| (field.name.to_ascii_lowercase(), field.value.to_owned()))
            .collect(),
        rest: bytes.get(len..).unwrap_or_default().to_owned(),
    }))
}

/// An answer with its whole body.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    /// Further fields, as they stand in the head.
    pub fields: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, fields: Vec::new(), body: body.into() }
    }

    pub(super) fn json(body: &impl Serialize) -> Self {
        Self::new(200, "application/json", serde_json::to_vec(body).unwrap_or_default())
    }

    /// RFC 9457.
    pub(super) fn problem(status: u16, detail: &str) -> Self {
        let body = serde_json::json!({ "title": phrase(status), "status": status, "detail": detail });
        Self::new(status, "application/problem+json", body.to_string())
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    pub(super) async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let length = [("content-length", self.body.len().to_string())];
        let mut bytes = head(self.status, self.content_type, self.fields.iter().chain(&length));
        bytes.extend_from_slice(&self.body);
        stream.write_all(&bytes).await?;
        stream.flush().await?;
        stream.shutdown().await
    }
}

/// A status line and fields, up to and with the empty line.
pub(super) fn head<'a>(
    status: u16,
    content_type: &str,
    fields: impl Iterator<Item = &'a (&'static str, String)>,
) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nconnection: close\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n\
         content-type: {content_type}\r\n",
        phrase(status)
    );
    for (name, value) in fields {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8]) -> Result<Head, HeadError> {
        read_head(&mut &*text).await
    }

    #[tokio::test]
    async fn a_head_is_read_and_what_follows_is_kept() {
        let head =
            read(b"GET /ws?x=1 HTTP/1.1\r\nHost: a\r\nX-List: one, Two\r\nx-list: three\r\n\r\n\x81\x80")
                .await
                .unwrap();
        assert_eq!((head.method.as_str(), head.path.as_str()), ("GET", "/ws"));
        assert_eq!(head.one("host"), Some("a"));
        assert_eq!(head.one("x-list"), None);
        assert!(head.lists("x-list", "two") && head.lists("x-list", "three") && !head.lists("x-list", "on"));
        assert_eq!(head.rest, b"\x81\x80");
    }

    #[tokio::test]
    async fn what_is_no_head_is_refused() {
        assert!(matches!(read(b"").await, Err(HeadError::Ended)));
        assert!(matches!(read(b"GET / HTTP/1.1\r\nHost: a\r\n").await, Err(HeadError::Ended)));
        assert!(matches!(read(b"GET / HTTP/1.0\r\n\r\n").await, Err(HeadError::Malformed)));
        assert!(matches!(read(b"\x16\x03\x01\x02\x00\x01\x00").await, Err(HeadError::Malformed)));
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        assert!(matches!(read(long.as_bytes()).await, Err(HeadError::TooLong)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(MAX_FIELDS + 1));
        assert!(matches!(read(many.as_bytes()).await, Err(HeadError::TooLong)));
    }

    #[tokio::test]
    async fn an_answer_says_how_long_it_is() {
        let mut bytes = Vec::new();
        Answer::problem(503, "full").with("retry-after", "5").write(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())) && head.contains("retry-after: 5"));
        assert!(body.contains("full"));
    }
}
