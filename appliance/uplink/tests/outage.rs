//! What happens when the network, the origin or the uplink itself goes away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::time::{Duration, Instant};

use common::media::{Worker, audio, session_id, video};
use common::network::{Line, Network};
use common::recorder::{Event, Recorder};
use common::{Appliance, until};

/// Media runs five times as fast as life here, and so do the limits.
fn origin(address: std::net::SocketAddr) -> String {
    format!(
        "[live]\nmax_lag_ms = 800\nyield_lag_ms = 200\n\
         [[origin]]\nname = \"primary\"\nurl = \"http://{address}\"\nstall_timeout_ms = 1000\n\
         connect_timeout_ms = 500\n"
    )
}

fn newest_seq(recorder: &Recorder, rendition: &str) -> u64 {
    recorder.described(rendition).iter().filter(|s| !s.gap).map(|s| s.msn).max().unwrap_or(0)
}

async fn outage(line: Line) {
    let (recorder, address) = Recorder::start().await;
    let network = Network::to(address).await;
    let appliance = Appliance::new();
    let uplink = appliance.start(&origin(network.address)).await;
    let session = session_id(1);
    appliance.credential("nodi", session, "k");
    let rungs = [video("720p", 3_000_000, 20_000), audio(1_000)];
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &rungs);
    worker.play(Duration::from_millis(1_000)).await;
    until("it is live", || recorder.described("720p").len() >= 2).await;

    network.set(line);
    let before = recorder.events().len();
    worker.play(Duration::from_secs(5)).await;
    assert!(newest_seq(&recorder, "720p") < worker.next_seq() - 5, "nothing passes");
    network.set(Line::Up);
    let returned = Instant::now();
    let live_from = worker.next_seq();
    let mut back_after = None;
    while back_after.is_none() {
        worker.play(Duration::from_millis(100)).await;
        if newest_seq(&recorder, "720p") >= live_from && newest_seq(&recorder, "audio") >= live_from {
            back_after = Some(returned.elapsed());
        }
        assert!(returned.elapsed() < common::DEADLINE, "live again");
    }
    eprintln!("live {:?} after the network's return", back_after.unwrap());

    // Live is told first, with everything that was missed as gaps; then the gaps fill, newest first.
    let events = recorder.events().split_off(before);
    let after_claim = events.iter().rposition(|event| matches!(event, Event::Claim { .. })).unwrap();
    let first = events[after_claim..].iter().find_map(|event| match event {
        Event::Playlist { rendition, segments } if rendition == "720p" => Some(segments.clone()),
        _ => None,
    });
    let first = first.unwrap();
    assert!(!first.last().unwrap().gap, "live");
    assert!(first.iter().filter(|segment| segment.gap).count() >= 5, "what was missed");
    assert!(first.windows(2).all(|pair| pair[1].msn == pair[0].msn + 1), "no holes");

    worker.play(Duration::from_millis(500)).await;
    let written = worker.end();
    until("the session is over", || recorder.lock().ended.is_some()).await;
    assert!(recorder.holds(&written), "nothing recorded is lost");
    let order: Vec<u64> = recorder
        .events()
        .split_off(before + after_claim)
        .iter()
        .filter_map(|event| match event {
            Event::Complete { rendition, msn } if rendition == "720p" && *msn < live_from => Some(*msn),
            _ => None,
        })
        .collect();
    assert!(order.windows(2).all(|pair| pair[0] > pair[1]), "backfill is newest first: {order:?}");
    if line == Line::Cut {
        // What a frozen network held back arrives after the claim has been answered, and then comes twice.
        assert_eq!(recorder.lock().faults, Vec::<String>::new(), "every upload went on from what was held");
    }
    uplink.stop().await;
}

#[tokio::test]
async fn an_origin_that_is_away_gets_live_first_and_then_what_it_missed() {
    outage(Line::Cut).await;
}

#[tokio::test]
async fn a_network_that_swallows_everything_is_noticed() {
    outage(Line::Frozen).await;
}

#[tokio::test]
async fn an_origin_that_restarts_gets_its_window_again() {
    let (recorder, address) = Recorder::start().await;
    let appliance = Appliance::new();
    let uplink = appliance.start(&origin(address)).await;
    let session = session_id(1);
    appliance.credential("nodi", session, "k");
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[audio(1_000)]);
    worker.play(Duration::from_millis(1_000)).await;
    until("it is live", || recorder.described("audio").len() >= 2).await;
    recorder.restart();
    worker.play(Duration::from_millis(1_500)).await;
    let written = worker.end();
    until("the session is over", || recorder.lock().ended.is_some()).await;
    assert!(recorder.holds(&written));
    uplink.stop().await;
}

#[tokio::test]
async fn an_origin_that_says_how_far_it_reaches_is_sent_no_more() {
    let (recorder, address) = Recorder::start().await;
    recorder.lock().window_s = Some(4);
    let appliance = Appliance::new();
    let session = session_id(1);
    appliance.credential("nodi", session, "k");
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[audio(1_000)]);
    worker.segments(30);
    let uplink = appliance.start(&origin(address)).await;
    until("it is live", || newest_seq(&recorder, "audio") >= 29).await;
    worker.segments(1);
    worker.end();
    until("the session is over", || recorder.lock().ended.is_some()).await;
    let oldest = recorder.lock().segments.keys().map(|(_, msn)| *msn).min();
    assert!(oldest.is_some_and(|oldest| oldest >= 20), "{oldest:?}");
    uplink.stop().await;
}

#[tokio::test]
async fn a_killed_uplink_goes_on_within_the_segment() {
    let (recorder, address) = Recorder::start().await;
    recorder.lock().next_msn = 7;
    let appliance = Appliance::new();
    let session = session_id(1);
    appliance.credential("nodi", session, "k");
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[video("720p", 3_000_000, 30_000)]);
    let uplink = appliance.spawn(&origin(address));
    worker.segments(2);
    worker.part();
    worker.part();
    until("half a segment is there", || {
        recorder.lock().segments.get(&("720p".into(), 9)).is_some_and(|bytes| bytes.len() == 60_000)
    })
    .await;
    uplink.kill();
    worker.part();
    let uplink = appliance.spawn(&origin(address));
    until("it has claimed again", || {
        recorder.events().iter().filter(|event| matches!(event, Event::Claim { .. })).count() == 2
    })
    .await;
    worker.part();
    worker.segments(1);
    let written = worker.end();
    until("the session is over", || recorder.lock().ended.is_some()).await;
    assert!(recorder.holds(&written));
    assert_eq!(recorder.lock().base_msn, 7);
    assert!(recorder.events().contains(&Event::Begin { rendition: "720p".into(), msn: 9, offset: 60_000 }));
    let total: usize = written.values().map(Vec::len).sum();
    assert_eq!(recorder.segment_bytes(), total, "each byte once, over the kill");
    assert_eq!(recorder.lock().faults, Vec::<String>::new());
    assert!(recorder.described("720p").iter().all(|segment| !segment.gap));
    assert_eq!(uplink.terminate().await, Some(0));
}

#[tokio::test]
async fn a_stopped_uplink_closes_its_uploads_and_goes_on_later() {
    let (recorder, address) = Recorder::start().await;
    let appliance = Appliance::new();
    let session = session_id(1);
    appliance.credential("nodi", session, "k");
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[video("720p", 3_000_000, 30_000)]);
    let uplink = appliance.spawn(&origin(address));
    worker.segments(1);
    worker.part();
    until("it is live", || {
        recorder.lock().segments.get(&("720p".into(), 1)).is_some_and(|bytes| bytes.len() == 30_000)
    })
    .await;
    assert_eq!(uplink.terminate().await, Some(0));
    let complete = Event::Complete { rendition: "720p".into(), msn: 1 };
    assert!(recorder.events().contains(&complete), "the body was ended, not broken");
    assert_eq!(recorder.lock().ended, None, "the session is not over");

    let uplink = appliance.spawn(&origin(address));
    worker.part();
    worker.segments(1);
    let written = worker.end();
    until("the session is over", || recorder.lock().ended.is_some()).await;
    assert!(recorder.holds(&written));
    let total: usize = written.values().map(Vec::len).sum();
    assert_eq!(recorder.segment_bytes(), total, "each byte once");
    assert_eq!(uplink.terminate().await, Some(0));
}

#[tokio::test]
async fn on_a_slow_line_sound_and_small_pictures_stay_live() {
    let (recorder, address) = Recorder::start().await;
    let network = Network::to(address).await;
    let appliance = Appliance::new();
    let uplink = appliance.start(&origin(network.address)).await;
    let session = session_id(1);
    appliance.credential("nodi", session, "k");
    // 2.1 MB/s of media on a line of 500 KB/s.
    let rungs = [video("1080p", 6_000_000, 200_000), video("360p", 800_000, 10_000), audio(1_000)];
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &rungs);
    worker.play(Duration::from_millis(500)).await;
    network.set(Line::Slow(500_000));
    worker.play(Duration::from_secs(6)).await;
    let newest = worker.next_seq();
    let gaps = |name: &str| recorder.described(name).iter().filter(|segment| segment.gap).count();
    assert!(newest_seq(&recorder, "audio") + 3 >= newest, "sound is live");
    assert!(newest_seq(&recorder, "360p") + 3 >= newest, "the small picture is live");
    assert_eq!((gaps("audio"), gaps("360p")), (0, 0));
    assert!(gaps("1080p") > 0, "the large picture has gaps");
    assert!(newest_seq(&recorder, "1080p") + 8 >= newest, "and is not left behind");

    network.set(Line::Up);
    worker.play(Duration::from_secs(1)).await;
    let written = worker.end();
    until("the session is over", || recorder.lock().ended.is_some()).await;
    assert!(recorder.holds(&written), "the gaps are filled when there is room");
    uplink.stop().await;
}
