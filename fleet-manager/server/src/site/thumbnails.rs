//! The last picture of each channel: the origin forgets it some time after the stream, and viewers should still see what
//! the channel is like. While a channel is live its picture is fetched as viewers fetch it, once a minute.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use nodi_protocol::ChannelId;
use tokio::task::JoinSet;
use utoipa_axum::routes;

use super::access::Site;
use super::directory_routes::matches;
use super::viewers::{Failure, body};
use crate::channels::{self, rows};
use crate::db::Tx;
use crate::error::Error;
use crate::http::extract::At;
use crate::state::App;
use crate::streams;

/// Longest picture that is kept, in bytes: those of 640 × 360 pixels are 60 KiB.
const MAX_BYTES: usize = 256 << 10;
/// Pictures fetched at a time.
const AT_ONCE: usize = 4;
/// For one picture.
const TIMEOUT: Duration = Duration::from_secs(5);
/// While a channel is live and has no picture yet, it is asked for so often.
const FIRST: Duration = Duration::from_secs(5);
/// How often pictures that are too old are looked for, in ms.
const TIDY_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
const ENDING: &str = ".jpg";

/// Pictures that there are: file names are channel ids, so there are no more than channels.
pub(crate) struct Thumbnails {
    dir: PathBuf,
    /// When each was taken, in ms.
    taken: RwLock<HashMap<ChannelId, i64>>,
}

impl Thumbnails {
    /// What an earlier process has kept.
    pub(super) fn load(dir: PathBuf) -> Result<Self, Error> {
        let failed =
            |error: std::io::Error| Error::Internal(format!("thumbnails in {}: {error}", dir.display()));
        std::fs::create_dir_all(&dir).map_err(failed)?;
        let mut taken = HashMap::new();
        for entry in std::fs::read_dir(&dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(ENDING)?.parse().ok()) else {
                continue;
            };
            let modified = entry.metadata().and_then(|meta| meta.modified()).map_err(failed)?;
            let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            taken.insert(id, crate::clock::millis(since));
        }
        Ok(Self { dir, taken: RwLock::new(taken) })
    }

    fn path(&self, channel: &ChannelId) -> PathBuf {
        self.dir.join(format!("{channel}{ENDING}"))
    }

    fn taken(&self, channel: &ChannelId) -> Option<i64> {
        self.taken.read().unwrap_or_else(PoisonError::into_inner).get(channel).copied()
    }

    /// Where viewers find it; another picture has another address.
    pub(super) fn url(&self, channel: &ChannelId) -> Option<String> {
        let taken_ms = self.taken(channel)?;
        Some(format!("/site/v1/channels/{channel}/thumbnail.jpg?v={}", taken_ms / 1_000))
    }

    /// Removes a channel's picture once the transaction is committed.
    pub(super) fn forget(&self, app: &App, tx: &Tx<'_>, channel: &ChannelId) {
        let (app, channel) = (app.clone(), channel.clone());
        tx.then(move || app.site.thumbnails.remove(&channel));
    }

    fn remove(&self, channel: &ChannelId) {
        self.taken.write().unwrap_or_else(PoisonError::into_inner).remove(channel);
        let path = self.path(channel);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            log::warn!("{}: {error}", path.display());
        }
    }

    async fn keep(&self, channel: &ChannelId, jpeg: Vec<u8>, now_ms: i64) -> std::io::Result<()> {
        let path = self.path(channel);
        let part = path.with_extension("part");
        // Lost with a crash of the machine, and taken again a minute later.
        tokio::fs::write(&part, jpeg).await?;
        tokio::fs::rename(&part, &path).await?;
        self.taken.write().unwrap_or_else(PoisonError::into_inner).insert(channel.clone(), now_ms);
        Ok(())
    }
}

pub(super) fn routes() -> Site {
    Site::new("channels").public(routes!(thumbnail))
}

/// The last picture of a channel
///
/// Of when it was live last. While it is live the origin has newer ones: `thumbnail_url` says where to look.
#[utoipa::path(get, path = "/channels/{channel}/thumbnail.jpg", params(("channel" = ChannelId, Path)), responses(
    (status = 200, description = "The picture.", body = Vec<u8>, content_type = "image/jpeg"),
    (status = 304, description = "It is the one that one has."),
))]
async fn thumbnail(
    State(app): State<App>,
    headers: HeaderMap,
    At(channel): At<ChannelId>,
) -> Result<Response, Error> {
    let missing = || Error::not_found("picture of the channel", &channel);
    let taken_ms = app.site.thumbnails.taken(&channel).ok_or_else(missing)?;
    if app.revoked.now().suspended.contains(&channel) {
        return Err(missing());
    }
    let etag = format!("\"{taken_ms}\"");
    let common = [
        (header::ETAG, HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""))),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=30")),
    ];
    if matches(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let jpeg = tokio::fs::read(app.site.thumbnails.path(&channel)).await.map_err(|_| missing())?;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"))];
    Ok((common, kind, Bytes::from(jpeg)).into_response())
}

/// Fetches pictures, and forgets old ones, until the process stops.
pub(super) async fn run(app: App) {
    let pause_s = app.config.site.thumbnail_s;
    let pause = Duration::from_secs(if pause_s == 0 { 3_600 } else { pause_s });
    let mut tidied_ms = None;
    loop {
        let live: Vec<ChannelId> =
            streams::live_since(&app).into_iter().map(|(channel, _)| channel).collect();
        if pause_s > 0 {
            fetch_all(&app, &live).await;
        }
        let now_ms = app.now_ms();
        if tidied_ms.is_none_or(|tidied_ms| now_ms - tidied_ms >= TIDY_MS) {
            tidied_ms = Some(now_ms);
            remove_old(&app).await;
        }
        wait(&app, pause).await;
    }
}

/// Until the next round: sooner when something is live that has no picture.
async fn wait(app: &App, pause: Duration) {
    let mut left = pause;
    while !left.is_zero() {
        let step = FIRST.min(left);
        tokio::time::sleep(step).await;
        left -= step;
        let lacks = |(channel, _): &(ChannelId, i64)| app.site.thumbnails.taken(channel).is_none();
        if app.config.site.thumbnail_s > 0 && streams::live_since(app).iter().any(lacks) {
            return;
        }
    }
}

/// Fetches a picture of each of these channels.
async fn fetch_all(app: &App, live: &[ChannelId]) {
    let mut waiting: VecDeque<ChannelId> = live.iter().cloned().collect();
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(channel) = waiting.pop_front()
        {
            let app = app.clone();
            under_way.spawn(async move {
                if let Err(error) = fetch(&app, &channel).await {
                    // Between the first report of a stream and its first picture there is none.
                    log::debug!(channel:%; "no picture: {error}");
                }
            });
        }
        if under_way.join_next().await.is_none() {
            return;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum NoPicture {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("{0}")]
    Body(#[from] Failure),
    #[error("it is no JPEG")]
    Kind,
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

async fn fetch(app: &App, channel: &ChannelId) -> Result<(), NoPicture> {
    let url = channels::thumbnail_url(app, channel);
    let answer = app.site.http.get(url).timeout(TIMEOUT).send().await?.error_for_status()?;
    let jpeg = body(answer, MAX_BYTES).await?;
    if !jpeg.starts_with(&[0xff, 0xd8, 0xff]) {
        return Err(NoPicture::Kind);
    }
    let thumbnails = &app.site.thumbnails;
    let kept = thumbnails.keep(channel, jpeg, app.now_ms()).await;
    kept.map_err(|source| NoPicture::Io { path: thumbnails.path(channel), source })
}

/// Pictures that are too old, and of channels that there are no longer.
async fn remove_old(app: &App) {
    let oldest_ms = app.now_ms().saturating_sub(i64::from(app.config.site.thumbnail_days) * DAY_MS);
    let all: Vec<(ChannelId, i64)> = {
        let taken = app.site.thumbnails.taken.read().unwrap_or_else(PoisonError::into_inner);
        taken.iter().map(|(channel, taken_ms)| (channel.clone(), *taken_ms)).collect()
    };
    let gone = app.db.read(move |connection| {
        let mut gone = Vec::new();
        for (channel, taken_ms) in all {
            if taken_ms < oldest_ms || rows::get(connection, &channel)?.is_none() {
                gone.push(channel);
            }
        }
        Ok(gone)
    });
    match gone.await {
        Ok(gone) => gone.iter().for_each(|channel| app.site.thumbnails.remove(channel)),
        Err(error) => log::warn!("old pictures of channels: {error}"),
    }
}

/// Where pictures are kept.
#[must_use]
pub(super) fn dir(data_dir: &Path) -> PathBuf {
    data_dir.join("thumbnails")
}
