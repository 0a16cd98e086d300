//! A text that was rendered once and is handed out many times: as it is and compressed, with its
//! validators, ready to be put into a response.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::HeaderValue;

/// One encoding of the text.
#[derive(Debug, Clone)]
pub struct Form {
    pub body: Bytes,
    /// Strong, so the two encodings have different ones (RFC 9110 8.8.3.3).
    pub etag: HeaderValue,
    pub content_length: HeaderValue,
}

#[derive(Debug, Clone)]
pub struct Rendered {
    pub identity: Form,
    pub gzip: Form,
}

impl Rendered {
    #[must_use]
    pub fn new(text: String) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        let gzip = compress(text.as_bytes());
        Self { identity: form(text.into_bytes(), hash, ""), gzip: form(gzip, hash, "-gz") }
    }
}

fn form(body: Vec<u8>, hash: u64, suffix: &str) -> Form {
    let text = |text: String| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("0"));
    Form {
        etag: text(format!("\"{hash:016x}{suffix}\"")),
        content_length: HeaderValue::from(body.len()),
        body: Bytes::from(body),
    }
}

/// Level 6 takes a tenth of a millisecond for a playlist, once per version.
fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::default());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
