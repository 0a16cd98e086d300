//! Tags made by hand: the heads are real, what would be pictures and sound is filler.

use bytes::Bytes;
use nodi_flv::{Kind, Tag};

/// What x264 writes for 1920x1080 High, in decoder configuration form.
const AVC_RECORD: &[u8] = &[
    0x01, 0x64, 0x00, 0x28, 0xff, 0xe1, 0x00, 0x1b, 0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02,
    0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xf0, 0x3c, 0x60, 0xc6,
    0x58, 0x01, 0x00, 0x04, 0x68, 0xef, 0x8f, 0xcb, 0xfd, 0xf8, 0xf8, 0x00,
];

pub fn avc_header() -> Tag {
    video(0, &[&[0x17, 0, 0, 0, 0], AVC_RECORD].concat())
}

/// AAC-LC, 48 kHz, stereo.
pub fn aac_header() -> Tag {
    audio(0, &[0xaf, 0x00, 0x11, 0x90])
}

pub fn key_frame(timestamp_ms: u32, len: usize) -> Tag {
    frame(0x17, timestamp_ms, len)
}

pub fn delta_frame(timestamp_ms: u32, len: usize) -> Tag {
    frame(0x27, timestamp_ms, len)
}

pub fn aac_frame(timestamp_ms: u32) -> Tag {
    audio(timestamp_ms, &[&[0xaf, 0x01][..], &[0x21; 200]].concat())
}

pub fn video(timestamp_ms: u32, data: &[u8]) -> Tag {
    Tag { kind: Kind::Video, timestamp_ms, data: Bytes::copy_from_slice(data) }
}

pub fn audio(timestamp_ms: u32, data: &[u8]) -> Tag {
    Tag { kind: Kind::Audio, timestamp_ms, data: Bytes::copy_from_slice(data) }
}

fn frame(head: u8, timestamp_ms: u32, len: usize) -> Tag {
    let mut data = vec![head, 1, 0, 0, 0];
    // One NAL unit: its length, its type, filler.
    data.extend_from_slice(&(len as u32).to_be_bytes());
    data.push(if head == 0x17 { 0x65 } else { 0x41 });
    data.resize(9 + len, 0x55);
    video(timestamp_ms, &data)
}
