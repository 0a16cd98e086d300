//! `rml_rtmp`'s client as publisher: another implementation, which writes chunks its own way.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use bytes::{Bytes, BytesMut};
use nodi_flv::{Kind, Metadata, amf0};
use nodi_rtmp::{Connection, Event, Limits, code};
use proptest::prelude::*;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionError, ClientSessionEvent, ClientSessionResult,
    PublishRequestType, StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;

/// A client and a server that talk over two buffers.
struct Pair {
    client: ClientSession,
    server: Connection,
    input: BytesMut,
    client_events: Vec<ClientSessionEvent>,
    events: Vec<Event>,
}

impl Pair {
    fn new(config: ClientSessionConfig) -> Self {
        let mut server = Connection::new(Limits::default());
        let mut handshake = Handshake::new(PeerType::Client);
        let mut input = BytesMut::from(&handshake.generate_outbound_p0_and_p1().unwrap()[..]);
        assert_eq!(server.receive(&mut input).unwrap(), None);
        let Ok(HandshakeProcessResult::Completed { response_bytes, .. }) =
            handshake.process_bytes(&server.output().split())
        else {
            panic!("handshake")
        };
        input.extend_from_slice(&response_bytes);
        let (client, results) = ClientSession::new(config).unwrap();
        let mut pair = Self { client, server, input, client_events: Vec::new(), events: Vec::new() };
        pair.take(results);
        pair
    }

    fn take(&mut self, results: Vec<ClientSessionResult>) {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.input.extend_from_slice(&packet.bytes),
                ClientSessionResult::RaisedEvent(event) => self.client_events.push(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
    }

    /// Hands bytes to and fro until both have nothing to say; `accept` decides about the publish.
    fn run(&mut self, accept: bool) {
        loop {
            while let Some(event) = self.server.receive(&mut self.input).unwrap() {
                match &event {
                    Event::Connect(_) => self.server.accept_connect().unwrap(),
                    Event::Publish(_) if accept => self.server.accept_publish().unwrap(),
                    Event::Publish(_) => {
                        self.server.refuse_publish(code::PUBLISH_BAD_NAME, "wrong key").unwrap();
                    }
                    _ => {}
                }
                self.events.push(event);
            }
            let output = self.server.output().split();
            if output.is_empty() {
                return;
            }
            let results = self.client.handle_input(&output).unwrap();
            self.take(results);
        }
    }

    fn say(&mut self, result: Result<ClientSessionResult, ClientSessionError>) {
        let result = result.unwrap();
        self.take(vec![result]);
        self.run(true);
    }

    fn publishing(chunk_size: u32) -> Self {
        let mut pair = Self::new(ClientSessionConfig {
            chunk_size,
            tc_url: Some("rtmp://host/live".into()),
            ..ClientSessionConfig::new()
        });
        let request = pair.client.request_connection("live".into());
        pair.say(request);
        let request = pair.client.request_publishing("KEY".into(), PublishRequestType::Live);
        pair.say(request);
        pair
    }
}

#[test]
fn publishes_and_ends() {
    let mut pair = Pair::publishing(4096);
    let Event::Connect(connect) = &pair.events[0] else { panic!("{:?}", pair.events) };
    assert_eq!((connect.app.as_str(), connect.tc_url.as_str()), ("live", "rtmp://host/live"));
    assert_eq!(connect.flash_version, "WIN 23,0,0,207");
    let Event::Publish(publish) = &pair.events[1] else { panic!("{:?}", pair.events) };
    assert_eq!(publish.key_candidates()[0], "KEY");
    assert!(pair.client_events.contains(&ClientSessionEvent::ConnectionRequestAccepted));
    assert!(pair.client_events.contains(&ClientSessionEvent::PublishRequestAccepted));

    let mut metadata = StreamMetadata::new();
    metadata.video_width = Some(1920);
    metadata.encoder = Some("rml".into());
    let metadata = pair.client.publish_metadata(&metadata);
    pair.say(metadata);
    let Event::Tag(tag) = pair.events.last().unwrap() else { panic!("{:?}", pair.events) };
    assert_eq!(tag.kind, Kind::Script);
    let read = Metadata::from_script(&tag.data, amf0::Limits::default()).unwrap().unwrap();
    assert_eq!((read.width, read.encoder.as_deref()), (Some(1920), Some("rml")));

    let results = pair.client.stop_publishing().unwrap();
    pair.take(results);
    pair.run(true);
    assert!(matches!(pair.events.last(), Some(Event::Unpublish(_))), "{:?}", pair.events);
}

#[test]
fn a_refusal_reaches_the_client() {
    let mut pair = Pair::new(ClientSessionConfig::new());
    let request = pair.client.request_connection("live".into());
    pair.say(request);
    let request = pair.client.request_publishing("KEY".into(), PublishRequestType::Live).unwrap();
    pair.take(vec![request]);
    pair.run(false);
    let refused = ClientSessionEvent::UnhandleableOnStatusCode { code: code::PUBLISH_BAD_NAME.into() };
    assert!(pair.client_events.contains(&refused), "{:?}", pair.client_events);
}

#[test]
fn a_ping_is_answered() {
    let mut pair = Pair::publishing(4096);
    pair.server.ping(77).unwrap();
    pair.run(true);
    assert_eq!(pair.events.last(), Some(&Event::Pong { timestamp_ms: 77 }));
    let (ping, sent) = pair.client.send_ping_request().unwrap();
    pair.input.extend_from_slice(&ping.bytes);
    pair.run(true);
    let answered = ClientSessionEvent::PingResponseReceived { timestamp: sent };
    assert!(pair.client_events.contains(&answered), "{:?}", pair.client_events);
}

#[test]
fn acknowledgements_count_from_the_start() {
    let mut pair = Pair::publishing(65_536);
    let mut last = 0;
    for n in 0..10 {
        let data = Bytes::from(vec![0x27; 1_000_000]);
        let sent = pair.client.publish_video_data(data, RtmpTimestamp::new(n * 40), false);
        pair.say(sent);
    }
    for event in &pair.client_events {
        if let ClientSessionEvent::AcknowledgementReceived { bytes_received } = event {
            assert!(*bytes_received > last);
            last = *bytes_received;
        }
    }
    assert!((8_750_000..10_010_000).contains(&last), "{last}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn media_comes_out_as_it_went_in(
        chunk_size in prop_oneof![Just(128u32), 128..5_000u32, Just(65_536)],
        packets in prop::collection::vec((any::<bool>(), 0..70u32, 1..9_000usize), 1..40),
    ) {
        let mut pair = Pair::publishing(chunk_size);
        let before = pair.events.len();
        let (mut time, mut expected) = (0u32, Vec::new());
        for (video, step, len) in packets {
            time += step;
            let data = Bytes::from(vec![u8::try_from(len % 251).unwrap(); len]);
            let timestamp = RtmpTimestamp::new(time);
            let sent = if video {
                pair.client.publish_video_data(data.clone(), timestamp, false)
            } else {
                pair.client.publish_audio_data(data.clone(), timestamp, false)
            };
            pair.say(sent);
            let kind = if video { Kind::Video } else { Kind::Audio };
            expected.push(Event::Tag(nodi_flv::Tag { kind, timestamp_ms: time, data }));
        }
        prop_assert_eq!(&pair.events[before..], &expected[..]);
    }
}
