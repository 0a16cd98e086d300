//! FLV, as the worker reads it from any file.

use bytes::{Bytes, BytesMut};
use nodi_flv::tag::{Error, Header, write_header, write_tag};
use nodi_flv::{Kind, Metadata, Reader, SessionFacts, Tag, amf0, audio, video};

const MAX_TAG_SIZE: usize = 64 * 1024;

/// The first byte says in which pieces the reader gets the rest.
pub fn flv(bytes: &[u8]) {
    let Some((&step, bytes)) = bytes.split_first() else { return };
    let (tags, end) = read(bytes, bytes.len().max(1));
    let (in_pieces, end_in_pieces) = read(bytes, usize::from(step) + 1);
    assert_eq!(tags, in_pieces, "cutting the bytes changed the tags");
    assert_eq!(end, end_in_pieces);
    for tag in &tags {
        match tag.kind {
            Kind::Audio => drop(audio::parse(&tag.data)),
            Kind::Video => drop(video::parse(&tag.data)),
            Kind::Script => {
                let _ = SessionFacts::from_tag(tag);
                let _ = Metadata::from_script(&tag.data, amf0::Limits::default());
            }
        }
    }
    let mut written = BytesMut::new();
    write_header(Header { audio: true, video: true }, &mut written);
    for tag in &tags {
        write_tag(tag, &mut written).unwrap();
    }
    assert_eq!(read(&written, 1_000), (tags, Ok(())));
}

fn read(bytes: &[u8], step: usize) -> (Vec<Tag>, Result<(), Error>) {
    let mut reader = Reader::new(MAX_TAG_SIZE);
    let mut tags = Vec::new();
    for piece in bytes.chunks(step) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match reader.read(&mut piece) {
                Ok(Some(tag)) => {
                    assert!(tag.data.len() <= MAX_TAG_SIZE);
                    tags.push(tag);
                }
                Ok(None) => break,
                Err(error) => return (tags, Err(error)),
            }
        }
        assert!(piece.is_empty());
    }
    (tags, reader.finish())
}
