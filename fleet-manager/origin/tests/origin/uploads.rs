//! Segments and parts, from the box to the viewer.

use nodi_protocol::push::{UPLOAD_OFFSET, path};
use reqwest::Method;

use crate::support::{Platform, eventually, live_session, media, name, part_bytes, refusal, video};

#[tokio::test]
async fn a_hinted_part_is_waited_for_and_then_delivered() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let hinted = platform.start_get(&session.live("720p/1.0.m4s"));
    platform.wait_blocked(1).await;
    let upload = session.open_upload("720p", 1);
    upload.send(part_bytes(1, 0)).await;
    session.update("720p", vec![session.growing(1, 1)]).await;
    let response = hinted.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "video/mp4");
    assert_eq!(response.headers()["cache-control"], "public, max-age=31536000, immutable");
    assert_eq!(response.bytes().await.unwrap(), part_bytes(1, 0));

    // The segment turns out to end before the part that is hinted next.
    let never = platform.start_get(&session.live("720p/1.1.m4s"));
    platform.wait_blocked(1).await;
    let mut short = session.growing(1, 1);
    short.finished = Some(nodi_protocol::hls::Finished { duration_ns: 500_000_000, len: 1_000 });
    session.update("720p", vec![short]).await;
    assert_eq!(never.await.unwrap().status(), 404);
    assert_eq!(upload.finish().await, 204);
}

#[tokio::test]
async fn only_the_next_parts_are_waited_for() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 2).await;
    for part in ["720p/0.4.m4s", "720p/5.0.m4s", "720p/1.99.m4s"] {
        let response = platform.get(&session.live(part)).await;
        assert_eq!(response.status(), 404, "{part}");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
    let foreign = platform.session("nodi", 1).live("720p/2.0.m4s");
    assert_eq!(platform.status_of(&foreign).await, 404, "another session's part is not next");
}

#[tokio::test]
async fn parts_are_ranges_of_their_segment() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let whole = platform.bytes(&session.live("720p/0.m4s")).await;
    assert_eq!(whole, media(0));
    for part in 0..4_usize {
        let bytes = platform.bytes(&session.live(&format!("720p/0.{part}.m4s"))).await;
        assert_eq!(bytes, whole[part * 1_000..(part + 1) * 1_000]);
    }
}

#[tokio::test]
async fn a_growing_segment_streams_as_it_grows() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let upload = session.open_upload("720p", 1);
    upload.send(part_bytes(1, 0)).await;
    let at = session.live("720p/1.m4s");
    eventually("the segment is known", || async { platform.status_of_head(&at).await == 200 }).await;
    let mut response = platform.get(&at).await;
    assert_eq!(response.headers().get("content-length"), None);
    let mut received = response.chunk().await.unwrap().unwrap().to_vec();
    assert_eq!(received, part_bytes(1, 0));
    for part in 1..4 {
        upload.send(part_bytes(1, part)).await;
        received.extend(response.chunk().await.unwrap().unwrap());
    }
    assert_eq!(upload.finish().await, 204);
    session.update("720p", vec![session.whole(1)]).await;
    assert_eq!(response.chunk().await.unwrap(), None, "the end of the segment is the end of the body");
    assert_eq!(received, media(1));
}

#[tokio::test]
async fn a_broken_upload_goes_on_at_its_offset() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let upload = session.open_upload("720p", 1);
    upload.send(part_bytes(1, 0)).await;
    session.update("720p", vec![session.growing(1, 1)]).await;
    eventually("the part is shown", || async {
        platform.text("/live/nodi/720p.m3u8").await.contains("720p/1.0.m4s\",INDEP")
    })
    .await;
    upload.break_off().await;

    let claimed = session.claim(0, &[video("720p")]).await;
    assert_eq!(claimed.held[0].segments, [(0, 4_000), (1, 1_000)]);
    assert_eq!(claimed.held[0].inits, [0]);

    let resume = |offset: u64, body: Vec<u8>| {
        session
            .request(Method::PUT, &session.segment_path("720p", 1))
            .header(UPLOAD_OFFSET, offset)
            .body(body)
            .send()
    };
    let (status, refused) = refusal(resume(1_001, vec![0]).await.unwrap()).await;
    assert_eq!((status, refused.held_bytes), (409, Some(1_000)));
    assert_eq!(resume(1_000, media(1)[1_000..].to_vec()).await.unwrap().status(), 204);
    session.update("720p", vec![session.whole(1)]).await;
    assert_eq!(platform.bytes(&session.live("720p/1.m4s")).await, media(1));
}

#[tokio::test]
async fn a_whole_segment_may_be_sent_again() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 2).await;
    let held = platform.metric("nodi_origin_held_bytes").await;
    assert_eq!(session.bytes("720p", 0, media(0)).await.status(), 204);
    assert_eq!(platform.metric("nodi_origin_held_bytes").await, held, "not stored twice");
    assert_eq!(platform.bytes(&session.live("720p/0.m4s")).await, media(0));
}

#[tokio::test]
async fn the_newer_upload_of_a_segment_wins() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let dead = session.open_upload("720p", 1);
    dead.send(part_bytes(1, 0)).await;
    let at = session.live("720p/1.m4s");
    eventually("the segment is known", || async { platform.status_of_head(&at).await == 200 }).await;
    assert_eq!(session.bytes("720p", 1, media(1)).await.status(), 204);
    dead.send(part_bytes(1, 1)).await;
    let (status, refused) = refusal(dead.answer().await).await;
    assert_eq!((status, refused.held_bytes), (409, Some(4_000)));
    session.update("720p", vec![session.whole(1)]).await;
    assert_eq!(platform.bytes(&at).await, media(1));
}

#[tokio::test]
async fn an_initialisation_section_cannot_change() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    session.init("720p", 0).await;
    let path = path::init(&session.channel, session.session, &name("720p"), 0);
    assert_eq!(session.put(&path, "other bytes").await.status(), 422);
    assert_eq!(platform.bytes(&session.live("720p/init-0.mp4")).await, "init 0 of 720p");
}

#[tokio::test]
async fn a_thumbnail_is_a_jpeg() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    assert_eq!(platform.status_of("/live/nodi/thumbnail.jpg").await, 204, "not yet");
    assert_eq!(platform.status_of("/live/nobody/thumbnail.jpg").await, 404);
    let path = path::thumbnail(&session.channel, session.session);
    assert_eq!(session.put(&path, "<svg onload=alert(1)>").await.status(), 422);
    assert_eq!(session.put(&path, b"\xff\xd8\xff picture".to_vec()).await.status(), 204);
    let response = platform.get("/live/nodi/thumbnail.jpg").await;
    assert_eq!(response.headers()["content-type"], "image/jpeg");
    assert_eq!(response.bytes().await.unwrap().as_ref(), b"\xff\xd8\xff picture");
}

impl Platform {
    async fn status_of_head(&self, path: &str) -> u16 {
        self.request(Method::HEAD, path).send().await.unwrap().status().as_u16()
    }
}
