//! What one box can cost.

use nodi_protocol::push::path;
use reqwest::Method;

use crate::support::{Platform, claim, eventually, live_session, media, name, part_bytes, refusal, video};

#[tokio::test]
async fn objects_that_are_too_large_are_refused() {
    let platform = Platform::start_with("[limits]\nsegment_bytes = 4096\n").await;
    let session = live_session(&platform, 1).await;
    // Announced.
    let (status, refused) = refusal(session.bytes("720p", 1, vec![0; 4_097]).await).await;
    assert_eq!((status, refused.error.as_str()), (413, "larger than 4096 bytes"));
    // Not announced.
    let upload = session.open_upload("720p", 1);
    for _ in 0..5 {
        upload.send(vec![0; 1_000]).await;
    }
    assert_eq!(upload.answer().await.status(), 413);
    assert_eq!(platform.metric("nodi_origin_held_bytes").await, 8_000.0, "what came before is kept");

    let init = path::init(&session.channel, session.session, &name("720p"), 9);
    assert_eq!(session.put(&init, vec![0; 100_000]).await.status(), 413);
    let thumbnail = path::thumbnail(&session.channel, session.session);
    assert_eq!(session.put(&thumbnail, vec![0xff; 1_000_000]).await.status(), 413);
    let playlist = path::playlist(&session.channel, session.session, &name("720p"));
    assert_eq!(session.put(&playlist, vec![b' '; 2_000_000]).await.status(), 413);
}

#[tokio::test]
async fn a_channel_gives_up_its_oldest_segments_for_new_ones() {
    let platform = Platform::start_with("[limits]\nsegment_bytes = 4096\nchannel_bytes = 20000\n").await;
    let session = live_session(&platform, 9).await;
    assert!(platform.metric("nodi_origin_held_bytes").await <= 20_000.0);
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert!(text.contains("MEDIA-SEQUENCE:4\n") && text.contains("720p/8.m4s"), "{text}");
    assert_eq!(platform.status_of(&session.live("720p/3.m4s")).await, 404);
}

#[tokio::test]
async fn a_channel_that_cannot_hold_its_edge_is_refused() {
    let platform = Platform::start_with("[limits]\nsegment_bytes = 4096\nchannel_bytes = 9000\n").await;
    let session = platform.session("nodi", 0);
    session.claim(0, &[video("720p")]).await;
    session.init("720p", 0).await;
    session.segments("720p", 0..2).await;
    let (status, refused) = refusal(session.bytes("720p", 2, media(2)).await).await;
    assert_eq!(status, 413);
    assert!(refused.error.contains("9000 bytes"), "{}", refused.error);
}

#[tokio::test]
async fn channels_uploads_and_numbers_are_bounded() {
    let platform = Platform::start_with("[limits]\nchannels = 1\nopen_uploads = 1\n").await;
    let session = live_session(&platform, 1).await;
    let other = platform.session("other", 0);
    assert_eq!(other.try_claim(&claim(0, vec![video("720p")])).await.status(), 503);

    let upload = session.open_upload("720p", 1);
    upload.send(part_bytes(1, 0)).await;
    eventually("it is open", || async { platform.metric("nodi_origin_held_bytes").await >= 5_000.0 }).await;
    assert_eq!(session.bytes("720p", 2, "x").await.status(), 429);
    assert_eq!(upload.finish().await, 204);
    assert_eq!(session.bytes("720p", 2, "x").await.status(), 204);

    assert_eq!(session.bytes("720p", 9_000_000, "x").await.status(), 422);
    let last = session.bytes("720p", u64::MAX, "x").await;
    assert_eq!(last.status(), 422);
}

#[tokio::test]
async fn what_is_older_than_the_window_is_taken_and_forgotten() {
    let platform = Platform::start_with("[playlist]\nwindow_s = 12\nlinger_s = 0\n").await;
    let session = live_session(&platform, 10).await;
    let held = platform.metric("nodi_origin_held_bytes").await;
    assert_eq!(session.bytes("720p", 1, media(1)).await.status(), 204);
    session.update("720p", vec![session.whole(1)]).await;
    assert_eq!(platform.metric("nodi_origin_held_bytes").await, held);
    assert!(platform.text("/live/nodi/720p.m3u8").await.contains("MEDIA-SEQUENCE:4\n"));
}

#[tokio::test]
async fn a_long_outage_starts_the_window_anew() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 3).await;
    session.segments("720p", 2_000..2_002).await;
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert!(text.contains("MEDIA-SEQUENCE:2000\n") && !text.contains("GAP"), "{text}");
    // The backfill of what lies between is not wanted here.
    assert_eq!(session.bytes("720p", 1_000, media(1)).await.status(), 204);
    assert!(platform.metric("nodi_origin_held_bytes").await < 5.0 * 4_000.0);
}

#[tokio::test]
async fn paths_are_what_they_say() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let id = session.session;
    for bad in [
        format!("/push/v1/nodi/{id}/720p/segments/..%2f..%2fother"),
        format!("/push/v1/nodi/{id}/720p/segments/01"),
        format!("/push/v1/nodi/{id}/720p/segments/-1"),
        format!("/push/v1/nodi/{id}/720p/segments/1/"),
        format!("/push/v1/nodi/{id}/..%2f/segments/1"),
        format!("/push/v1/nodi/{id}/720P/segments/1"),
        format!("/push/v1/nodi/{}/720p/segments/1", id.to_string().to_lowercase()),
        format!("/push/v1/no%2fdi/{id}/720p/segments/1"),
        format!("/push/v2/nodi/{id}/720p/segments/1"),
        "/push/v1/nodi/%2e%2e/720p/segments/1".to_owned(),
        "/".to_owned(),
    ] {
        let response = session.request(Method::PUT, &bad).body("x").send().await.unwrap();
        let (status, refused) = refusal(response).await;
        assert_eq!(status, 404, "{bad}: {}", refused.error);
    }
    assert_eq!(platform.text("/live/nodi/720p.m3u8").await.matches("#EXTINF").count(), 1);
}
