//! What is live, for everybody: made once a second at most, when it is another one than before, and from then on served
//! out of memory to however many ask.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use nodi_protocol::ChannelId;
use rusqlite::Connection;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use utoipa::ToSchema;

use super::card::{self, Card};
use crate::error::Error;
use crate::state::App;
use crate::streams;

/// How often it is looked at, and so how often it can be another one.
const LOOK: Duration = Duration::from_secs(1);

/// Live channels.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Directory {
    /// Most viewers first.
    pub(super) channels: Vec<Card>,
    /// Of which these are a part, when there are very many.
    pub(super) total: u64,
}

/// The directory as it is sent.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) json: Bytes,
    pub(super) gzip: Bytes,
    /// With quotes.
    pub(super) etag: String,
    /// A whole server-sent event.
    pub(super) event: Bytes,
}

/// The last snapshot, for whoever asks and whoever follows.
pub(super) struct Published {
    sender: watch::Sender<Arc<Snapshot>>,
}

impl Default for Published {
    fn default() -> Self {
        let nothing = Directory { channels: Vec::new(), total: 0 };
        // Nothing in it can fail to be written.
        let snapshot = Snapshot::of(&nothing).unwrap_or_else(|_| Snapshot::empty());
        Self { sender: watch::channel(Arc::new(snapshot)).0 }
    }
}

impl Published {
    pub(super) fn now(&self) -> Arc<Snapshot> {
        Arc::clone(&self.sender.borrow())
    }

    pub(super) fn follow(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.sender.subscribe()
    }

    fn publish(&self, directory: &Directory) -> Result<(), Error> {
        let json = serde_json::to_vec(directory)?;
        if json == self.sender.borrow().json {
            return Ok(());
        }
        self.sender.send_replace(Arc::new(Snapshot::of_json(json.into())?));
        Ok(())
    }
}

impl Snapshot {
    fn empty() -> Self {
        Self { json: Bytes::new(), gzip: Bytes::new(), etag: "\"\"".to_owned(), event: Bytes::new() }
    }

    fn of(directory: &Directory) -> Result<Self, Error> {
        Self::of_json(serde_json::to_vec(directory)?.into())
    }

    fn of_json(json: Bytes) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::Internal(format!("directory: {error}"));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&json).map_err(failed)?;
        let gzip = gzip.finish().map_err(failed)?;
        let digest = hex(&Sha256::digest(&json), 16);
        // JSON has no line breaks of its own, so that it is one `data` line.
        let mut event = Vec::with_capacity(json.len() + 64);
        event.extend_from_slice(b"event: live\nid: ");
        event.extend_from_slice(digest.as_bytes());
        event.extend_from_slice(b"\ndata: ");
        event.extend_from_slice(&json);
        event.extend_from_slice(b"\n\n");
        Ok(Self { json, gzip: gzip.into(), etag: format!("\"{digest}\""), event: event.into() })
    }
}

/// The first `digits` of bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8], digits: usize) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().chars().take(digits).collect()
}

/// Keeps the directory up to date until the process stops.
pub(super) async fn run(app: App) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = refresh(&app).await {
            log::warn!("directory: it stays as it was: {error}");
        }
    }
}

async fn refresh(app: &App) -> Result<(), Error> {
    let since: HashMap<ChannelId, i64> = streams::live_since(app).into_iter().collect();
    let mut cards = Vec::new();
    if !since.is_empty() {
        let shared = app.clone();
        cards = app.db.read(move |connection| cards_of(&shared, connection, &since)).await?;
    }
    cards.sort_by(|one, other| one.rank(other));
    let total = cards.len() as u64;
    app.site.counts.live.set(i64::try_from(total).unwrap_or(i64::MAX));
    cards.truncate(app.config.site.max_listed);
    app.site.directory.publish(&Directory { channels: cards, total })
}

/// Of channels that the database knows and that are not suspended.
fn cards_of(app: &App, connection: &Connection, since: &HashMap<ChannelId, i64>) -> Result<Vec<Card>, Error> {
    let ids: Vec<&str> = since.keys().map(ChannelId::as_str).collect();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM {} WHERE channel.id IN (SELECT value FROM json_each(?1)) AND channel.suspended_ms IS NULL",
        card::COLUMNS,
        card::FROM,
    ))?;
    let mut rows = statement.query([serde_json::to_string(&ids)?])?;
    let mut cards = Vec::new();
    while let Some(row) = rows.next()? {
        let stored = card::read(row)?;
        let started_ms = since.get(&stored.id).copied();
        cards.push(Card::at(app, stored, started_ms));
    }
    Ok(cards)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn card(id: &str, viewers: Option<u64>) -> Card {
        Card {
            id: id.parse().unwrap(),
            title: "a \"title\"\nof two lines".to_owned(),
            streamer: None,
            live: true,
            viewers,
            started_ms: Some(1),
            last_live_ms: None,
            thumbnail_url: None,
            watch_url: format!("/watch/{id}"),
        }
    }

    #[test]
    fn what_is_the_same_is_not_told_again() {
        let published = Published::default();
        let mut following = published.follow();
        let first = published.now();
        published.publish(&Directory { channels: Vec::new(), total: 0 }).unwrap();
        assert!(!following.has_changed().unwrap());
        published.publish(&Directory { channels: vec![card("nodi", Some(1))], total: 1 }).unwrap();
        assert!(following.has_changed().unwrap());
        let second = following.borrow_and_update().clone();
        assert_ne!(first.etag, second.etag);
        let event = String::from_utf8(second.event.to_vec()).unwrap();
        assert_eq!(event.lines().filter(|line| line.starts_with("data: ")).count(), 1, "{event}");
        assert!(event.ends_with("\n\n") && event.lines().count() == 4, "{event}");
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&*second.gzip).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, second.json);
    }

    #[test]
    fn most_viewers_first_and_the_order_does_not_waver() {
        let mut cards = [card("b", Some(1)), card("c", None), card("a", Some(1)), card("d", Some(9))];
        cards.sort_by(|one, other| one.rank(other));
        let ids: Vec<&str> = cards.iter().map(|card| card.id.as_str()).collect();
        assert_eq!(ids, ["d", "a", "b", "c"]);
    }
}
