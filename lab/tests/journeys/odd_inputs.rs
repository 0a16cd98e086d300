//! What real encoders send besides the ordinary.

use bytes::{Bytes, BytesMut};
use nodi_flv::{Kind, Tag};
use nodi_lab::Lab;
use nodi_lab::check::{Report, Rule, Viewer};
use nodi_lab::publish::rtmp::Publisher;
use nodi_lab::publish::{Audio, Client, Source, Video, clip, flv};

use crate::support::{
    PATIENCE, assert_clean, assert_clean_except, discontinuities, eventually, live_sessions, more_segments,
    publish, run, start, text, tiny, view,
};

fn with_video(change: impl FnOnce(&mut Video)) -> Source {
    let mut source = tiny();
    change(source.video.as_mut().unwrap());
    source
}

/// Encodes `source` to FLV.
fn clip(source: &Source, seconds: u32) -> Vec<Tag> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clip.flv");
    clip::make(source, seconds, &[], "ultrafast", &path).unwrap();
    flv::read(&path).unwrap()
}

/// A publisher of ours that sends what it was given, and somebody who watches that.
struct Sent {
    lab: Lab,
    viewer: Viewer,
    /// Stays connected after the last tag.
    publisher: tokio::task::JoinHandle<Publisher>,
}

impl Sent {
    /// Sends the tags in real time.
    async fn start(tags: Vec<Tag>) -> Self {
        let mut lab = start().await;
        let (port, key) = (lab.boxes[0].rtmp_port(), lab.stream_key());
        let publisher = tokio::spawn(async move {
            let mut publisher = Publisher::connect(port, key.reveal()).await.unwrap();
            publisher.play(&tags).await.unwrap();
            publisher
        });
        let viewer = view(&mut lab).await;
        Self { lab, viewer, publisher }
    }

    /// What the viewer saw up to so many segments further on.
    async fn after_segments(self, count: u64) -> Report {
        more_segments(&self.viewer, count).await;
        let report = self.viewer.finish().await;
        self.publisher.abort();
        report
    }
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
    let wide = with_video(|video| (video.width, video.height, video.kbits) = (640, 360, 500));
    let sent = Sent::start(flv::join(clip(&tiny(), 8), clip(&wide, 14), 33)).await;
    let report = until_discontinuity(&sent.viewer).await;
    assert!(report.renditions.values().all(|rendition| !rendition.ended), "{report}");
    let session = live_sessions(&sent.lab, 0).await;
    let report = sent.after_segments(2).await;
    assert_eq!(report.sessions, session, "{report}");
    assert_eq!(discontinuities(&report).len(), 1, "{report}");
    assert_clean_except(&report, &[Rule::PreloadHint, Rule::BlockingReload]);
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
    // Five seconds before the end of the 32 bits.
    let tags = flv::shift(clip(&tiny(), 14), u32::MAX - 5_000);
    let report = Sent::start(tags).await.after_segments(4).await;
    assert!(discontinuities(&report).is_empty(), "{report}");
    assert_clean(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_that_jump() {
    let first = clip(&tiny(), 6);
    let second = first.clone();
    // An hour's step forward, as after a laptop's sleep; headers are sent again.
    let report = Sent::start(flv::join(first, second, 3_600_000)).await.after_segments(4).await;
    assert_eq!(report.sessions.len(), 1, "{report}");
    // Whether a jump is bridged or marked is the worker's choice; it is never a lie.
    assert!(discontinuities(&report).len() <= 1, "{report}");
    assert_clean_except(&report, &[Rule::PreloadHint, Rule::BlockingReload]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_frame() {
    let mut tags = clip(&tiny(), 14);
    // A frame in the middle of a group, 5 s in: its slice data is overwritten.
    let victim = tags
        .iter_mut()
        .find(|tag| tag.kind == Kind::Video && tag.timestamp_ms > 5_200 && tag.data.first() == Some(&0x27))
        .unwrap();
    let mut data = BytesMut::from(victim.data.as_ref());
    data.iter_mut().skip(16).for_each(|byte| *byte ^= 0xa5);
    victim.data = Bytes::from(data);
    let report = Sent::start(tags).await.after_segments(4).await;
    assert!(discontinuities(&report).is_empty(), "{report}");
    assert_clean(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_that_we_do_not_take_is_refused_by_name() {
    let mut lab = start().await;
    // MP3 in FLV is sound format 2.
    let input = "-nostdin -v warning -re -f lavfi -i sine=sample_rate=44100 -c:a libmp3lame -t 20 -f flv";
    let url = format!("{}/{}", lab.rtmp_url(0), lab.stream_key().reveal());
    let args: Vec<&str> = input.split(' ').chain([url.as_str()]).collect();
    let output = run("ffmpeg", &args, PATIENCE).await;
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    let log = std::fs::read_to_string(lab.logs().join("ingest.log")).unwrap();
    assert!(log.contains("MP3"), "{log}");
    eventually("no session", PATIENCE, async || live_sessions(&lab, 0).await.is_empty().then_some(())).await;
    lab.stop();
}
