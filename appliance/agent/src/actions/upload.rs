//! Sending a body to where a command says: over HTTPS, with the token that is good for this one upload.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use nodi_protocol::fleet::command::Upload;
use reqwest::{Body, Client, StatusCode, Url};
use tokio::sync::mpsc;

use crate::seams::Progress;

/// What a measurement sends at most, in bytes: 20 s of a line of 100 Mbit/s.
const MOST_MEASURED: u64 = 256 << 20;
/// Less says more about the handshake than about the line.
const LEAST_MEASURED: u64 = 64 << 10;
/// One piece of a measurement.
const PIECE: usize = 64 << 10;
/// What is shown of a refusal, in characters.
const SHOWN: usize = 200;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the address of the upload: {0}")]
    Address(String),
    #[error("upload: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the upload is refused: {status} {said}")]
    Refused { status: StatusCode, said: String },
    #[error("{bytes} bytes are not between {LEAST_MEASURED} and what may be uploaded, {most}")]
    Size { bytes: u64, most: u64 },
}

/// What the line carried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub bytes: u64,
    pub seconds: f64,
    pub bits_per_s: u64,
}

/// `PUT` of a body that is made while it is sent.
pub(super) async fn put(
    client: &Client,
    upload: &Upload,
    kind: &'static str,
    body: mpsc::Receiver<std::io::Result<Bytes>>,
) -> Result<(), Error> {
    let url = Url::parse(&upload.url).map_err(|error| Error::Address(error.to_string()))?;
    // The token would be there for everybody on the way to read.
    if !crate::fleet::is_safe(&url) {
        return Err(Error::Address(format!("{} is not https", url.scheme())));
    }
    let request = client
        .put(url)
        .bearer_auth(&upload.token)
        .header(reqwest::header::CONTENT_TYPE, kind)
        .body(Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(body)));
    let mut response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let said = response.chunk().await.ok().flatten().unwrap_or_default();
    let said = String::from_utf8_lossy(&said).chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    Err(Error::Refused { status, said })
}

/// Sends `bytes` that nothing on the way can make smaller, and takes the time from the first to the answer.
pub(super) async fn measure(
    client: &Client,
    bytes: u64,
    upload: &Upload,
    progress: &Progress,
) -> Result<Measured, Error> {
    let most = upload.max_bytes.min(MOST_MEASURED);
    if !(LEAST_MEASURED..=most).contains(&bytes) {
        return Err(Error::Size { bytes, most });
    }
    let mut noise = vec![0; PIECE];
    // Zeros would do, were there no middle box that compresses.
    if let Err(error) = getrandom::fill(&mut noise) {
        log::warn!(error:%; "the line is measured with zeros");
    }
    let noise = Bytes::from(noise);
    let (send, body) = mpsc::channel(2);
    let began = Arc::new(Mutex::new(None));
    let begin = Arc::clone(&began);
    let said = progress.clone();
    let feeding = async move {
        let mut left = bytes;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            if send.send(Ok(noise.slice(..piece))).await.is_err() {
                return;
            }
            // The first two wait in the channel while the connection is made.
            begin.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
            left -= piece as u64;
            let percent = (bytes - left).saturating_mul(100) / bytes;
            said.say(u8::try_from(percent).ok(), "measuring the uplink");
        }
    };
    let started = Instant::now();
    let (sent, ()) = tokio::join!(put(client, upload, "application/octet-stream", body), feeding);
    sent?;
    let began = began.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(started);
    let seconds = began.elapsed().as_secs_f64().max(0.001);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rate in bit/s"
    )]
    let bits_per_s = (bytes as f64 * 8.0 / seconds) as u64;
    Ok(Measured { bytes, seconds: (seconds * 1000.0).round() / 1000.0, bits_per_s })
}
