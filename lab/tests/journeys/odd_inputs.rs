//! What real encoders send besides the ordinary.

use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use nodi_flv::{Kind, Tag};
use nodi_lab::Lab;
use nodi_lab::check::{Report, Rule, Viewer};
use nodi_lab::publish::rtmp::Publisher;
use nodi_lab::publish::{Audio, Client, Source, Video, clip, flv};

use crate::support::{
    PATIENCE, assert_clean, assert_clean_except, discontinuities, eventually, live_sessions, more_segments,
    publish, start, tiny, view,
};

fn with_video(change: impl FnOnce(&mut Video)) -> Source {
    let mut source = tiny();
    change(source.video.as_mut().unwrap());
    source
}

/// Encodes `source` to FLV.
fn clip(lab: &Lab, name: &str, source: &Source, seconds: u32) -> Vec<Tag> {
    let path: PathBuf = lab.dir().join(format!("{name}.flv"));
    clip::make(source, seconds, &[], "ultrafast", &path).unwrap();
    flv::read(&path).unwrap()
}

/// Sends the tags in real time, and stays connected.
fn send(lab: &Lab, tags: Vec<Tag>) -> tokio::task::JoinHandle<Publisher> {
    let (port, key) = (lab.boxes[0].rtmp_port(), lab.stream_key());
    tokio::spawn(async move {
        let mut publisher = Publisher::connect(port, key.reveal()).await.unwrap();
        publisher.play(&tags).await.unwrap();
        publisher
    })
}

/// Publishes live and looks for a few seconds.
async fn look(client: Client, source: &Source) -> Report {
    let mut lab = start().await;
    publish(&mut lab, client, source);
    let viewer = view(&mut lab).await;
    more_segments(&viewer, 2).await;
    viewer.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn b_frames() {
    let report = look(Client::Ffmpeg, &with_video(|video| video.b_frames = 2)).await;
    assert_clean(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_audio() {
    let report = look(Client::Ffmpeg, &Source { audio: None, ..tiny() }).await;
    assert_eq!(report.renditions.keys().collect::<Vec<_>>(), ["180p"]);
    assert_clean(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_video() {
    let report = look(Client::Ffmpeg, &Source { video: None, ..tiny() }).await;
    assert_eq!(report.renditions.keys().collect::<Vec<_>>(), ["audio"]);
    assert_clean(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn mono_at_44100() {
    let report =
        look(Client::Ffmpeg, &Source { audio: Some(Audio { sample_rate: 44_100, channels: 1 }), ..tiny() })
            .await;
    assert_clean(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolution_change_in_mid_stream_is_a_discontinuity() {
    let mut lab = start().await;
    let small = clip(&lab, "small", &tiny(), 8);
    let wide = with_video(|video| (video.width, video.height, video.kbits) = (640, 360, 500));
    let sent = send(&lab, flv::join(small, clip(&lab, "wide", &wide, 14), 33));
    let viewer = view(&mut lab).await;
    let report = until_discontinuity(&viewer).await;
    assert!(report.renditions.values().all(|rendition| !rendition.ended), "{report}");
    let session = live_sessions(&lab, 0).await;
    more_segments(&viewer, 2).await;
    let report = viewer.finish().await;
    assert_eq!(report.sessions, session, "{report}");
    assert_eq!(discontinuities(&report).len(), 1, "{report}");
    assert_clean_except(&report, &[Rule::PreloadHint, Rule::BlockingReload]);
    sent.abort();
}

async fn until_discontinuity(viewer: &Viewer) -> Report {
    viewer
        .until("a discontinuity", PATIENCE, |report| {
            report.renditions.values().all(|rendition| !rendition.discontinuities.is_empty())
        })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_that_wrap_around() {
    let mut lab = start().await;
    // Five seconds before the end of the 32 bits.
    let tags = flv::shift(clip(&lab, "long", &tiny(), 14), u32::MAX - 5_000);
    let sent = send(&lab, tags);
    let viewer = view(&mut lab).await;
    more_segments(&viewer, 4).await;
    let report = viewer.finish().await;
    assert!(discontinuities(&report).is_empty(), "{report}");
    assert_clean(&report);
    sent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_that_jump() {
    let mut lab = start().await;
    let first = clip(&lab, "first", &tiny(), 6);
    let second = first.clone();
    // An hour's step forward, as after a laptop's sleep; headers are sent again.
    let sent = send(&lab, flv::join(first, flv::shift(second, 0), 3_600_000));
    let viewer = view(&mut lab).await;
    more_segments(&viewer, 4).await;
    let report = viewer.finish().await;
    assert_eq!(report.sessions.len(), 1, "{report}");
    // Whether a jump is bridged or marked is the worker's choice; it is never a lie.
    assert!(discontinuities(&report).len() <= 1, "{report}");
    assert_clean_except(&report, &[Rule::PreloadHint, Rule::BlockingReload]);
    sent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_frame() {
    let mut lab = start().await;
    let mut tags = clip(&lab, "damaged", &tiny(), 14);
    // A frame in the middle of a group, 5 s in: its slice data is overwritten.
    let victim = tags
        .iter_mut()
        .find(|tag| tag.kind == Kind::Video && tag.timestamp_ms > 5_200 && tag.data.first() == Some(&0x27))
        .unwrap();
    let mut data = BytesMut::from(victim.data.as_ref());
    data.iter_mut().skip(16).for_each(|byte| *byte ^= 0xa5);
    victim.data = Bytes::from(data);
    let sent = send(&lab, tags);
    let viewer = view(&mut lab).await;
    more_segments(&viewer, 4).await;
    let report = viewer.finish().await;
    assert!(discontinuities(&report).is_empty(), "{report}");
    assert_clean(&report);
    sent.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_that_we_do_not_take_is_refused_by_name() {
    let mut lab = start().await;
    // MP3 in FLV is sound format 2.
    let url = format!("{}/{}", lab.rtmp_url(0), lab.stream_key().reveal());
    let output = crate::support::run(
        "ffmpeg",
        &[
            "-nostdin",
            "-v",
            "warning",
            "-re",
            "-f",
            "lavfi",
            "-i",
            "sine=sample_rate=44100",
            "-c:a",
            "libmp3lame",
            "-t",
            "20",
            "-f",
            "flv",
            &url,
        ],
        PATIENCE,
    )
    .await;
    let said = crate::support::text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let log = std::fs::read_to_string(lab.logs().join("ingest.log")).unwrap();
    assert!(log.contains("MP3"), "{log}");
    eventually("no session", PATIENCE, async || live_sessions(&lab, 0).await.is_empty().then_some(())).await;
    lab.stop();
}
