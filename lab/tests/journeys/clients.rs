//! Every encoder that we promise, and every player.

use std::time::Duration;

use nodi_lab::publish::{Client, Source};

use crate::support::{
    PATIENCE, assert_clean, discontinuities, eventually, more_segments, node, publish, publish_to, run,
    start, text, thumbnail, view, view_and_save,
};

#[tokio::test(flavor = "multi_thread")]
async fn from_ffmpeg_to_ffmpeg() {
    let mut lab = start().await;
    publish(&mut lab, Client::Ffmpeg, &Source::small());
    let viewer = view(&mut lab).await;
    // ffmpeg begins three segments before the end: not with the first one, which this machine may have been late for.
    more_segments(&viewer, 4).await;
    let url = lab.multivariant_url();
    let args =
        ["-v", "error", "-i", &url, "-map", "0:v:0", "-map", "0:a:0", "-t", "3", "-f", "framecrc", "-"];
    let output = run("ffmpeg", &args, PATIENCE).await;
    let (frames, errors) = (text(&output.stdout), text(&output.stderr));
    let count = |stream: &str| frames.lines().filter(|line| line.starts_with(stream)).count();
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    assert!((85..=95).contains(&count("0,")), "{} video frames in 3 s at 30 fps", count("0,"));
    assert!((135..=145).contains(&count("1,")), "{} AAC frames in 3 s at 48 kHz", count("1,"));
    let report = viewer.finish().await;
    assert_clean(&report);
    assert!(discontinuities(&report).is_empty(), "{report}");
    let renditions: Vec<&str> = report.renditions.keys().map(String::as_str).collect();
    assert_eq!(renditions, ["180p", "360p", "audio"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_gstreamer_to_gstreamer() {
    let mut lab = start().await;
    publish(&mut lab, Client::GstRtmp2, &Source::small());
    let viewer = view(&mut lab).await;
    // hlsdemux2 of GStreamer 1.22 may wait for ever when it finds fewer segments than its distance to live.
    more_segments(&viewer, 4).await;
    let (pictures, sound) = (lab.dir().join("pictures.raw"), lab.dir().join("sound.raw"));
    let pipeline = format!(
        "-q uridecodebin3 uri={} name=d \
         d. ! queue ! videoconvert ! videoscale ! video/x-raw,format=GRAY8,width=64,height=36 \
            ! filesink buffer-mode=unbuffered location={} \
         d. ! queue ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000,channels=1 \
            ! filesink buffer-mode=unbuffered location={}",
        lab.multivariant_url(),
        pictures.display(),
        sound.display()
    );
    let player = nodi_lab::process::Spec::new("player", "gst-launch-1.0", &lab.logs());
    let player = nodi_lab::process::Process::start(player.args(pipeline.split_whitespace())).unwrap();
    lab.clients.push(player);
    // Two seconds of each: 60 pictures, and two bytes a sample.
    eventually("GStreamer's playing", PATIENCE, async || {
        let len = |path| std::fs::metadata(path).map_or(0, |file: std::fs::Metadata| file.len());
        (len(&pictures) > 60 * 64 * 36 && len(&sound) > 2 * 2 * 48_000).then_some(())
    })
    .await;
    let report = viewer.finish().await;
    assert_clean(&report);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_librtmp_to_the_watch_page() {
    let mut lab = start().await;
    assert!(lab.watch_url().ends_with("/watch/test"));
    publish(&mut lab, Client::Librtmp, &Source::small());
    let viewer = view(&mut lab).await;
    thumbnail(&lab).await;
    let saw = node(
        "play.mjs",
        &["--url", &lab.watch_url(), "--seconds", "6", "--levels", "--json"],
        Duration::from_secs(120),
    )
    .await;
    assert_eq!(saw["ok"], true, "{saw:#}");
    assert_eq!(saw["stalls"], 0, "{saw:#}");
    assert_eq!(saw["moving_at_end"], true, "{saw:#}");
    assert_eq!(saw["state"], "live", "{saw:#}");
    assert_eq!(saw["errors"].as_array().map(Vec::len), Some(0), "{saw:#}");
    // Each rung of the menu was chosen, and the decoded picture followed.
    let heights: Vec<_> = saw["switches"].as_array().unwrap().iter().map(|one| &one["height"]).collect();
    assert!(heights.contains(&&360.into()) && heights.contains(&&180.into()), "{saw:#}");
    assert_clean(&viewer.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_rtmps() {
    let mut lab = start().await;
    let url = lab.rtmps_url(0);
    publish_to(&mut lab, Client::Ffmpeg, &Source::small(), &url);
    let viewer = view(&mut lab).await;
    more_segments(&viewer, 1).await;
    assert_clean(&viewer.finish().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_playlist_is_strictly_right() {
    let mut lab = start().await;
    publish(&mut lab, Client::Ffmpeg, &Source::small());
    let saved = lab.dir().join("playlists");
    let viewer = view_and_save(&mut lab, Some(saved.clone())).await;
    // Delta updates begin at six target durations.
    more_segments(&viewer, 11).await;
    let report = viewer.finish().await;
    assert_clean(&report);
    assert!(report.renditions.values().all(|rendition| rendition.delta_updates > 10), "{report}");
    let verdict = node("strict-playlists.mjs", &[saved.to_str().unwrap()], PATIENCE).await;
    assert_eq!(verdict["ok"], true, "{verdict:#}");
    assert!(verdict["delta"].as_u64().unwrap() > 10 && verdict["parts"].as_u64().unwrap() > 100, "{verdict}");
}
