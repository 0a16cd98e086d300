//! Peers that mean harm, or talk something else: each costs bounded memory and ends with an error that says where.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use nodi_flv::amf0::Value;
use nodi_rtmp::limits::{MAX_COMMAND_SIZE, MAX_MESSAGE_STREAMS};
use nodi_rtmp::{Error, Limits, Violation};
use proptest::prelude::*;
use support::{ChunkWriter, Outgoing, Server, command, connect_command, hello, prelude};

/// Before anything but the handshake.
fn stranger() -> (Server, ChunkWriter) {
    let mut server = Server::default();
    server.feed(&hello()).unwrap();
    (server, ChunkWriter::default())
}

fn publisher() -> (Server, ChunkWriter) {
    let (mut server, mut writer) = (Server::default(), ChunkWriter::default());
    server.feed(&prelude(&mut writer)).unwrap();
    (server, writer)
}

fn violation(result: Result<(), Error>) -> Violation {
    match result.unwrap_err() {
        Error::Chunk { violation, .. } | Error::Message { violation, .. } => violation,
        other => panic!("{other}"),
    }
}

#[test]
fn nesting_without_end() {
    let (mut server, mut writer) = stranger();
    let payload = [0x0a, 0, 0, 0, 1].repeat(MAX_COMMAND_SIZE / 5);
    let error = server.feed(&writer.message(&Outgoing::new(3, 20, 0, payload))).unwrap_err();
    assert!(error.to_string().starts_with("RTMP command on chunk stream 3 at byte "), "{error}");
    assert!(error.to_string().ends_with("AMF0: nested deeper than 8 levels at byte 40"), "{error}");
}

#[test]
fn two_hundred_thousand_levels_do_not_even_arrive() {
    let (mut server, mut writer) = stranger();
    let payload = [0x0a, 0, 0, 0, 1].repeat(200_000);
    let found = violation(server.feed(&writer.message(&Outgoing::new(3, 20, 0, payload))));
    assert!(matches!(found, Violation::MessageSize { size: 1_000_000, limit: MAX_COMMAND_SIZE, .. }));
}

#[test]
fn objects_without_end() {
    let (mut server, mut writer) = stranger();
    let payload = [&command(&["connect".into(), 1.0.into()])[..], &[0x03, 0, 0, 9].repeat(16_000)].concat();
    let found = violation(server.feed(&writer.message(&Outgoing::new(3, 20, 0, payload))));
    assert!(found.to_string().starts_with("AMF0: more than 512 values"), "{found}");
}

#[test]
fn a_length_that_is_a_lie() {
    let (mut server, _) = stranger();
    let found = violation(server.feed(&[3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0, 1, 2, 3]));
    assert_eq!(found.to_string(), "command of 16777215 bytes, more than 65536");
    let (mut server, _) = publisher();
    let found = violation(server.feed(&[6, 0, 0, 0, 0xff, 0xff, 0xff, 9, 0, 0, 0, 0, 1, 2, 3]));
    assert_eq!(found.to_string(), "video message of 16777215 bytes, more than 8388608");
}

#[test]
fn media_of_a_stranger_is_no_larger_than_its_commands() {
    let (mut server, mut writer) = stranger();
    server.feed(&writer.message(&Outgoing::new(3, 20, 0, connect_command()))).unwrap();
    let found = violation(server.feed(&writer.message(&Outgoing::new(6, 9, 0, vec![0; 70_000]))));
    assert!(matches!(found, Violation::MessageSize { limit: MAX_COMMAND_SIZE, .. }));
}

#[test]
fn incomplete_messages_on_many_chunk_streams() {
    for (mut server, limit) in [(stranger().0, 2 * MAX_COMMAND_SIZE), (publisher().0, 16 * 1024 * 1024)] {
        // A chunk size of its own for each message, so that each stays incomplete with all but a byte.
        let mut writer = ChunkWriter::default();
        let size = if limit > 1_000_000 { 4_000_000 } else { 60_000 };
        server.feed(&writer.set_chunk_size(size)).unwrap();
        let mut sent = 0;
        let found = (10..60).find_map(|chunk_stream| {
            let message = Outgoing::new(chunk_stream, 9, 0, vec![0; size + 1]);
            sent += size;
            server.feed(&writer.chunks(&message)[0]).err()
        });
        assert_eq!(violation(Err(found.unwrap())), Violation::Assembling(limit));
        assert!(sent <= limit + 2 * size, "{sent}");
    }
}

#[test]
fn an_abort_frees_what_counted() {
    let (mut server, mut writer) = stranger();
    server.feed(&writer.set_chunk_size(60_000)).unwrap();
    for _ in 0..100 {
        let message = Outgoing { full_header: true, ..Outgoing::new(10, 20, 0, vec![0; 60_001]) };
        server.feed(&writer.chunks(&message)[0]).unwrap();
        server.feed(&writer.message(&Outgoing::new(2, 2, 0, 10u32.to_be_bytes().to_vec()))).unwrap();
    }
}

#[test]
fn every_chunk_stream_id_there_is() {
    let (mut server, mut writer) = publisher();
    let found =
        (2..65_599).find_map(|id| server.feed(&writer.message(&Outgoing::new(id, 8, 0, vec![0]))).err());
    assert_eq!(violation(Err(found.unwrap())), Violation::ChunkStreams(64));
}

#[test]
fn message_streams_without_end() {
    let (mut server, mut writer) = publisher();
    let create = command(&["createStream".into(), 2.0.into(), Value::Null]);
    let mut create = || server.feed(&writer.message(&Outgoing::new(3, 20, 0, create.clone())));
    let created = (0..1_000).take_while(|_| create().is_ok()).count();
    assert_eq!(created, MAX_MESSAGE_STREAMS - 1);
}

#[test]
fn questions_without_reading_the_answers() {
    let (mut server, mut writer) = publisher();
    let ping = [0, 6, 0, 0, 0, 1].to_vec();
    let found =
        (0..100_000).find_map(|_| server.feed(&writer.message(&Outgoing::new(2, 4, 0, ping.clone()))).err());
    assert!(matches!(found, Some(Error::Unread(unread)) if unread < 300_000));
}

#[test]
fn headers_that_refer_to_nothing() {
    for (bytes, text) in [
        (
            &[0xc5][..],
            "RTMP chunk stream 5 at byte 0: header of format 3 refers to a header that was never sent",
        ),
        (
            &[0x85, 0, 0, 0],
            "RTMP chunk stream 5 at byte 0: header of format 2 refers to a header that was never sent",
        ),
        (
            &[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            "RTMP set chunk size message on chunk stream 2 at byte 16: chunk size 0",
        ),
        (
            &[2, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 9],
            "RTMP set chunk size message on chunk stream 2 at byte 13: 1 bytes are too few",
        ),
        (
            &[2, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 9],
            "RTMP user control message on chunk stream 2 at byte 13: 1 bytes are too few",
        ),
    ] {
        assert_eq!(stranger().0.feed(bytes).unwrap_err().to_string(), text);
    }
    let (mut server, mut writer) = publisher();
    let first = writer.chunks(&Outgoing::new(6, 9, 0, vec![0; 200])).swap_remove(0);
    server.feed(&first).unwrap();
    let found = violation(server.feed(&[6, 0, 0, 1, 0, 0, 200, 9, 1, 0, 0, 0]));
    assert_eq!(found, Violation::Interrupted { missing: 72 });
}

#[test]
fn commands_out_of_order() {
    let (mut server, mut writer) = stranger();
    let create = command(&["createStream".into(), 2.0.into(), Value::Null]);
    let found = violation(server.feed(&writer.message(&Outgoing::new(3, 20, 0, create))));
    assert_eq!(found.to_string(), "a command before connect");
    let (mut server, mut writer) = publisher();
    let found = violation(server.feed(&writer.message(&Outgoing::new(3, 20, 0, connect_command()))));
    assert_eq!(found, Violation::SecondConnect);
}

#[test]
fn something_else_than_rtmp() {
    for (bytes, words) in [
        (&b"GET / HTTP/1.1\r\n"[..], "HTTP"),
        (b"\x16\x03\x01\x02\x00", "rtmps"),
        (b"\x00\x00", "version 3"),
        (b"SSH-2.0", "HTTP"),
    ] {
        let error = Server::default().feed(bytes).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn one_byte_at_a_time_is_only_slow() {
    let mut writer = ChunkWriter::default();
    let mut server = Server::default();
    for byte in prelude(&mut writer) {
        server.feed(&[byte]).unwrap();
        assert!(server.input.len() <= 1537);
    }
    assert_eq!(server.events.len(), 2);
}

/// Something between noise and RTMP: real messages with bytes changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec((0..2_000usize, any::<u8>()), 0..30);
    let media = prop::collection::vec((2..70u32, any::<u8>(), any::<u32>(), 0..400usize), 0..8);
    (noise, media).prop_map(|(noise, media)| {
        let mut writer = ChunkWriter::default();
        let mut bytes = prelude(&mut writer);
        for (chunk_stream, message_type, timestamp_ms, len) in media {
            bytes.extend(writer.message(&Outgoing::new(
                chunk_stream,
                message_type,
                timestamp_ms,
                vec![2; len],
            )));
        }
        for (at, byte) in noise {
            let behind_handshake = 3073 + at;
            if let Some(target) = bytes.get_mut(behind_handshake) {
                *target = byte;
            }
        }
        bytes
    })
}

proptest! {
    #[test]
    fn noise_ends_in_an_error_or_in_nothing(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
        let mut server = stranger().0;
        let _ = server.feed(&bytes);
        let limits = Limits { command_size: 100, message_size: 200, assembling: 300, ..Limits::default() };
        let mut server = Server::new(limits);
        let _ = server.feed(&hello()).and_then(|()| server.feed(&bytes));
    }

    #[test]
    fn cuts_do_not_change_what_becomes_of_a_mutated_session(bytes in mutated(), step in 1..200usize) {
        let mut whole = Server::default();
        let result = whole.feed(&bytes);
        let mut cut = Server::default();
        let cut_result = bytes.chunks(step).try_for_each(|piece| cut.feed(piece));
        prop_assert_eq!(result.is_ok(), cut_result.is_ok());
        prop_assert_eq!(whole.events, cut.events);
    }
}
