//! What a stranger may send to the RTMP port, and what a publisher may send after that.

use bytes::BytesMut;
use nodi_rtmp::{Connection, Error, Event, Limits, code};

/// Small enough for the fuzzer to reach them all with short inputs.
const LIMITS: Limits = Limits {
    chunk_streams: 8,
    message_size: 8_192,
    command_size: 1_024,
    assembling: 12_000,
    message_streams: 3,
    output: 16_384,
    amf0: nodi_flv::amf0::Limits { depth: 4, values: 64, string_bytes: 512 },
};

/// The first byte says what the server does, the second in which pieces it gets the rest.
pub fn rtmp_preauth(bytes: &[u8]) {
    let Some((&[mode, step], bytes)) = bytes.split_first_chunk() else { return };
    let whole = session(mode, bytes, bytes.len().max(1));
    let pieces = session(mode, bytes, usize::from(step) + 1);
    // How many answers wait unread depends on when they are taken.
    let unread = |session: &Session| matches!(session.error, Some(Error::Unread(_)));
    if !unread(&whole) && !unread(&pieces) {
        assert_eq!(whole, pieces, "cutting the bytes changed what they mean");
    }
}

#[derive(Debug, Default, PartialEq)]
struct Session {
    events: Vec<Event>,
    error: Option<Error>,
}

fn session(mode: u8, bytes: &[u8], step: usize) -> Session {
    let mut connection = Connection::new(LIMITS);
    let mut input = BytesMut::new();
    if mode & 1 == 0 {
        // A handshake, so that the fuzzer does not have to find 3,073 bytes that do not matter.
        input.extend_from_slice(&[3]);
        input.extend_from_slice(&[0; 2 * 1536]);
    }
    let mut session = Session::default();
    for piece in bytes.chunks(step) {
        input.extend_from_slice(piece);
        loop {
            match connection.receive(&mut input) {
                Ok(Some(event)) => {
                    answer(&mut connection, mode, &event);
                    session.events.push(event);
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    session.error = Some(error);
                    return session;
                }
            }
        }
        assert!(connection.output().len() < LIMITS.output + 4_096, "answers without bound");
        connection.output().clear();
    }
    session
}

fn answer(connection: &mut Connection, mode: u8, event: &Event) {
    let result = match event {
        Event::Connect(_) if mode & 2 == 0 => connection.accept_connect(),
        Event::Connect(_) => connection.refuse_connect("no"),
        Event::Publish(publish) => {
            assert!(publish.key_candidates().len() <= 16);
            if mode & 4 == 0 {
                connection.accept_publish()
            } else {
                connection.refuse_publish(code::PUBLISH_BAD_NAME, "no")
            }
        }
        Event::Tag(tag) if mode & 8 != 0 && tag.data.is_empty() => {
            connection.end_publish(code::UNPUBLISH_SUCCESS, "enough")
        }
        _ => Ok(()),
    };
    result.unwrap();
}
