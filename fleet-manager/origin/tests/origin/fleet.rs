//! Revocations that come through the fleet's broker.

use crate::broker::Broker;
use crate::support::{Ca, Platform, claim, eventually, live_session, read, refusal, video};

#[tokio::test]
async fn a_suspension_counts_at_once_and_is_kept() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = Ca::new("fleet");
    let broker = Broker::start(&ca);
    let fleet = broker.publisher(&ca).await;
    let platform = Platform::start_of(ca, &broker.section()).await;
    eventually("connected", || async { platform.metric("nodi_origin_fleet_connected").await > 0.0 }).await;
    let session = live_session(&platform, 1).await;
    let upload = session.open_upload("720p", 1);
    upload.send(vec![0; 100]).await;

    fleet.revoke(r#"{"schema":1,"version":7,"min_versions":{},"suspended":["nodi"]}"#).await;
    let (status, refused) = refusal(upload.answer().await).await;
    assert_eq!(status, 403);
    assert!(refused.error.contains("channel is suspended"), "{}", refused.error);
    assert!(read(&platform.file("revocations.json")).contains("\"nodi\""), "for the next start");
    assert!(platform.metric("nodi_origin_revocations_version").await >= 7.0);

    // One that is late changes nothing: it has been looked at when the one after it counts.
    fleet.revoke(r#"{"schema":1,"version":6,"min_versions":{"nodi":9}}"#).await;
    fleet.revoke(r#"{"schema":1,"version":8,"min_versions":{"other":2},"suspended":["nodi"]}"#).await;
    eventually("the next one counts", || async {
        platform.metric("nodi_origin_revocations_version").await >= 8.0
    })
    .await;
    let kept = read(&platform.file("revocations.json"));
    assert!(kept.contains("other") && !kept.contains('9'), "{kept}");
}

#[tokio::test]
async fn a_broker_that_was_away_is_found_again_and_meanwhile_the_file_counts() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = Ca::new("fleet");
    let mut broker = Broker::start(&ca);
    let fleet = broker.publisher(&ca).await;
    fleet.revoke(r#"{"schema":1,"version":7,"min_versions":{},"suspended":["nodi"]}"#).await;
    let platform = Platform::start_of(ca, &broker.section()).await;
    let session = platform.session("nodi", 0);
    let first = claim(0, vec![video("720p")]);
    eventually("the retained document counts", || async { session.try_claim(&first).await.status() == 403 })
        .await;

    drop(fleet);
    broker.stop();
    eventually("the link is down", || async { platform.metric("nodi_origin_fleet_connected").await < 1.0 })
        .await;
    assert_eq!(session.try_claim(&first).await.status(), 403);
    // An operator can still act.
    std::fs::write(platform.file("revocations.json"), r#"{"schema":1,"version":7,"min_versions":{}}"#)
        .unwrap();
    eventually("the file counts", || async { session.try_claim(&first).await.status() == 200 }).await;

    broker.run();
    let fleet = broker.publisher(&platform.ca).await;
    fleet.revoke(r#"{"schema":1,"version":8,"min_versions":{"nodi":2}}"#).await;
    eventually("the broker is back", || async { session.try_claim(&first).await.status() == 401 }).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_named_at_start() {
    let text = "[fleet]\nhost = 'h'\nca = 'DIR/ca.pem'\ncertificate = 'DIR/none.pem'\nprivate_key = 'DIR/server.key'\n";
    let error = Platform::try_start_of(Ca::new("fleet"), text).await.err().unwrap();
    assert!(error.contains("none.pem"), "{error}");
}
