//! Who is turned away, and that every encoder learns why and ends.

use std::time::{SystemTime, UNIX_EPOCH};

use nodi_protocol::stream_key::{Minter, StreamKey};

use crate::support::client::{self, Client};
use crate::support::encoder::{self, Encoder};
use crate::support::{Server, eventually, grant, key, media, minter, revoke};

const BAD_NAME: &str = "NetStream.Publish.BadName";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A key of each kind that is refused, and the reason.
fn bad_keys(server: &Server) -> [(StreamKey, &'static str); 4] {
    revoke(server.directory.path(), "revoked", 2);
    let revoked = minter().mint(&grant("revoked", 1, None));
    eventually("the revocation to be read", || {
        let mut client = Client::connect(server.rtmp);
        (!client.publish(revoked.reveal())).then_some(())
    });
    [
        (StreamKey::from_text("nodi_wrong"), "this is not a stream key"),
        (minter().mint(&grant("expired", 1, Some(now() - 1))), "has expired"),
        (revoked, "was revoked"),
        (Minter::from_seed(&[1; 32]).mint(&grant("foreign", 1, None)), "not issued by this platform"),
    ]
}

fn patient() -> Server {
    Server::with(|config| config.throttle.refuse_after = 1_000)
}

#[test]
fn each_bad_key_gets_its_reason_and_the_connection_closes() {
    let server = patient();
    for (key, reason) in bad_keys(&server) {
        let mut client = Client::connect(server.rtmp);
        assert!(!client.publish(key.reveal()));
        let said = client.until_closed();
        assert!(said.contains(BAD_NAME) && said.contains(reason), "{said}");
    }
    assert!(server.sessions().is_empty());
    assert!(server.metric("nodi_ingest_refusals_total{reason=\"stream_key\"}") >= 5.0);
}

#[test]
fn ffmpeg_shows_the_reason_and_ends() {
    let server = patient();
    for (key, reason) in bad_keys(&server) {
        let (status, said) = encoder::ffmpeg(&server.url(&key), 30).end();
        assert!(!status.success());
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn gstreamer_rtmp2sink_ends() {
    let server = patient();
    for (key, _) in bad_keys(&server) {
        let (_, said) = Encoder::rtmp2sink(&server.url(&key), 30).end();
        assert!(said.contains("ERROR"), "{said}");
    }
}

#[test]
fn gstreamer_librtmp_ends() {
    let server = patient();
    for (key, _) in bad_keys(&server) {
        let (_, said) = Encoder::librtmp(&server.url(&key), 30).end();
        assert!(said.contains("ERROR"), "{said}");
    }
}

#[test]
fn an_address_with_many_wrong_keys_is_refused_for_a_while() {
    let server = Server::with(|config| {
        config.throttle.refuse_after = 3;
        config.throttle.refuse_for_s = 2;
    });
    let attempt = |key: &str| {
        let mut client = Client::connect(server.rtmp);
        if client.publish(key) { None } else { Some(client.until_closed()) }
    };
    for _ in 0..3 {
        assert!(attempt("wrong").unwrap().contains("this is not a stream key"));
    }
    let said = attempt(key("nodi").reveal()).expect("a good key is not looked at either");
    assert!(said.contains("too many wrong stream keys from your address"), "{said}");
    eventually("the address to be let in again", || attempt(key("nodi").reveal()).is_none().then_some(()));
}

#[test]
fn limits_on_connections_are_said() {
    let server = Server::with(|config| {
        config.limits.connections = 3;
        config.limits.connections_per_address = 2;
    });
    let held = [Client::connect(server.rtmp), Client::connect(server.rtmp)];
    let mut third = Client::connect(server.rtmp);
    assert!(!third.publish(key("nodi").reveal()));
    let said = third.until_closed();
    assert!(said.contains(BAD_NAME) && said.contains("too many connections from your address"), "{said}");
    drop(held);
    eventually("room", || Client::connect(server.rtmp).publish(key("nodi").reveal()).then_some(()));
}

#[test]
fn other_codecs_are_refused_by_name_also_in_mid_stream() {
    let server = Server::start();
    for (tag, reason) in [
        (
            media::video(0, b"\x90hvc1config"),
            "HEVC (hvc1) is not supported yet: choose H.264 in your encoder",
        ),
        (media::video(0, b"\x90av01config"), "AV1 (av01) is not supported yet: choose H.264 in your encoder"),
        (media::audio(0, b"\x2fmp3"), "MP3 is not supported yet: choose AAC in your encoder"),
        (media::audio(0, b"\x90Opusconfig"), "Opus is not supported yet: choose AAC in your encoder"),
    ] {
        let mut client = Client::publishing(server.rtmp, &key("nodi"));
        client.second(0, 1_000);
        client.tag(&tag);
        let said = client.until_closed();
        assert!(said.contains(BAD_NAME) && said.contains(reason), "{said}");
    }
    assert!(server.metric("nodi_ingest_endings_total{reason=\"codec\"}") >= 4.0);
}

#[test]
fn limits_on_the_stream_are_said() {
    let server = Server::with(|config| {
        config.limits.bitrate_bps = 4_000_000;
        config.limits.message_bytes = 200_000;
        config.limits.media_idle_s = 2;
    });
    let refused = |reason: &str, play: &mut dyn FnMut(&mut Client)| {
        let mut client = Client::publishing(server.rtmp, &key("nodi"));
        play(&mut client);
        let said = client.until_closed();
        assert!(said.contains(BAD_NAME) && said.contains(reason), "{reason}: {said}");
    };
    // 100 Mbit in no time, where 40 Mbit in 10 s are allowed.
    refused("lower the bitrate", &mut |client| {
        for second in 0..100 {
            if (0..25).any(|_| client.try_tag(&media::key_frame(second * 1000, 5_000)).is_err()) {
                break;
            }
        }
    });
    refused("bytes", &mut |client| {
        let _ = client.try_tag(&media::key_frame(0, 300_000));
    });
    refused("no audio or video was received for 2 s", &mut |client| client.second(0, 100));

    let small = Server::with(|config| config.limits.pixels_per_s = 1280 * 720 * 30);
    let mut client = Client::connect(small.rtmp);
    assert!(client.publish(key("nodi").reveal()));
    client.tag(&media::avc_header());
    for frame in 0..50 {
        let _ = client.try_tag(&media::key_frame(frame * 20, 100));
    }
    let said = client.until_closed();
    assert!(said.contains("1920x1080") && said.contains("lower the resolution"), "{said}");
}

#[test]
fn who_says_nothing_is_not_waited_for() {
    let server = Server::with(|config| {
        config.limits.handshake_s = 1;
        config.limits.publish_s = 1;
    });
    let mut silent = std::net::TcpStream::connect(server.rtmp).unwrap();
    assert!(client::is_closed(&mut silent));
    assert!(Client::connect(server.rtmp).until_closed().contains("Connect.Success"));
    eventually("both to be counted", || {
        let count = |reason| server.metric(&format!("nodi_ingest_refusals_total{{reason=\"{reason}\"}}"));
        (count("handshake_timeout") == 1.0 && count("publish_timeout") == 1.0).then_some(())
    });
}

#[test]
fn without_public_keys_nobody_is_let_in_until_they_come() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("keys.pub"), "nonsense").unwrap();
    let server = Server::in_directory(directory, |_| {});
    let mut client = Client::connect(server.rtmp);
    assert!(!client.publish(key("nodi").reveal()));
    assert!(client.until_closed().contains("cannot check stream keys yet"));
    std::fs::write(server.path("keys.pub"), minter().public_line()).unwrap();
    eventually("the keys to be read", || {
        Client::connect(server.rtmp).publish(key("nodi").reveal()).then_some(())
    });
}
