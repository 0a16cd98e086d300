//! An S3-compatible bucket as a store. Requests carry their signature in the query (SigV4, presigned).

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode};
use rusty_s3::{Credentials, S3Action as _, UrlStyle};

use super::remote::MAX_PLAYLIST;
use super::{Content, Error, Kind};
use crate::config;
use crate::http::{Factory, Patience, Trust, describe};

/// How long a signature is good for: a request leaves at once, and clocks differ by minutes at most.
const SIGNED_FOR: Duration = Duration::from_secs(300);
/// For a whole request: the largest segment on a slow line.
const TIMEOUT: Duration = Duration::from_secs(60);
const PATIENCE: Patience = Patience { connect: Duration::from_secs(5), stall: Duration::from_secs(15) };
/// Bytes of a refusal that are worth reading.
const MAX_REFUSAL: usize = 4096;

#[derive(Debug)]
pub(super) struct Bucket {
    bucket: rusty_s3::Bucket,
    prefix: String,
    access_key: PathBuf,
    secret_key: PathBuf,
    factory: Mutex<Factory>,
}

impl Bucket {
    pub(super) fn new(config: &config::Bucket) -> Result<Self, crate::Error> {
        let invalid = |reason: String| crate::Error::Target { name: config.name.clone(), reason };
        let endpoint = config.endpoint.parse().map_err(|error| invalid(format!("{error}")))?;
        let style = if config.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let bucket = rusty_s3::Bucket::new(endpoint, style, config.bucket.clone(), config.region.clone())
            .map_err(|error| invalid(error.to_string()))?;
        let prefix = if config.prefix.is_empty() { String::new() } else { format!("{}/", config.prefix) };
        let trust = Trust { ca: config.ca.clone(), identity: None };
        let mut factory = Factory::new(trust, PATIENCE);
        // A wrong file shows at the start and not at the first stream.
        factory.client().map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            bucket,
            prefix,
            access_key: config.access_key.clone(),
            secret_key: config.secret_key.clone(),
            factory: Mutex::new(factory),
        })
    }

    fn client(&self) -> Result<Client, Error> {
        let mut factory = self.factory.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        factory.client().map_err(|error| Error::Unreachable(error.to_string()))
    }

    /// Read for each request: they are two small files, and keys get replaced while sessions run.
    async fn credentials(&self) -> Result<Credentials, Error> {
        Ok(Credentials::new(line(&self.access_key).await?, line(&self.secret_key).await?))
    }

    pub(super) async fn put(&self, key: &str, content: &Content, kind: Kind) -> Result<u64, Error> {
        let bytes = match content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::File(path) => match tokio::fs::read(path).await {
                Ok(bytes) => Bytes::from(bytes),
                Err(source) => return Err(Error::Lost { path: path.clone(), source }),
            },
        };
        let credentials = self.credentials().await?;
        let key = format!("{}{key}", self.prefix);
        let url = self.bucket.put_object(Some(&credentials), &key).sign(SIGNED_FOR);
        let len = bytes.len();
        let request = self
            .client()?
            .put(url)
            .header(CONTENT_TYPE, kind.content_type())
            .header(CACHE_CONTROL, kind.cache_control())
            .header(CONTENT_LENGTH, len)
            .timeout(TIMEOUT)
            .body(bytes);
        check(request.send().await.map_err(unreachable)?).await?;
        Ok(u64::try_from(len).unwrap_or(u64::MAX))
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let credentials = self.credentials().await?;
        let key = format!("{}{key}", self.prefix);
        let url = self.bucket.get_object(Some(&credentials), &key).sign(SIGNED_FOR);
        let response = self.client()?.get(url).timeout(TIMEOUT).send().await.map_err(unreachable)?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut response = check(response).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            bytes.extend_from_slice(&chunk);
            if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_PLAYLIST) {
                return Err(Error::Unreachable(format!("{key} is longer than {MAX_PLAYLIST} bytes")));
            }
        }
        Ok(Some(bytes))
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Error> {
        let credentials = self.credentials().await?;
        let key = format!("{}{key}", self.prefix);
        let url = self.bucket.delete_object(Some(&credentials), &key).sign(SIGNED_FOR);
        let response = self.client()?.delete(url).timeout(TIMEOUT).send().await.map_err(unreachable)?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        check(response).await.map(drop)
    }
}

async fn line(path: &Path) -> Result<String, Error> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}

async fn check(mut response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_REFUSAL {
            break;
        }
    }
    // S3 puts its reason into XML; the code alone says most.
    let body = String::from_utf8_lossy(&body);
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let body = code.map_or_else(|| body.chars().take(200).collect(), |(code, _)| code.to_owned());
    Err(Error::Refused { status, body })
}

/// Without the address: its query is a signature.
fn unreachable(error: reqwest::Error) -> Error {
    Error::Unreachable(describe(&error.without_url()))
}
