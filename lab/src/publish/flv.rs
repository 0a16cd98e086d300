//! FLV tags as raw material: read from a file that an encoder made, bent, and published.

use std::path::Path;

use bytes::Bytes;
use nodi_flv::{Kind, Reader, Tag};

use crate::error::{Error, io};

/// All tags of a file.
///
/// # Errors
/// When it cannot be read or is not FLV.
pub fn read(path: &Path) -> Result<Vec<Tag>, Error> {
    let bytes = std::fs::read(path).map_err(io(format!("reading {}", path.display())))?;
    let mut input = Bytes::from(bytes);
    let mut reader = Reader::default();
    let mut tags = Vec::new();
    while let Some(tag) =
        reader.read(&mut input).map_err(|error| Error::Media(format!("{}: {error}", path.display())))?
    {
        tags.push(tag);
    }
    Ok(tags)
}

/// Adds to every timestamp, wrapping as the 32 bits of RTMP do.
#[must_use]
pub fn shift(mut tags: Vec<Tag>, ms: u32) -> Vec<Tag> {
    for tag in &mut tags {
        tag.timestamp_ms = tag.timestamp_ms.wrapping_add(ms);
    }
    tags
}

/// `second` right behind `first`, one frame later: headers and all, as an encoder that changes its
/// settings in mid-stream sends it.
#[must_use]
pub fn join(mut first: Vec<Tag>, second: Vec<Tag>, frame_ms: u32) -> Vec<Tag> {
    let end = first.iter().map(|tag| tag.timestamp_ms).max().unwrap_or(0);
    first.extend(shift(second, end + frame_ms));
    first
}

/// The tags of one kind, script data included.
#[must_use]
pub fn only(tags: Vec<Tag>, kind: Kind) -> Vec<Tag> {
    tags.into_iter().filter(|tag| tag.kind == kind || tag.kind == Kind::Script).collect()
}
