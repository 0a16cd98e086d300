//! What an encoder with a wrong key is told.

use std::time::Duration;

use nodi_lab::fault::Mode;
use nodi_lab::publish::Client;
use nodi_protocol::revocation::Revocations;
use nodi_protocol::stream_key::StreamKey;

use crate::support::{
    OnAir, PATIENCE, assert_went_on, eventually, live_sessions, more_segments, on_air_with, publish_as,
    publish_to, start, tiny,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_an_expired_and_a_revoked_key_are_refused_with_the_reason() {
    let mut lab = start().await;
    let channel = lab.channel().clone();
    let mut revocations = Revocations::default();
    revocations.min_versions.insert(channel.clone(), 2);
    lab.keys.revoke_below(&revocations).unwrap();

    let stranger = tempfile::tempdir().unwrap();
    let foreign = nodi_lab::keys::Keys::open(stranger.path()).unwrap().mint(&channel);
    let refused = [
        (StreamKey::from_text("live_abc123"), "not a stream key"),
        (foreign, "not issued by this platform"),
        (lab.keys.mint_with(&channel, 2, Some(Duration::ZERO)), "expired"),
        (lab.keys.mint_with(&channel, 1, None), "revoked"),
    ];
    let url = lab.rtmp_url(0);
    for (key, reason) in refused {
        let index = publish_as(&mut lab, Client::Ffmpeg, &tiny(), &url, key.reveal());
        let status = eventually("the encoder's end", PATIENCE, async || lab.clients[index].ended()).await;
        let said = nodi_lab::process::tail(lab.clients[index].log());
        assert!(
            !status.success() && said.contains(reason),
            "{reason:?} is not in what ffmpeg showed:\n{said}"
        );
    }
    // librtmp and rtmp2sink are told as well, and neither is left hanging.
    for client in [Client::Librtmp, Client::GstRtmp2] {
        let index = publish_as(&mut lab, client, &tiny(), &url, "live_abc123");
        let status = eventually("the encoder's end", PATIENCE, async || lab.clients[index].ended()).await;
        assert!(!status.success(), "{client:?} thinks that it published");
    }
    let log = std::fs::read_to_string(lab.logs().join("ingest.log")).unwrap();
    assert!(!log.contains("live_abc123") && !log.contains("nodi_A"), "a key is in the log:\n{log}");
    assert_eq!(live_sessions(&lab, 0).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_a_key_ends_its_session() {
    let mut lab = start().await;
    let url = lab.rtmp_url(0);
    let key = lab.stream_key();
    let index = publish_as(&mut lab, Client::Ffmpeg, &tiny(), &url, key.reveal());
    eventually("a session", PATIENCE, async || live_sessions(&lab, 0).await.pop()).await;
    let mut revocations = Revocations::default();
    revocations.min_versions.insert(lab.channel().clone(), 2);
    lab.keys.revoke_below(&revocations).unwrap();
    eventually("the encoder's end", PATIENCE, async || lab.clients[index].ended()).await;
    eventually("no session", PATIENCE, async || live_sessions(&lab, 0).await.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_cable_is_noticed_and_nobody_reads_already_publishing() {
    let OnAir { mut lab, encoder, viewer } = on_air_with(|options| options.faults = true).await;
    let old = live_sessions(&lab, 0).await;
    lab.boxes[0].cable.as_ref().unwrap().set(Mode::BlackHole);
    // Ten seconds are promised; the machine may be busy.
    eventually("the end of the dead session", Duration::from_secs(15), async || {
        live_sessions(&lab, 0).await.is_empty().then_some(())
    })
    .await;
    lab.clients[encoder].kill();
    // The streamer comes back by another line.
    let url = format!("rtmp://127.0.0.1:{}/live", lab.boxes[0].ports.rtmp);
    let second = publish_to(&mut lab, Client::Ffmpeg, &tiny(), &url);
    more_segments(&viewer, 2).await;
    lab.clients[second].check_running().unwrap();
    let report = viewer.finish().await;
    assert_eq!(report.sessions[0], old[0], "{report}");
    assert_went_on(&report, 2, 1);
}
