//! Real encoders publish, and a worker gets their streams.

use crate::support::encoder::{self, Encoder};
use crate::support::worker::{Workers, is_audio_frame, is_frame, is_header, is_key_frame, metadata};
use crate::support::{Server, eventually, key};

/// Everything about one published stream, from the credentials to the end.
fn publishes(channel: &str, encoder: impl FnOnce(&Server) -> Encoder) -> crate::support::worker::Worker {
    let server = Server::start();
    let workers = Workers::listen(&server.path("worker.sock"));
    let encoder = encoder(&server);
    let mut worker = workers.next();
    let facts = worker.facts();
    assert_eq!(facts.channel.as_str(), channel);
    assert_eq!(facts.worker, 0);
    let credentials = server.path("sessions").join(facts.session.to_string());
    let text = std::fs::read_to_string(&credentials).unwrap();
    assert!(text.contains(key(channel).reveal()) && text.contains(&facts.session.to_string()));

    let session = server.session(channel, |session| {
        session["video"]["fps"].as_f64().is_some_and(|fps| fps > 0.0) && session["audio"]["frames"] != 0
    });
    assert_eq!(session["session"], facts.session.to_string());
    assert_eq!(session["video"]["width"], 320);
    assert_eq!(session["audio"]["sample_rate"], 48_000);

    worker.read_all();
    let (status, said) = encoder.end();
    assert!(status.success(), "{said}");
    assert!(worker.video_frames() >= 70, "{} frames", worker.video_frames());
    assert!(worker.audio_frames() >= 100, "{} frames", worker.audio_frames());
    let media = |tag: &nodi_flv::Tag| is_frame(tag) || is_audio_frame(tag);
    let first_media = worker.tags.iter().position(media).unwrap();
    assert!(worker.tags[..first_media].iter().any(|tag| metadata(tag).is_some()));
    assert!(worker.tags[..first_media].iter().any(is_header));
    assert!(is_key_frame(worker.tags.iter().find(|tag| is_frame(tag)).unwrap()));
    eventually("the session to be over", || server.sessions().is_empty().then_some(()));
    eventually("the credentials to be gone", || (!credentials.exists()).then_some(()));
    worker
}

#[test]
fn ffmpeg_publishes() {
    let mut worker = publishes("ffmpeg", |server| encoder::ffmpeg(&server.url(&key("ffmpeg")), 3));
    assert!(worker.facts().encoder.starts_with("Lavf"), "{}", worker.facts().encoder);
    assert_eq!(worker.video_frames(), 75);
}

#[test]
fn ffmpeg_publishes_with_the_key_in_the_url() {
    publishes("ffmpeg-url", |server| {
        let url = format!("rtmp://{}/live?key={}", server.rtmp, key("ffmpeg-url").reveal());
        encoder::ffmpeg(&format!("{url}/stream"), 3)
    });
}

#[test]
fn gstreamer_rtmp2sink_publishes() {
    publishes("rtmp2sink", |server| Encoder::rtmp2sink(&server.url(&key("rtmp2sink")), 3));
}

#[test]
fn gstreamer_librtmp_publishes() {
    publishes("librtmp", |server| Encoder::librtmp(&server.url(&key("librtmp")), 3));
}
