//! Where things are under a channel's public address, `/live/<channel>/`. All but playlists, status
//! and thumbnail are immutable: an address never names other bytes later.

use crate::{RenditionName, SessionId};

/// The multivariant playlist.
pub const MULTIVARIANT: &str = "index.m3u8";
/// The newest thumbnail, a JPEG.
pub const THUMBNAIL: &str = "thumbnail.jpg";
/// [`crate::push::ChannelStatus`] as JSON.
pub const STATUS: &str = "status.json";

/// The media playlist of a rendition.
#[must_use]
pub fn playlist(rendition: &RenditionName) -> String {
    format!("{rendition}.m3u8")
}

#[must_use]
pub fn init(session: SessionId, rendition: &RenditionName, init: u32) -> String {
    format!("{session}/{rendition}/init-{init}.mp4")
}

#[must_use]
pub fn segment(session: SessionId, rendition: &RenditionName, msn: u64) -> String {
    format!("{session}/{rendition}/{msn}.m4s")
}

/// `part` counts from 0 within its segment.
#[must_use]
pub fn part(session: SessionId, rendition: &RenditionName, msn: u64, part: usize) -> String {
    format!("{session}/{rendition}/{msn}.{part}.m4s")
}
