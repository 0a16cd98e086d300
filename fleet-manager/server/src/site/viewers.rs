//! How many watch each channel: the chat service counts them, and is asked every two seconds.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt as _;
use nodi_protocol::ChannelId;
use nodi_protocol::chat::rooms::Rooms;
use reqwest::Client;

use crate::error::Error;
use crate::state::App;

const POLL: Duration = Duration::from_secs(2);
/// An answer counts for so long, in ms: two polls that fail are no reason to show nothing.
const FRESH_MS: i64 = 5_000;
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer, in bytes: 40,000 rooms.
const MAX_ANSWER: usize = 4 << 20;

/// The last answer.
#[derive(Default)]
pub(super) struct Viewers {
    last: RwLock<Option<(i64, HashMap<ChannelId, u64>)>>,
}

impl Viewers {
    /// `None`: nobody knows.
    pub(super) fn of(&self, channel: &ChannelId, now_ms: i64) -> Option<u64> {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        let (at_ms, rooms) = last.as_ref()?;
        // Nobody is in a room that is not named.
        (now_ms - at_ms <= FRESH_MS).then(|| rooms.get(channel).copied().unwrap_or(0))
    }

    fn set(&self, now_ms: i64, rooms: Rooms) {
        let rooms = rooms.rooms.into_iter().map(|room| (room.channel, room.viewers)).collect();
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some((now_ms, rooms));
    }
}

/// Asks until the process stops.
pub(super) async fn poll(app: App, url: String) {
    let mut failing = false;
    loop {
        match ask(&app.site.http, &format!("{url}/rooms")).await {
            Ok(rooms) => {
                if std::mem::take(&mut failing) {
                    log::info!("chat service: it counts viewers again");
                }
                app.site.counts.chat_reachable.set(1);
                app.site.viewers.set(app.now_ms(), rooms);
            }
            Err(error) => {
                // Once, not every two seconds.
                if !std::mem::replace(&mut failing, true) {
                    log::warn!("chat service: viewers are not counted: {error}");
                }
                app.site.counts.chat_reachable.set(0);
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Http(#[from] reqwest::Error),
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("its answer: {0}")]
    Json(#[from] serde_json::Error),
}

async fn ask(http: &Client, url: &str) -> Result<Rooms, Failure> {
    let answer = http.get(url).timeout(TIMEOUT).send().await?.error_for_status()?;
    Ok(serde_json::from_slice(&body(answer, MAX_ANSWER).await?)?)
}

/// The whole body, if it is not longer than `most` bytes.
pub(super) async fn body(answer: reqwest::Response, most: usize) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if whole.len() + chunk.len() > most {
            return Err(Failure::TooLong(most));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

/// The client for the chat service and for pictures.
pub(super) fn client() -> Result<Client, Error> {
    Client::builder()
        .user_agent(concat!("nodi-fleet/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10))
        .connect_timeout(TIMEOUT)
        .no_proxy()
        .build()
        .map_err(|error| Error::Internal(format!("HTTP client: {error}")))
}

#[cfg(test)]
mod tests {
    use nodi_protocol::chat::rooms::Room;

    use super::*;

    #[test]
    fn counts_are_shown_while_they_are_fresh() {
        let viewers = Viewers::default();
        let (one, other): (ChannelId, ChannelId) = ("one".parse().unwrap(), "other".parse().unwrap());
        assert_eq!(viewers.of(&one, 0), None);
        let room = Room { channel: one.clone(), viewers: 3, chatters: 1 };
        viewers.set(1_000, Rooms { rooms: vec![room] });
        assert_eq!(viewers.of(&one, 6_000), Some(3));
        assert_eq!(viewers.of(&other, 6_000), Some(0));
        assert_eq!(viewers.of(&one, 6_001), None);
    }
}
