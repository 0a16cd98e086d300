//! A session on its way to origins while it is live.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::time::Duration;

use common::media::{Worker, audio, session_id, video};
use common::recorder::{Event, Recorder};
use common::{Appliance, until};

fn origin(name: &str, address: std::net::SocketAddr) -> String {
    format!("[[origin]]\nname = \"{name}\"\nurl = \"http://{address}\"\n")
}

#[tokio::test]
async fn bytes_leave_while_the_segment_grows_and_each_byte_leaves_once() {
    let (recorder, address) = Recorder::start().await;
    let appliance = Appliance::new();
    let session = session_id(1);
    let uplink = appliance.start(&origin("primary", address)).await;
    appliance.credential("nodi", session, "nodi_secret");
    let mut worker =
        Worker::new(&appliance.spool(), "nodi", session, &[video("720p", 3_000_000, 70_000), audio(2_000)]);
    worker.thumbnail(b"jpeg");

    // Each part is at the origin, and described, before the next one is written.
    for part in 1..=6_usize {
        worker.part();
        until("the part is there and described", || {
            let inner = recorder.lock();
            let bytes = |name: &str| -> usize {
                inner.segments.iter().filter(|((of, _), _)| of == name).map(|(_, bytes)| bytes.len()).sum()
            };
            let parts = |name: &str| -> usize {
                inner.described.iter().filter(|((of, _), _)| of == name).map(|(_, s)| s.parts.len()).sum()
            };
            bytes("720p") == part * 70_000 && parts("720p") == part && bytes("audio") == part * 2_000
        })
        .await;
    }
    let growing = &recorder.described("720p")[1];
    assert!(growing.finished.is_none() && growing.parts[0].independent && !growing.parts[1].independent);

    worker.play(Duration::from_millis(1_200)).await;
    let written = worker.end();
    until("the session is over", || recorder.lock().ended.as_deref() == Some("eof")).await;
    assert!(recorder.holds(&written));
    let total: usize = written.values().map(Vec::len).sum();
    assert_eq!(recorder.segment_bytes(), total, "each byte once");
    let begins = recorder.events().iter().filter(|event| matches!(event, Event::Begin { .. })).count();
    assert_eq!(begins, written.len(), "one PUT a segment");
    assert_eq!(recorder.lock().faults, Vec::<String>::new());
    assert!(recorder.lock().keys.iter().all(|key| key == "Bearer nodi_secret"));
    assert!(recorder.events().contains(&Event::Thumbnail(4)));
    // Nothing comes before this session: no discontinuity.
    assert!(recorder.described("720p").iter().all(|segment| !segment.discontinuity && !segment.gap));
    let metrics = appliance.metrics().await;
    assert!(metrics.contains("nodi_uplink_sent_bytes_total{target=\"primary\"} "), "{metrics}");
    uplink.stop().await;
}

#[tokio::test]
async fn all_origins_get_the_same_numbers_after_the_last_session() {
    let (primary, primary_address) = Recorder::start().await;
    let (standby, standby_address) = Recorder::start().await;
    primary.lock().next_msn = 40;
    standby.lock().next_msn = 17;
    let appliance = Appliance::new();
    let targets = format!("{}{}", origin("a", primary_address), origin("b", standby_address));
    let uplink = appliance.start(&targets).await;
    let first = session_id(1);
    appliance.credential("nodi", first, "k");
    let mut worker = Worker::new(&appliance.spool(), "nodi", first, &[video("720p", 3_000_000, 1_000)]);
    worker.segments(3);
    let written = worker.end();
    for recorder in [&primary, &standby] {
        until("the first session is there", || recorder.holds(&written) && recorder.lock().ended.is_some())
            .await;
        assert_eq!(recorder.lock().base_msn, 40);
        let flags: Vec<bool> = recorder.described("720p").iter().map(|s| s.discontinuity).collect();
        assert_eq!(flags, [true, false, false]);
    }
    appliance.remove_credential(first);

    // The publisher returns: the same timeline goes on.
    let second = session_id(2);
    appliance.credential("nodi", second, "k");
    let mut worker = Worker::new(&appliance.spool(), "nodi", second, &[video("720p", 3_000_000, 1_000)]);
    worker.segments(2);
    let written = worker.end();
    for recorder in [&primary, &standby] {
        until("the second session is there", || {
            let ended = recorder.lock().session == Some(second) && recorder.lock().ended.is_some();
            ended && recorder.holds(&written)
        })
        .await;
        assert_eq!(recorder.lock().base_msn, 43);
        let flags: Vec<bool> = recorder.described("720p").iter().map(|s| s.discontinuity).collect();
        assert_eq!(flags, [true, false, false, true, false]);
    }
    uplink.stop().await;
}

#[tokio::test]
async fn a_worker_that_was_killed_goes_on_after_a_discontinuity() {
    let (recorder, address) = Recorder::start().await;
    let appliance = Appliance::new();
    let uplink = appliance.start(&origin("primary", address)).await;
    let session = session_id(1);
    appliance.credential("nodi", session, "k");
    let rungs = [video("720p", 3_000_000, 5_000), video("360p", 800_000, 1_000)];
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &rungs);
    (0..6).for_each(|_| worker.part());
    until("the growing segment is there", || recorder.described("720p").len() == 2).await;
    let mut written = worker.crash();

    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &rungs);
    assert_eq!(worker.next_seq(), 2);
    worker.segments(2);
    written.extend(worker.end());
    until("the session is over", || recorder.lock().ended.is_some()).await;
    assert!(recorder.holds(&written));
    let entries = recorder.described("720p");
    let shape: Vec<_> = entries.iter().map(|s| (s.msn, s.init, s.discontinuity, s.gap)).collect();
    assert_eq!(
        shape,
        [(0, 0, false, false), (1, 0, false, false), (2, 1, true, false), (3, 1, false, false)]
    );
    assert_eq!(entries[1].finished.unwrap().duration_ns, 200_000_000, "what its parts add up to");
    assert_eq!(recorder.lock().faults, Vec::<String>::new());
    assert_eq!(recorder.lock().inits.len(), 4);
    uplink.stop().await;
}

#[tokio::test]
async fn a_session_without_credential_is_skipped_and_one_that_loses_it_is_over() {
    let (recorder, address) = Recorder::start().await;
    let appliance = Appliance::new();
    let uplink = appliance.start(&origin("primary", address)).await;
    let without = session_id(1);
    let mut worker = Worker::new(&appliance.spool(), "quiet", without, &[audio(100)]);
    worker.segments(1);
    for _ in 0..600 {
        if appliance.metrics().await.contains("nodi_uplink_sessions_skipped_total 1") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(appliance.metrics().await.contains("nodi_uplink_sessions_skipped_total 1"));
    assert!(recorder.events().is_empty(), "nothing was said without a key");

    // The last worker was killed and not replaced: ingest takes the credential away, no `end` comes.
    let session = session_id(2);
    appliance.credential("nodi", session, "k");
    let mut worker = Worker::new(&appliance.spool(), "nodi", session, &[audio(100)]);
    (0..6).for_each(|_| worker.part());
    until("it is live", || recorder.described("audio").len() == 2).await;
    let written = worker.crash();
    appliance.remove_credential(session);
    until("the session is over", || recorder.lock().ended.as_deref() == Some("gone")).await;
    assert!(recorder.holds(&written), "the open segment is finished with what it has");
    uplink.stop().await;
}
