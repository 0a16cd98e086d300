//! What the chat service and the fleet server ask of each other, over HTTP. Nothing here is secret.

use serde::{Deserialize, Serialize};

use super::server::Emote;
use crate::ChannelId;

/// `GET /rooms` of the chat service: every room with somebody in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rooms {
    pub rooms: Vec<Room>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    pub channel: ChannelId,
    pub viewers: u64,
    pub chatters: u64,
}

/// `GET /site/v1/channels/<channel>/chat` of the fleet server: what the chat service has to know of a channel. 404: there
/// is no such channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelFacts {
    pub channel: ChannelId,
    /// Nobody may enter.
    pub suspended: bool,
    /// Those of the platform and of the channel.
    pub emotes: Vec<Emote>,
}
