//! What publishers may say, in good order and otherwise, and what they are answered.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use bytes::{Buf as _, BytesMut};
use nodi_flv::amf0::{self, Value};
use nodi_flv::{Kind, Tag};
use nodi_rtmp::{Connection, Event, Limits, UnpublishReason, code};
use support::{ChunkWriter, Outgoing, Server, command, connect_command, hello, prelude, publish_command};

/// The commands in what the server sent: it writes one chunk with a full header each.
fn answers(server: &mut Connection) -> Vec<Vec<Value>> {
    let mut output = server.output().split();
    if output.first() == Some(&3) {
        output.advance(1 + 2 * 1536);
    }
    let mut commands = Vec::new();
    while !output.is_empty() {
        assert_eq!(output[0] >> 6, 0, "a full header");
        let len = u32::from_be_bytes([0, output[4], output[5], output[6]]) as usize;
        let message_type = output[7];
        output.advance(12);
        let payload = output.split_to(len);
        if message_type == 20 {
            commands.push(amf0::decode_all(&payload, amf0::Limits::default()).unwrap());
        }
    }
    commands
}

fn names(commands: &[Vec<Value>]) -> Vec<&str> {
    commands.iter().map(|values| values[0].as_str().unwrap()).collect()
}

fn status(values: &[Value]) -> (&str, &str, &str) {
    let text = |name| values[3].get(name).and_then(Value::as_str).unwrap();
    (text("level"), text("code"), text("description"))
}

fn call(writer: &mut ChunkWriter, name: &str, transaction: f64, arguments: &[Value]) -> Vec<u8> {
    let head = [name.into(), transaction.into(), Value::Null];
    writer.message(&Outgoing::new(3, 20, 0, command(&[&head, arguments].concat())))
}

/// Up to where the publish is handed to the caller.
fn asking() -> (Connection, BytesMut) {
    let mut connection = Connection::new(Limits::default());
    let mut input = BytesMut::from(&prelude(&mut ChunkWriter::default())[..]);
    assert!(matches!(connection.receive(&mut input), Ok(Some(Event::Connect(_)))));
    connection.accept_connect().unwrap();
    assert!(matches!(connection.receive(&mut input), Ok(Some(Event::Publish(_)))));
    answers(&mut connection);
    (connection, input)
}

#[test]
fn everything_in_one_packet_waits_for_its_answers() {
    let mut writer = ChunkWriter::default();
    let mut bytes = prelude(&mut writer);
    bytes.extend(writer.message(&Outgoing::new(6, 9, 0, vec![0x17; 400])));
    let mut connection = Connection::new(Limits::default());
    let mut input = BytesMut::from(&bytes[..]);

    assert!(matches!(connection.receive(&mut input), Ok(Some(Event::Connect(_)))));
    assert_eq!(connection.receive(&mut input), Ok(None));
    assert!(!input.is_empty());
    connection.accept_connect().unwrap();
    assert!(matches!(connection.receive(&mut input), Ok(Some(Event::Publish(_)))));
    assert_eq!(connection.receive(&mut input), Ok(None));
    connection.accept_publish().unwrap();
    assert!(matches!(connection.receive(&mut input), Ok(Some(Event::Tag(_)))));
    assert_eq!(connection.receive(&mut input), Ok(None));
    assert!(input.is_empty());

    let commands = answers(&mut connection);
    assert_eq!(names(&commands), ["_result", "_result", "onStatus"]);
    assert_eq!(commands[0][1], Value::Number(1.0));
    assert_eq!(status(&commands[0]).1, code::CONNECT_SUCCESS);
    assert_eq!(commands[1][1..], [2.0.into(), Value::Null, 1.0.into()]);
    assert_eq!(status(&commands[2]).1, code::PUBLISH_START);
}

#[test]
fn the_usual_calls_are_answered() {
    let mut writer = ChunkWriter::default();
    let mut bytes = [hello(), writer.message(&Outgoing::new(3, 20, 0, connect_command()))].concat();
    bytes.extend(call(&mut writer, "releaseStream", 2.0, &["KEY".into()]));
    bytes.extend(call(&mut writer, "FCPublish", 3.0, &["KEY".into()]));
    bytes.extend(call(&mut writer, "_checkbw", 4.0, &[]));
    bytes.extend(call(&mut writer, "getStreamLength", 5.0, &["KEY".into()]));
    bytes.extend(call(&mut writer, "frobnicate", 6.0, &[]));
    bytes.extend(call(&mut writer, "frobnicate", 0.0, &[]));
    bytes.extend(call(&mut writer, "play", 0.0, &["KEY".into()]));
    let mut server = Server::default();
    server.feed(&bytes).unwrap();
    let commands = answers(&mut server.connection);
    let said = names(&commands);
    assert_eq!(
        said,
        ["_result", "_result", "_result", "onFCPublish", "_result", "_result", "_error", "onStatus"]
    );
    assert_eq!(commands[6][1], Value::Number(6.0));
    assert_eq!(status(&commands[7]).0, "error");
}

#[test]
fn commands_may_come_as_amf3() {
    let mut writer = ChunkWriter::default();
    let amf3 = |payload: Vec<u8>| [vec![0], payload].concat();
    let bytes = [
        hello(),
        writer.message(&Outgoing::new(3, 17, 0, amf3(connect_command()))),
        writer.message(&Outgoing::new(3, 17, 0, amf3(publish_command()))),
    ]
    .concat();
    let mut server = Server::default();
    server.feed(&bytes).unwrap();
    assert!(matches!(server.events[..], [Event::Connect(_), Event::Publish(_)]));
}

#[test]
fn a_refused_publish_is_an_error_status() {
    let (mut connection, mut input) = asking();
    connection.refuse_publish(code::PUBLISH_BAD_NAME, "this stream key has expired").unwrap();
    let commands = answers(&mut connection);
    assert_eq!(names(&commands), ["onStatus"]);
    assert_eq!(status(&commands[0]), ("error", code::PUBLISH_BAD_NAME, "this stream key has expired"));
    // Until the caller closes, what the peer says changes nothing any more.
    let mut writer = ChunkWriter::default();
    input.extend_from_slice(&writer.message(&Outgoing::new(9, 20, 0, publish_command())));
    assert_eq!(connection.receive(&mut input), Ok(None));
    connection.accept_publish().unwrap();
    input.extend_from_slice(&writer.message(&Outgoing::new(6, 9, 0, vec![0x17; 40])));
    assert_eq!(connection.receive(&mut input), Ok(None));
    assert!(answers(&mut connection).is_empty());
}

#[test]
fn a_refused_connect_is_an_error() {
    let mut writer = ChunkWriter::default();
    let bytes = [hello(), writer.message(&Outgoing::new(3, 20, 0, connect_command()))].concat();
    let mut connection = Connection::new(Limits::default());
    let mut input = BytesMut::from(&bytes[..]);
    assert!(matches!(connection.receive(&mut input), Ok(Some(Event::Connect(_)))));
    connection.refuse_connect("too many connections").unwrap();
    let commands = answers(&mut connection);
    assert_eq!(names(&commands), ["_error"]);
    assert_eq!(status(&commands[0]), ("error", code::CONNECT_REJECTED, "too many connections"));
}

#[test]
fn an_accepted_stream_can_be_ended_with_a_reason() {
    for (code, level) in [(code::UNPUBLISH_SUCCESS, "status"), (code::PUBLISH_BAD_NAME, "error")] {
        let (mut connection, mut input) = asking();
        connection.accept_publish().unwrap();
        answers(&mut connection);
        connection.end_publish(code, "superseded").unwrap();
        assert_eq!(status(&answers(&mut connection)[0]), (level, code, "superseded"));
        let mut writer = ChunkWriter::default();
        input.extend_from_slice(&writer.message(&Outgoing::new(6, 9, 0, vec![0x17; 40])));
        assert_eq!(connection.receive(&mut input), Ok(None));
    }
}

#[test]
fn each_way_to_unpublish() {
    for (name, arguments, reason) in [
        ("FCUnpublish", vec!["KEY".into()], UnpublishReason::FcUnpublish),
        ("deleteStream", vec![1.0.into()], UnpublishReason::DeleteStream),
        ("closeStream", vec![], UnpublishReason::CloseStream),
    ] {
        let mut writer = ChunkWriter::default();
        let mut bytes = prelude(&mut writer);
        // Of another stream: nothing happens.
        bytes.extend(call(&mut writer, "deleteStream", 0.0, &[7.0.into()]));
        bytes.extend(writer.message(&Outgoing::new(6, 9, 0, vec![0x17; 40])));
        bytes.extend(call(&mut writer, name, 0.0, &arguments));
        // And again, as clients do that say it in two ways.
        bytes.extend(call(&mut writer, "deleteStream", 0.0, &[1.0.into()]));
        bytes.extend(writer.message(&Outgoing::new(6, 9, 40, vec![0x27; 41])));
        let mut server = Server::default();
        server.feed(&bytes).unwrap();
        assert!(matches!(server.events[2..], [Event::Tag(_), Event::Unpublish(r)] if r == reason), "{name}");
        // The same connection may publish again.
        server.feed(&writer.message(&Outgoing::new(3, 20, 0, publish_command()))).unwrap();
        assert!(matches!(server.events.last(), Some(Event::Publish(_))));
    }
}

#[test]
fn one_stream_a_connection() {
    let mut writer = ChunkWriter::default();
    let mut bytes = prelude(&mut writer);
    bytes.extend(writer.message(&Outgoing::new(3, 20, 0, publish_command())));
    let mut server = Server::default();
    server.feed(&bytes).unwrap();
    assert_eq!(server.events.len(), 2);
    let commands = answers(&mut server.connection);
    assert_eq!(status(commands.last().unwrap()).1, code::PUBLISH_BAD_NAME);
}

#[test]
fn script_data_comes_without_its_wrapping() {
    let metadata = amf0::encode_all(&["onMetaData".into(), Value::EcmaArray(vec![])]);
    let wrapped = [&amf0::encode_all(&["@setDataFrame".into()])[..], &metadata].concat();
    let amf3 = [&[0], &wrapped[..]].concat();
    for (message_type, payload, expected) in [
        (18, wrapped, Some(&metadata[..])),
        (15, amf3, Some(&metadata[..])),
        (18, metadata.to_vec(), Some(&metadata[..])),
        (18, vec![0xff, 0xff], Some(&[0xff, 0xff][..])),
        (18, command(&["@setDataFrame".into()]), None),
        (18, command(&["@clearDataFrame".into(), "onMetaData".into()]), None),
        (18, vec![], None),
        (15, vec![0], Some(&[0][..])),
    ] {
        let mut writer = ChunkWriter::default();
        let mut bytes = prelude(&mut writer);
        bytes.extend(writer.message(&Outgoing::new(4, message_type, 0, payload)));
        let mut server = Server::default();
        server.feed(&bytes).unwrap();
        let tags = server.tags();
        assert_eq!(tags.first().map(|tag| &tag.data[..]), expected);
    }
}

#[test]
fn an_aggregate_is_taken_apart() {
    let mut payload = BytesMut::new();
    let tag = |kind, timestamp_ms| Tag { kind, timestamp_ms, data: vec![9; 20].into() };
    nodi_flv::tag::write_tag(&tag(Kind::Video, 5_000), &mut payload).unwrap();
    nodi_flv::tag::write_tag(&tag(Kind::Audio, 5_023), &mut payload).unwrap();
    let mut writer = ChunkWriter::default();
    let mut bytes = prelude(&mut writer);
    bytes.extend(writer.message(&Outgoing::new(4, 22, 100, payload.to_vec())));
    bytes.extend(writer.message(&Outgoing::new(6, 9, 140, vec![9; 20])));
    let mut server = Server::default();
    server.feed(&bytes).unwrap();
    assert_eq!(server.tags(), [tag(Kind::Video, 100), tag(Kind::Audio, 123), tag(Kind::Video, 140)]);
    let cut = payload.len() - 5;
    let error = server.feed(&writer.message(&Outgoing::new(4, 22, 0, payload[..cut].to_vec()))).unwrap_err();
    assert!(error.to_string().contains("aggregate message on chunk stream 4"), "{error}");
}

#[test]
fn enhanced_clients_learn_what_is_taken() {
    let object = Value::Object(vec![
        ("app".into(), "live".into()),
        ("fourCcList".into(), Value::StrictArray(vec!["hvc1".into(), "avc1".into()])),
    ]);
    let connect = command(&["connect".into(), 1.0.into(), object]);
    let mut server = Server::default();
    let mut writer = ChunkWriter::default();
    server.feed(&[hello(), writer.message(&Outgoing::new(3, 20, 0, connect))].concat()).unwrap();
    let commands = answers(&mut server.connection);
    assert_eq!(commands[0][2].get("fourCcList"), Some(&Value::StrictArray(vec!["avc1".into()])));
}

#[test]
fn no_debug_output_shows_a_key() {
    let mut server = Server::default();
    server.feed(&prelude(&mut ChunkWriter::default())).unwrap();
    for text in [format!("{:?}", server.events), format!("{:?}", server.connection)] {
        assert!(!text.contains("KEY") && !text.contains("rtmp://"), "{text}");
    }
}
