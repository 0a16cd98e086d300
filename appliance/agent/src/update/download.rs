//! Getting a bundle: with a range request from where it stopped, over lost connections, restarts of the agent and of the
//! box, until the SHA-256 of the whole file is right or there is no hope.
//!
//! The file grows only at its end, so that what a power cut leaves is a beginning. What the server said of its version
//! (`ETag`) is beside it before the first byte: a file that changed meanwhile is begun anew (RFC 9110 sections 13.1.5, 14.2).

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nodi_protocol::fleet::update::Bundle;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Client, Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::files::replace;
use crate::local::describe;
use crate::seams::{Obstacle, Progress};

/// Between two attempts, doubled up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What a power cut costs at most, in bytes, and what the disk takes in one go.
const SYNC_EVERY: u64 = 16 << 20;
/// Files that are complete and wrong before the server is believed to have another one.
const WRONG_FILES: u32 = 2;
/// Read at once when the file is verified.
const PIECE: usize = 1 << 20;
/// Longest `ETag` that is kept.
const LONGEST_VALIDATOR: usize = 512;

/// Why an attempt ended.
#[derive(Debug)]
enum Trouble {
    /// The next one may do better.
    Again(String),
    /// What is there is of no use.
    Anew(String),
    Over(Obstacle),
}

impl Trouble {
    fn over(reason: impl Into<String>) -> Self {
        Self::Over(Obstacle::lasting(reason))
    }
}

/// Gets `bundle` to `file`.
pub(super) async fn get(
    client: &Client,
    bundle: &Bundle,
    file: &Path,
    progress: &Progress,
) -> Result<(), Obstacle> {
    let url = address(&bundle.url)?;
    let download = Download { client, bundle, url, file, validator: beside(file), progress };
    let mut pause = PAUSE;
    let mut wrong = 0;
    loop {
        let before = download.held();
        let reason = match download.attempt().await {
            Ok(()) => match download.verify().await? {
                Ok(()) => return Ok(()),
                Err(digest) => {
                    wrong += 1;
                    download.forget()?;
                    let reason = format!("SHA-256 of the file is {digest}, of the order {}", bundle.sha256);
                    if wrong >= WRONG_FILES {
                        return Err(Obstacle::lasting(reason));
                    }
                    reason
                }
            },
            Err(Trouble::Over(obstacle)) => return Err(obstacle),
            Err(Trouble::Again(reason)) => reason,
            Err(Trouble::Anew(reason)) => {
                download.forget()?;
                reason
            }
        };
        if download.held() > before {
            pause = PAUSE;
        }
        log::warn!(update = bundle.version, reason; "the download stopped");
        progress.say(download.percent(download.held()), format!("{reason}; trying again"));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Where what the server said of its version is kept.
fn beside(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".validator");
    path.into()
}

fn address(url: &str) -> Result<Url, Obstacle> {
    let url = Url::parse(url).map_err(|error| Obstacle::lasting(format!("the bundle's address: {error}")))?;
    if crate::fleet::is_safe(&url) {
        Ok(url)
    } else {
        Err(Obstacle::lasting(format!("the bundle's address: {} is not https", url.scheme())))
    }
}

struct Download<'a> {
    client: &'a Client,
    bundle: &'a Bundle,
    url: Url,
    file: &'a Path,
    validator: PathBuf,
    progress: &'a Progress,
}

impl Download<'_> {
    fn held(&self) -> u64 {
        std::fs::metadata(self.file).map_or(0, |file| file.len())
    }

    fn percent(&self, held: u64) -> Option<u8> {
        // The last one is for a file that is verified.
        u8::try_from((held.saturating_mul(100) / self.bundle.bytes.max(1)).min(99)).ok()
    }

    fn forget(&self) -> Result<(), Obstacle> {
        for path in [self.file, &self.validator] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(&error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Until the file has as many bytes as the order says.
    async fn attempt(&self) -> Result<(), Trouble> {
        let held = self.held();
        if held > self.bundle.bytes {
            return Err(Trouble::Anew("more is there than the order says".to_owned()));
        }
        if held == self.bundle.bytes {
            return Ok(());
        }
        self.progress.say(self.percent(held), if held == 0 { "asking for it" } else { "going on with it" });
        let response = self.ask(held).await?;
        let from = self.begin(&response, held)?;
        self.take(response, from).await
    }

    async fn ask(&self, held: u64) -> Result<Response, Trouble> {
        let mut request = self.client.get(self.url.clone());
        if let Some(token) = &self.bundle.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if held > 0 {
            request = request.header(RANGE, format!("bytes={held}-"));
            if let Ok(validator) = std::fs::read_to_string(&self.validator) {
                request = request.header(IF_RANGE, validator);
            }
        }
        request.send().await.map_err(|error| {
            if error.is_redirect() || error.is_builder() {
                Trouble::over(describe(&error))
            } else {
                Trouble::Again(describe(&error))
            }
        })
    }

    /// Where the body belongs, which is the end of what is there or the beginning.
    fn begin(&self, response: &Response, held: u64) -> Result<u64, Trouble> {
        let bytes = self.bundle.bytes;
        let wrong_size =
            |said: u64| Trouble::over(format!("the server's file has {said} bytes, the order says {bytes}"));
        match response.status() {
            StatusCode::OK => {
                if let Some(said) = number(response.headers(), CONTENT_LENGTH.as_str())
                    && said != bytes
                {
                    return Err(wrong_size(said));
                }
                // It does not do ranges, or has another file now.
                self.forget().map_err(Trouble::Over)?;
                self.keep_validator(response.headers());
                Ok(0)
            }
            StatusCode::PARTIAL_CONTENT => {
                let (from, whole) = range(response.headers())
                    .ok_or_else(|| Trouble::Anew("the server does not say which part it sends".to_owned()))?;
                match whole {
                    Some(whole) if whole != bytes => Err(wrong_size(whole)),
                    _ if from != held => {
                        Err(Trouble::Anew(format!("the server sends from byte {from}, not {held}")))
                    }
                    _ => Ok(held),
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(Trouble::Anew("the server has no such part of it".to_owned()))
            }
            status if is_final(status) => Err(Trouble::over(format!("the server refuses it: {status}"))),
            status => Err(Trouble::Again(format!("the server answers {status}"))),
        }
    }

    /// Good for `If-Range` only when it names these very bytes.
    fn keep_validator(&self, headers: &HeaderMap) {
        let of = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let strong = of(ETAG).filter(|tag| !tag.starts_with("W/"));
        let Some(validator) = strong.or_else(|| of(LAST_MODIFIED)) else { return };
        if validator.len() <= LONGEST_VALIDATOR
            && let Err(error) = replace(&self.validator, validator.as_bytes(), 0o644)
        {
            // The SHA-256 tells in the end.
            log::warn!(error:%; "what the server says of its version is not kept");
        }
    }

    async fn take(&self, mut response: Response, from: u64) -> Result<(), Trouble> {
        let failed = |error: std::io::Error| Trouble::Over(disk(&error));
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.create(true).append(true).mode(0o600).open(self.file).await.map_err(failed)?;
        let mut held = from;
        let mut synced = from;
        let ended = loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break Ok(()),
                Err(error) => break Err(Trouble::Again(describe(&error))),
            };
            held += chunk.len() as u64;
            if held > self.bundle.bytes {
                break Err(Trouble::over(format!(
                    "the server sends more than the {} bytes of the order",
                    self.bundle.bytes
                )));
            }
            file.write_all(&chunk).await.map_err(failed)?;
            if held - synced >= SYNC_EVERY {
                file.sync_data().await.map_err(failed)?;
                synced = held;
            }
            self.progress.say(self.percent(held), format!("{held} of {} bytes", self.bundle.bytes));
        };
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        ended?;
        if held < self.bundle.bytes {
            return Err(Trouble::Again(format!("the server ended after {held} bytes")));
        }
        Ok(())
    }

    /// Inside: the digest that is not the order's.
    async fn verify(&self) -> Result<Result<(), String>, Obstacle> {
        self.progress.say(Some(99), "verifying");
        let path = self.file.to_owned();
        let digest = tokio::task::spawn_blocking(move || digest(&path)).await;
        let digest = match digest {
            Ok(Ok(digest)) => digest,
            Ok(Err(error)) => return Err(disk(&error)),
            Err(error) => return Err(Obstacle::lasting(error.to_string())),
        };
        Ok(if digest == self.bundle.sha256 { Ok(()) } else { Err(digest) })
    }
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        digest.update(piece.get(..read).unwrap_or_default());
    }
}

/// Room may be made; anything else with the disk is no better a second later.
fn disk(error: &std::io::Error) -> Obstacle {
    let reason = format!("the bundle cannot be kept: {error}");
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Obstacle::passing(reason),
        _ => Obstacle::lasting(reason),
    }
}

/// A verdict: the same request will not do better.
fn is_final(status: StatusCode) -> bool {
    !(status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::TOO_EARLY
        ))
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `bytes 5-9/10`: the first, and how many there are in all.
fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (part, whole) = text.split_once('/')?;
    let (from, _) = part.split_once('-')?;
    Some((from.trim().parse().ok()?, whole.trim().parse().ok()))
}

#[cfg(test)]
mod tests;
