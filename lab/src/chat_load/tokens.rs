//! The tokens with which the load's publishers speak.

use std::io;

use nodi_protocol::ChannelId;
use nodi_protocol::chat::Role;
use nodi_protocol::chat::token::Claims;

use crate::chat::Tokens;
use crate::chat::tokens::claims;

/// The token of a publisher. All names are equally long, so that all messages are.
pub(super) fn publisher(tokens: &Tokens, channel: &ChannelId, index: usize) -> io::Result<String> {
    let name = format!("load_{index:04}");
    let claims =
        Claims { sub: format!("01LOADLOADLOADLOADLOAD{index:04}"), ..claims(channel, &name, Role::Viewer) };
    tokens.mint(&claims).map_err(io::Error::other)
}
