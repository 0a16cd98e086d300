//! Emotes: pictures in a channel's chat. Those of the platform are files of the watch site; those of a channel are
//! uploaded by its streamer and kept in the database.

pub mod picture;
mod routes;

use nodi_protocol::ChannelId;
use nodi_protocol::chat::server::Emote;
use rusqlite::Connection;

use crate::error::Error;
pub(super) use routes::{body_limit, images, routes};

/// Drawn by us, part of the watch site: `/emotes/<name>.svg`.
pub const OF_PLATFORM: [&str; 12] =
    ["nodi", "wave", "heart", "fire", "laugh", "cry", "clap", "eyes", "gg", "party", "think", "thumbsup"];

/// Of the platform, then of the channel.
pub(super) fn for_chat(connection: &Connection, channel: &ChannelId) -> Result<Vec<Emote>, Error> {
    let mut emotes: Vec<Emote> = OF_PLATFORM
        .iter()
        .map(|name| Emote { name: (*name).to_owned(), url: format!("/emotes/{name}.svg") })
        .collect();
    let mut statement = connection
        .prepare_cached("SELECT name, digest, kind FROM emote WHERE channel_id = ?1 ORDER BY name")?;
    let mut rows = statement.query([channel.as_str()])?;
    while let Some(row) = rows.next()? {
        let (name, digest, kind): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        emotes.push(Emote { url: url(channel, &name, &digest, &kind), name });
    }
    Ok(emotes)
}

/// Where a picture is: another picture has another address, so that it can be kept for ever.
fn url(channel: &ChannelId, name: &str, digest: &str, kind: &str) -> String {
    format!("/site/v1/channels/{channel}/emotes/{name}/{digest}.{kind}")
}
