//! Something breaks while a viewer watches. What must hold is that the playlist goes on without a reload, and
//! that nothing in it is ever wrong; how long the picture stood still is told.

use std::time::{Duration, Instant};

use nodi_lab::check::Rule;
use nodi_lab::fault::Mode;
use nodi_lab::publish::Client;

use crate::support::{
    INTERRUPTED, OnAir, PATIENCE, assert_clean, assert_clean_except, assert_went_on, channel_state,
    discontinuities, eventually, live_sessions, more_segments, on_air, on_air_with, publish, publish_to,
    tiny, view,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_publisher_takes_over() {
    let OnAir { mut lab, encoder, viewer } = on_air().await;
    let second = publish(&mut lab, Client::GstRtmp2, &tiny());
    eventually("the older encoder's end", PATIENCE, async || lab.clients[encoder].ended()).await;
    more_segments(&viewer, 3).await;
    lab.clients[second].check_running().unwrap();
    assert_eq!(live_sessions(&lab, 0).await.len(), 1);
    assert_went_on(&viewer.finish().await, 2, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_costs_one_discontinuity() {
    let OnAir { mut lab, encoder, viewer } = on_air().await;
    let session = live_sessions(&lab, 0).await;
    assert_eq!(lab.boxes[0].workers.kill(), 1);
    more_segments(&viewer, 3).await;
    lab.clients[encoder].check_running().unwrap();
    assert_eq!(live_sessions(&lab, 0).await, session, "the streamer stays connected");
    let report = viewer.finish().await;
    assert_eq!(report.sessions, session, "{report}");
    assert_went_on(&report, 1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_ingest_continues_the_playlist_when_the_encoder_returns() {
    let OnAir { mut lab, viewer, .. } = on_air().await;
    lab.process("ingest").unwrap().restart().unwrap();
    eventually("ingest's return", PATIENCE, async || lab.boxes[0].sessions().await.ok()).await;
    publish(&mut lab, Client::Ffmpeg, &tiny());
    more_segments(&viewer, 2).await;
    assert_went_on(&viewer.finish().await, 2, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_uplink_goes_on_from_its_journal() {
    let OnAir { mut lab, viewer, .. } = on_air().await;
    lab.process("uplink").unwrap().restart().unwrap();
    more_segments(&viewer, 3).await;
    assert_went_on(&viewer.finish().await, 1, 0);
}

/// Long enough that players have run dry and every timeout on the way has passed.
const OUTAGE: Duration = Duration::from_secs(30);
/// The window holds the time before the outage, the outage, and what comes after it, on a slow machine too.
const OUTAGE_WINDOW_S: u64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_out_of_reach_is_caught_up_with() {
    let OnAir { mut lab, viewer, .. } = on_air_with(|options| {
        options.faults = true;
        options.overrides.origin = serde_json::json!({ "playlist": { "window_s": OUTAGE_WINDOW_S } });
    })
    .await;
    lab.boxes[0].push[0].set(Mode::BlackHole);
    tokio::time::sleep(OUTAGE).await;
    let before = viewer.report();
    let back = Instant::now();
    lab.boxes[0].push[0].set(Mode::Pass);
    let report = viewer
        .until("live media after the outage", PATIENCE, |report| {
            report.renditions.iter().all(|(name, now)| now.parts > before.renditions[name].parts)
        })
        .await
        .unwrap();
    log::info!("live went on {:.1} s after the network's return\n{report}", back.elapsed().as_secs_f64());
    more_segments(&viewer, 4).await;
    let report = viewer.finish().await;
    assert_eq!(report.sessions.len(), 1, "{report}");
    assert!(report.renditions.values().all(|rendition| !rendition.ended), "the playlist ended\n{report}");
    assert_clean_except(&report, INTERRUPTED);
    // Nothing recorded is lost: who joins now finds the whole window.
    let later = eventually("the backfill", PATIENCE, async || {
        let joined = view(&mut lab).await.finish().await;
        joined.renditions.values().all(|rendition| rendition.gaps.is_empty()).then_some(joined)
    })
    .await;
    assert_eq!(later.of(&[Rule::Missing, Rule::Continuity]).len(), 0, "{later}");
    let first = report.renditions["180p"].first_msn;
    assert_eq!(later.renditions["180p"].first_msn, first, "segments were lost\n{later}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_returning_publisher_continues_the_timeline() {
    let OnAir { mut lab, encoder, viewer } = on_air().await;
    lab.clients[encoder].stop();
    eventually("the state 'reconnecting'", PATIENCE, async || {
        (channel_state(&lab).await == "reconnecting").then_some(())
    })
    .await;
    publish(&mut lab, Client::Ffmpeg, &tiny());
    more_segments(&viewer, 2).await;
    assert_eq!(channel_state(&lab).await, "live");
    assert_went_on(&viewer.finish().await, 2, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_may_return_on_another_box() {
    let OnAir { mut lab, encoder, viewer } = on_air_with(|options| options.boxes = 2).await;
    // The box loses power.
    lab.clients[encoder].kill();
    lab.process("ingest").unwrap().kill();
    lab.process("uplink").unwrap().kill();
    let _ = lab.boxes[0].workers.kill();
    let url = lab.rtmp_url(1);
    publish_to(&mut lab, Client::Ffmpeg, &tiny(), &url);
    more_segments(&viewer, 2).await;
    assert_went_on(&viewer.finish().await, 2, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_session_on_another_box_gives_way() {
    let OnAir { mut lab, encoder, viewer } = on_air_with(|options| options.boxes = 2).await;
    let url = lab.rtmp_url(1);
    publish_to(&mut lab, Client::Ffmpeg, &tiny(), &url);
    // Its uplink hears from the origin that a newer session owns the channel, and ingest hangs up.
    eventually("the older encoder's end", PATIENCE, async || lab.clients[encoder].ended()).await;
    more_segments(&viewer, 2).await;
    assert_eq!(live_sessions(&lab, 0).await.len(), 0);
    assert_eq!(live_sessions(&lab, 1).await.len(), 1);
    assert_went_on(&viewer.finish().await, 2, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_origin_is_replaced_by_its_stand_by() {
    let OnAir { mut lab, viewer, .. } = on_air_with(|options| options.origins = 2).await;
    more_segments(&viewer, 1).await;
    lab.process("origin").unwrap().kill();
    more_segments(&viewer, 2).await;
    // And when it is back, empty, nobody notices either.
    lab.process("origin").unwrap().restart().unwrap();
    more_segments(&viewer, 3).await;
    assert_went_on(&viewer.finish().await, 1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_playlist_ends_when_nobody_returns() {
    let OnAir { mut lab, encoder, mut viewer } = on_air_with(|options| {
        options.overrides.origin = serde_json::json!({ "playlist": { "reconnect_window_s": 2 } });
    })
    .await;
    lab.clients[encoder].stop();
    eventually("EXT-X-ENDLIST on all renditions", PATIENCE, async || viewer.has_ended().then_some(())).await;
    let report = viewer.finish().await;
    assert!(report.renditions.values().all(|rendition| rendition.ended), "{report}");
    assert_clean_except(&report, INTERRUPTED);
    assert_eq!(channel_state(&lab).await, "ended");
}

/// Peers that mean no good, each in its own way, while somebody else is live.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_peers_do_not_disturb_a_live_stream() {
    use tokio::io::AsyncWriteExt as _;
    let OnAir { lab, viewer, .. } = on_air().await;
    let port = lab.boxes[0].ports.rtmp;
    let connect = || tokio::net::TcpStream::connect(("127.0.0.1", port));
    let mut silent = Vec::new();
    for kind in 0..12_u8 {
        let mut peer = connect().await.unwrap();
        // A handshake version of 3 and then noise, noise at once, and nothing at all.
        let noise: Vec<u8> =
            (0..200_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let head: &[u8] = if kind % 3 == 0 { &[3] } else { &[] };
        // The server may close at any byte.
        if kind % 3 != 2 {
            let _ = peer.write_all(&[head, &noise].concat()).await;
        }
        silent.push(peer);
    }
    more_segments(&viewer, 3).await;
    drop(silent);
    let report = viewer.finish().await;
    assert!(discontinuities(&report).is_empty(), "{report}");
    assert_clean(&report);
}
