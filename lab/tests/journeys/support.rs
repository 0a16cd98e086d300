//! A small platform that two cores carry with room to spare, and the clients around it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use nodi_lab::check::{self, Report, Rule, Viewer};
use nodi_lab::config::Rung;
use nodi_lab::process::Process;
use nodi_lab::publish::{self, Audio, Client, Source, Video};
use nodi_lab::{Lab, Options};
use serde_json::{Value, json};

/// For anything that takes a second on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(100);

/// Two rungs, one box, one origin, nginx in front.
pub(crate) async fn start() -> Lab {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(adjust: impl FnOnce(&mut Options)) -> Lab {
    nodi_daemon::logging::init("journeys", log::LevelFilter::Info);
    let mut options = Options::new("test".parse().unwrap());
    let rung = |name: &str, height, bitrate| Rung { name: name.to_owned(), height, bitrate };
    options.ladder = Some(vec![rung("360p", 360, 500_000), rung("180p", 180, 150_000)]);
    options.overrides.transcode = json!({ "preset": "ultrafast", "cpu_budget": 1.0, "log_level": "debug" });
    adjust(&mut options);
    Lab::start(options).await.unwrap()
}

/// A picture of 320 x 180, which one rung carries, and a tone.
pub(crate) fn tiny() -> Source {
    let video = Video { width: 320, height: 180, fps: 30, gop_s: 2, b_frames: 0, kbits: 300, clock: false };
    Source { video: Some(video), audio: Some(Audio { sample_rate: 48_000, channels: 2 }) }
}

/// Starts a publisher on the first box with the lab's key.
pub(crate) fn publish(lab: &mut Lab, client: Client, source: &Source) -> usize {
    let url = lab.rtmp_url(0);
    publish_to(lab, client, source, &url)
}

/// Returns its place in `lab.clients`.
pub(crate) fn publish_to(lab: &mut Lab, client: Client, source: &Source, url: &str) -> usize {
    let key = lab.stream_key();
    publish_as(lab, client, source, url, key.reveal())
}

pub(crate) fn publish_as(lab: &mut Lab, client: Client, source: &Source, url: &str, key: &str) -> usize {
    let mut spec = publish::live(client, source, url, key, &lab.logs()).unwrap();
    let index = lab.clients.len();
    // Each has a log of its own.
    spec.name = format!("publisher-{}", index + 1);
    spec.log = lab.logs().join(format!("{}.log", spec.name));
    lab.clients.push(Process::start(spec).unwrap());
    index
}

/// A broadcast under way: an encoder on the first box, and a viewer who has seen a segment of it.
pub(crate) struct OnAir {
    pub(crate) lab: Lab,
    /// Its place in `lab.clients`.
    pub(crate) encoder: usize,
    pub(crate) viewer: Viewer,
}

pub(crate) async fn on_air() -> OnAir {
    on_air_with(|_| {}).await
}

pub(crate) async fn on_air_with(adjust: impl FnOnce(&mut Options)) -> OnAir {
    let mut lab = start_with(adjust).await;
    let encoder = publish(&mut lab, Client::Ffmpeg, &tiny());
    let viewer = view(&mut lab).await;
    more_segments(&viewer, 1).await;
    OnAir { lab, encoder, viewer }
}

/// What an interruption excuses: reloads that were answered although nothing new came, media whose time is
/// not quite now when it arrives, an announced part that never came, and a report that has not yet passed a gap.
pub(crate) const INTERRUPTED: &[Rule] =
    &[Rule::BlockingReload, Rule::ProgramDateTime, Rule::PreloadHint, Rule::RenditionReport];

/// The playlist went on through an interruption, without a reload, and is still open.
pub(crate) fn assert_went_on(report: &Report, sessions: usize, breaks: usize) {
    assert_eq!(report.sessions.len(), sessions, "{report}");
    assert_eq!(discontinuities(report).len(), breaks, "{report}");
    assert!(report.renditions.values().all(|rendition| !rendition.ended), "the playlist ended\n{report}");
    assert_clean_except(report, INTERRUPTED);
}

/// A viewer of the lab's channel who begins when there is something to see.
pub(crate) async fn view(lab: &mut Lab) -> Viewer {
    view_and_save(lab, None).await
}

/// The same, with every playlist saved below a directory.
pub(crate) async fn view_and_save(lab: &mut Lab, save: Option<PathBuf>) -> Viewer {
    let options = check::Options { wait: PATIENCE, save, ..check::Options::new(lab.multivariant_url()) };
    let broken = async {
        // A process that has died says why, and nobody waits for its picture.
        while lab.check_running().is_ok() {
            tokio::time::sleep(POLL).await;
        }
    };
    let viewer = tokio::select! {
        viewer = Viewer::start(options) => viewer.unwrap_or_else(|error| panic!("{error}")),
        () = broken => panic!("{}", lab.check_running().unwrap_err()),
    };
    let parts = |report: &Report| {
        report.renditions.values().filter(|rendition| rendition.parts > 0).count() == viewer.renditions()
    };
    viewer.until("the first part on all renditions", PATIENCE, parts).await.unwrap();
    viewer
}

/// Until the viewer has seen so many more segments of each rendition that goes on.
pub(crate) async fn more_segments(viewer: &Viewer, count: u64) -> Report {
    let ends = |report: &Report| -> Vec<(String, u64)> {
        report.renditions.iter().map(|(name, one)| (name.clone(), one.last_msn.unwrap_or(0))).collect()
    };
    let before = ends(&viewer.report());
    viewer
        .until(&format!("{count} more segments"), PATIENCE + Duration::from_secs(3 * count), |report| {
            ends(report).iter().all(|(name, end)| {
                before
                    .iter()
                    .find(|(other, _)| other == name)
                    .is_none_or(|(_, before)| *end >= before + count)
            })
        })
        .await
        .unwrap()
}

/// Nothing is wrong with what the viewer saw.
pub(crate) fn assert_clean(report: &Report) {
    assert_clean_except(report, &[]);
}

/// Nothing is wrong apart from these rules.
pub(crate) fn assert_clean_except(report: &Report, rules: &[Rule]) {
    let wrong = report.except(rules);
    assert!(wrong.is_empty(), "{} findings\n{report}", wrong.len());
    log::info!("what the viewer saw:\n{report}");
}

/// The discontinuities that every rendition agrees on.
pub(crate) fn discontinuities(report: &Report) -> Vec<u64> {
    let mut all = report.renditions.values().map(|rendition| &rendition.discontinuities);
    let first = all.next().cloned().unwrap_or_default();
    assert!(all.all(|other| *other == first), "renditions disagree on discontinuities\n{report}");
    first.into_iter().collect()
}

/// Polls until `condition` gives something.
pub(crate) async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "{what} did not happen within {} s", deadline.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

/// The ids of ingest's live sessions on one box.
pub(crate) async fn live_sessions(lab: &Lab, index: usize) -> Vec<String> {
    let sessions = lab.boxes[index].sessions().await.unwrap();
    sessions.iter().map(|session| session["session"].as_str().unwrap().to_owned()).collect()
}

/// Until the channel has a thumbnail, which is a JPEG.
pub(crate) async fn thumbnail(lab: &Lab) {
    let url = lab.multivariant_url().replace("index.m3u8", "thumbnail.jpg");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let image = eventually("a thumbnail", PATIENCE, async || {
        let answer = client.get(&url).send().await.unwrap();
        // Before the first one the answer is 204.
        if answer.status() == reqwest::StatusCode::OK { answer.bytes().await.ok() } else { None }
    })
    .await;
    assert!(image.starts_with(&[0xff, 0xd8, 0xff]), "{} bytes that are no JPEG", image.len());
}

/// `state` of the channel's `status.json`.
pub(crate) async fn channel_state(lab: &Lab) -> String {
    let url = lab.multivariant_url().replace("index.m3u8", "status.json");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(&url).send().await.unwrap().text().await.unwrap();
    let status: Value = serde_json::from_str(&answer).unwrap_or_default();
    status["state"].as_str().unwrap_or_default().to_owned()
}

/// Runs a program to its end.
pub(crate) async fn run(program: &str, args: &[&str], deadline: Duration) -> Output {
    let child = tokio::process::Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    tokio::time::timeout(deadline, child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("{program} {args:?} did not end within {} s", deadline.as_secs()))
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A script of the player page's test harness; its JSON.
pub(crate) async fn node(script: &str, args: &[&str], deadline: Duration) -> Value {
    let path = web().join("test").join(script);
    let mut all = vec![path.to_str().unwrap()];
    all.extend(args);
    let output = run("node", &all, deadline).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{script}: {error}\n{}\n{}", text(&output.stdout), text(&output.stderr))
    })
}

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fleet-manager/web")
}
