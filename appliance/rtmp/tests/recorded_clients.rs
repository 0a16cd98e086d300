//! What real encoders send, recorded: see `fixtures/README.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod support;

use nodi_flv::{Kind, Metadata, amf0, audio, avc, video};
use nodi_rtmp::{Connect, Event, Publish, UnpublishReason};
use support::Server;

struct Recorded {
    connect: Connect,
    publish: Publish,
    server: Server,
}

/// Plays a recording, cut in several ways, and checks what all of them have in common.
fn play(recording: &[u8]) -> Recorded {
    let mut whole = Server::default();
    whole.feed(recording).unwrap();
    for step in [1, 13, 1460] {
        let mut server = Server::default();
        for piece in recording.chunks(step) {
            server.feed(piece).unwrap();
        }
        assert_eq!(server.events, whole.events, "in steps of {step}");
    }

    let Event::Connect(connect) = whole.events[0].clone() else { panic!("{:?}", whole.events[0]) };
    let Event::Publish(publish) = whole.events[1].clone() else { panic!("{:?}", whole.events[1]) };
    assert_eq!(connect.app, "live");
    assert_eq!(publish.key_candidates()[0], "KEY");
    let tags = whole.tags();
    let metadata = Metadata::from_script(&tags[0].data, amf0::Limits::default()).unwrap().unwrap();
    assert_eq!((metadata.width, metadata.height), (Some(64), Some(36)));
    let mut frames = 0;
    for tag in &tags[1..] {
        match tag.kind {
            Kind::Video => match video::parse(&tag.data).unwrap().body {
                video::Body::SequenceHeader(record) => {
                    let config = avc::DecoderConfig::parse(&record).unwrap();
                    assert_eq!((config.stream.width, config.stream.height), (64, 36));
                    assert_eq!(config.stream.nominal_frame_rate(), Some((5, 1)));
                }
                video::Body::Frame { keyframe, data, .. } => {
                    let picture = avc::picture_type(&data, 4).unwrap().unwrap();
                    assert_eq!(picture == avc::PictureType::I, keyframe);
                    frames += 1;
                }
                _ => {}
            },
            Kind::Audio => assert_eq!(audio::parse(&tag.data).unwrap().codec, audio::Codec::Aac),
            // GStreamer repeats its metadata when it knows more.
            Kind::Script => {
                assert!(Metadata::from_script(&tag.data, amf0::Limits::default()).unwrap().is_some())
            }
        }
    }
    assert_eq!(frames, 5);
    assert!(tags.windows(2).all(|pair| {
        pair[1].timestamp_ms.wrapping_sub(pair[0].timestamp_ms) < 1_000 || pair[0].kind != pair[1].kind
    }));
    Recorded { connect, publish, server: whole }
}

#[test]
fn ffmpeg() {
    let recorded = play(include_bytes!("fixtures/ffmpeg-5.1.bin"));
    assert_eq!(recorded.connect.flash_version, "FMLE/3.0 (compatible; Lavf59.27.100)");
    assert_eq!(recorded.publish.kind, "live");
    assert_eq!(recorded.server.events.last(), Some(&Event::Unpublish(UnpublishReason::FcUnpublish)));
}

#[test]
fn gstreamer_rtmp2sink() {
    let recorded = play(include_bytes!("fixtures/gstreamer-1.22-rtmp2sink.bin"));
    assert_eq!(recorded.connect.flash_version, "LNX 10,0,32,18");
}

#[test]
fn librtmp() {
    let recorded = play(include_bytes!("fixtures/librtmp-rtmpsink.bin"));
    assert_eq!(recorded.publish.kind, "live");
}
