//! What is said about a stream's health, and odd streams that go through all the same.

use crate::support::client::Client;
use crate::support::encoder::{Encoder, test_stream};
use crate::support::worker::{Workers, is_audio_frame, is_frame};
use crate::support::{Server, encoder, key, media};

fn ffmpeg(server: &Server, arguments: &str) -> Encoder {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    Encoder::ffmpeg(&arguments, &server.url(&key("nodi")))
}

#[test]
fn a_stream_is_described_and_a_bad_habit_is_named() {
    let server = Server::with(|config| {
        config.worker.socket = None;
        config.status.metrics_listen = Some("127.0.0.1:0".parse().unwrap());
    });
    let _encoder = ffmpeg(
        &server,
        "-re -f lavfi -i testsrc=size=320x180:rate=25:duration=30 -f lavfi -i sine=sample_rate=44100:duration=30 \
         -c:v libx264 -preset ultrafast -profile:v main -bf 2 -g 150 -sc_threshold 0 -b:v 300k -pix_fmt yuv420p -c:a aac -ac 1",
    );
    let session = server.session("nodi", |session| {
        session["warnings"].to_string().contains("key_frames_far_apart")
            && session["video"]["key_frame_interval_s"] == 6.0
    });
    assert_eq!(session["video"]["codec"], "H.264");
    assert_eq!(session["video"]["b_frames"], true);
    assert_eq!(session["video"]["height"], 180);
    assert_eq!(session["video"]["profile"], "Main");
    let fps = session["video"]["fps"].as_f64().unwrap();
    assert!((24.0..26.0).contains(&fps), "{fps}");
    assert_eq!(session["audio"]["sample_rate"], 44_100);
    assert_eq!(session["audio"]["channels"], 1);
    assert_eq!(session["jumps_forward"]["count"], 0);
    let skew = session["av_skew_ms"].as_i64().unwrap();
    assert!(skew.abs() < 1_000, "{skew}");
    let warnings = session["warnings"].to_string();
    assert!(warnings.contains("key frames every 6 s: set the key-frame interval to 2 s"), "{warnings}");

    let text = server.metrics_text();
    for metric in
        ["nodi_ingest_sessions 1", "nodi_ingest_session_key_frame_interval_seconds{channel=\"nodi\"} 6"]
    {
        assert!(text.contains(metric), "{text}");
    }
    let over_tcp = http_get(server.metrics.unwrap(), "/metrics");
    assert!(over_tcp.contains("nodi_ingest_sessions 1"), "{over_tcp}");
    assert!(http_get(server.metrics.unwrap(), "/sessions").starts_with("HTTP/1.1 404"));
}

fn http_get(address: std::net::SocketAddr, target: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn video_alone_and_audio_alone_go_through() {
    let server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let arguments = test_stream(8);
    let text: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for (without, warning) in [("-an", "no_audio"), ("-vn", "no_video")] {
        let encoder = Encoder::ffmpeg(&[&text[..], &[without]].concat(), &server.url(&key("nodi")));
        let mut worker = workers.next();
        server.session("nodi", |session| session["warnings"].to_string().contains(warning));
        worker.read_all();
        assert!(encoder.end().0.success());
        let (video, audio) = (worker.video_frames(), worker.audio_frames());
        if without == "-an" {
            assert_eq!((video, audio), (200, 0));
        } else {
            assert!(video == 0 && audio >= 370, "{video} {audio}");
        }
    }
}

#[test]
fn an_audio_stream_survives_its_worker() {
    let server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut client = Client::connect(server.rtmp);
    assert!(client.publish(key("nodi").reveal()));
    client.tag(&media::aac_header());
    for at in 0..50 {
        client.tag(&media::aac_frame(at * 21));
    }
    let mut first = workers.next();
    first.until(|tag| tag.timestamp_ms == 49 * 21);
    first.crash();
    let mut second = workers.next();
    second.until(crate::support::worker::is_header);
    client.tag(&media::aac_frame(1_100));
    assert_eq!(second.until(is_audio_frame).timestamp_ms, 1_100);
}

#[test]
fn timestamps_go_through_as_they_are_and_jumps_are_counted() {
    let server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    // Above 24 bits (extended timestamps), over the wrap, forwards, and back.
    let starts = [0x0100_0000, 0x0100_03e8, u32::MAX - 499, 3_600_000, 1_000];
    let mut sent = Vec::new();
    for start in starts {
        for frame in 0..25 {
            let at = start.wrapping_add(frame * 40);
            let tag = if frame == 0 { media::key_frame } else { media::delta_frame };
            client.tag(&tag(at, 20_000));
            sent.push(at);
        }
    }
    let mut worker = workers.next();
    worker.until(|tag| is_frame(tag) && tag.timestamp_ms == 1_000 + 24 * 40);
    let got: Vec<u32> = worker.tags.iter().filter(|tag| is_frame(tag)).map(|tag| tag.timestamp_ms).collect();
    assert_eq!(got, sent);
    let session = server.session("nodi", |session| session["video"]["frames"] == 125);
    assert_eq!(session["timestamp_wraps"], 1);
    assert!(session["jumps_backward"]["count"].as_u64() > Some(0), "{session}");
    assert!(session["jumps_forward"]["count"].as_u64() > Some(0), "{session}");
    assert!(session["warnings"].to_string().contains("timestamp_jumps"), "{session}");
}

#[test]
fn senseless_messages_are_left_out() {
    let server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let mut client = Client::publishing(server.rtmp, &key("nodi"));
    for data in [&b"\x17"[..], b"\x17\x09\0\0\0x", b"\x97\xff"] {
        client.tag(&media::video(0, data));
    }
    client.tag(&media::audio(0, b"\xaf\x07"));
    client.second(0, 100);
    let mut worker = workers.next();
    worker.until(|tag| is_frame(tag) && tag.timestamp_ms == 960);
    let session = server.session("nodi", |session| session["warnings"].to_string().contains("malformed"));
    assert_eq!(session["video"]["frames"], 25);
}

#[test]
fn the_status_has_a_session_as_soon_as_it_is_there() {
    let server = Server::start();
    let _workers = Workers::listen(&server.path("worker.sock"));
    let encoder = encoder::ffmpeg(&server.url(&key("nodi")), 1);
    let session = server.session("nodi", |_| true);
    assert_eq!(session["transport"], "rtmp");
    assert!(session["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(encoder.end().0.success());
}
