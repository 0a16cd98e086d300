//! What playlists say, and when.

use nodi_protocol::push::path;

use crate::support::{Platform, audio, eventually, live_session, media, name, part_bytes, video};

#[tokio::test]
async fn a_session_becomes_a_playlist_over_time() {
    let platform = Platform::start().await;
    let session = platform.session("nodi", 0);
    assert_eq!(platform.state("nodi").await, "offline");
    assert_eq!(platform.status_of("/live/nodi/index.m3u8").await, 404);

    let claimed = session.claim(5, &[video("720p"), audio("audio")]).await;
    assert_eq!((claimed.base_msn, claimed.held.len()), (5, 0));
    assert_eq!(platform.state("nodi").await, "starting");
    for rendition in ["720p", "audio"] {
        session.init(rendition, 0).await;
    }
    session.segments("720p", 5..6).await;
    assert_eq!(platform.status_of("/live/nodi/index.m3u8").await, 404, "not without its audio");
    session.segments("audio", 5..6).await;
    assert_eq!(platform.state("nodi").await, "live");
    assert_eq!(
        platform.text("/live/nodi/index.m3u8").await,
        "#EXTM3U\n\
         #EXT-X-VERSION:6\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"audio\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"2\",URI=\"audio.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=3440000,AVERAGE-BANDWIDTH=3130000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,AUDIO=\"audio\"\n\
         720p.m3u8\n"
    );

    let id = session.session;
    session.update("720p", vec![session.growing(6, 1)]).await;
    let before_the_bytes = platform.text("/live/nodi/720p.m3u8").await;
    assert!(
        before_the_bytes.contains(&format!("HINT:TYPE=PART,URI=\"{id}/720p/6.0.m4s\"")),
        "{before_the_bytes}"
    );
    let upload = session.open_upload("720p", 6);
    upload.send(part_bytes(6, 0)).await;
    eventually("the part is shown", || async {
        platform.text("/live/nodi/720p.m3u8").await.contains("720p/6.0.m4s\",INDEPENDENT=YES")
    })
    .await;
    assert_eq!(
        platform.text("/live/nodi/720p.m3u8").await,
        format!(
            "#EXTM3U\n\
             #EXT-X-VERSION:9\n\
             #EXT-X-TARGETDURATION:2\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.000000,PART-HOLD-BACK=1.500000,HOLD-BACK=6.000000\n\
             #EXT-X-PART-INF:PART-TARGET=0.500000\n\
             #EXT-X-MEDIA-SEQUENCE:5\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:0\n\
             #EXT-X-MAP:URI=\"{id}/720p/init-0.mp4\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:10.000Z\n\
             #EXT-X-PART:DURATION=0.500000,URI=\"{id}/720p/5.0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PART:DURATION=0.500000,URI=\"{id}/720p/5.1.m4s\"\n\
             #EXT-X-PART:DURATION=0.500000,URI=\"{id}/720p/5.2.m4s\"\n\
             #EXT-X-PART:DURATION=0.500000,URI=\"{id}/720p/5.3.m4s\"\n\
             #EXTINF:2.000000,\n\
             {id}/720p/5.m4s\n\
             #EXT-X-PROGRAM-DATE-TIME:2025-11-22T15:40:12.000Z\n\
             #EXT-X-PART:DURATION=0.500000,URI=\"{id}/720p/6.0.m4s\",INDEPENDENT=YES\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{id}/720p/6.1.m4s\"\n\
             #EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=5,LAST-PART=3\n"
        )
    );
    assert_eq!(upload.finish().await, 204);
}

#[tokio::test]
async fn bytes_before_the_description_are_as_good() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    assert_eq!(session.bytes("720p", 1, media(1)).await.status(), 204);
    assert!(!platform.text("/live/nodi/720p.m3u8").await.contains("720p/1.0.m4s\",INDEP"));
    session.update("720p", vec![session.growing(1, 2)]).await;
    assert!(platform.text("/live/nodi/720p.m3u8").await.contains("720p/1.1.m4s"));
}

#[tokio::test]
async fn nothing_is_shown_without_its_initialisation_section() {
    let platform = Platform::start().await;
    let session = platform.session("nodi", 0);
    session.claim(0, &[video("720p")]).await;
    session.segments("720p", 0..1).await;
    assert_eq!(platform.status_of("/live/nodi/720p.m3u8").await, 404);
    session.init("720p", 0).await;
    assert!(platform.text("/live/nodi/720p.m3u8").await.contains("720p/0.m4s"));
}

#[tokio::test]
async fn a_blocking_reload_waits_for_the_part_that_it_names() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 2).await;
    let waiting = platform.start_get("/live/nodi/720p.m3u8?_HLS_msn=2&_HLS_part=1");
    // A part that is past the end of a finished segment means the next one's first.
    let rolled = platform.start_get("/live/nodi/720p.m3u8?_HLS_msn=1&_HLS_part=4");
    platform.wait_blocked(2).await;

    let upload = session.open_upload("720p", 2);
    upload.send(part_bytes(2, 0)).await;
    session.update("720p", vec![session.growing(2, 1)]).await;
    assert!(rolled.await.unwrap().text().await.unwrap().contains("720p/2.0.m4s\",INDEP"));
    platform.wait_blocked(1).await;
    session.update("720p", vec![session.growing(2, 2)]).await;
    platform.wait_blocked(1).await;
    upload.send(part_bytes(2, 1)).await;
    let response = waiting.await.unwrap();
    assert_eq!(response.headers()["cache-control"], "public, max-age=12");
    assert!(
        response
            .text()
            .await
            .unwrap()
            .contains("DURATION=0.500000,URI=\"01KAP3HR400000000000000000/720p/2.1.m4s\"")
    );

    // What is there already is answered at once.
    let at_once = platform.text("/live/nodi/720p.m3u8?_HLS_msn=2&_HLS_part=0").await;
    assert!(at_once.contains("720p/2.1.m4s"));
    assert_eq!(upload.finish().await, 204);
}

#[tokio::test]
async fn a_blocking_reload_that_asks_too_much_is_refused() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 3).await;
    session.bytes("720p", 3, media(3)).await;
    session.update("720p", vec![session.growing(3, 1)]).await;
    for query in
        ["_HLS_msn=6", "_HLS_msn=99&_HLS_part=0", "_HLS_part=1", "_HLS_msn=x", "_HLS_msn=3&_HLS_part=7"]
    {
        let response = platform.get(&format!("/live/nodi/720p.m3u8?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn a_blocking_reload_gives_up_after_three_target_durations() {
    let platform = Platform::start().await;
    live_session(&platform, 1).await;
    let waiting = platform.start_get("/live/nodi/720p.m3u8?_HLS_msn=1");
    let hinted = platform.start_get(&platform.session("nodi", 0).live("720p/1.0.m4s"));
    platform.wait_blocked(2).await;
    platform.advance(6);
    for request in [waiting, hinted] {
        let response = request.await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn a_delta_update_leaves_the_old_segments_out() {
    let platform = Platform::start().await;
    live_session(&platform, 12).await;
    let full = platform.text("/live/nodi/720p.m3u8").await;
    for query in ["_HLS_skip=YES", "_HLS_skip=v2", "_HLS_msn=11&_HLS_part=0&_HLS_skip=YES"] {
        let delta = platform.text(&format!("/live/nodi/720p.m3u8?{query}")).await;
        assert!(delta.contains("#EXT-X-SKIP:SKIPPED-SEGMENTS=6\n"), "{delta}");
        let tail = full.split_once("720p/5.m4s\n").unwrap().1;
        assert!(delta.ends_with(tail), "{delta}");
    }
    assert_eq!(platform.status_of("/live/nodi/720p.m3u8?_HLS_skip=NO").await, 400);
}

#[tokio::test]
async fn who_waited_through_an_outage_gets_the_whole_playlist() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 3).await;
    let waiting = platform.start_get("/live/nodi/720p.m3u8?_HLS_msn=3&_HLS_skip=YES");
    platform.wait_blocked(1).await;
    // The box comes back far ahead of what the player knows.
    for msn in 3..15 {
        session.bytes("720p", msn, media(msn)).await;
    }
    session.update("720p", (3..15).map(|msn| session.whole(msn)).collect()).await;
    let text = waiting.await.unwrap().text().await.unwrap();
    assert!(!text.contains("EXT-X-SKIP") && text.contains("720p/3.m4s\n"), "{text}");
    let later = platform.text("/live/nodi/720p.m3u8?_HLS_skip=YES").await;
    assert!(later.contains("EXT-X-SKIP"), "{later}");
}

#[tokio::test]
async fn missing_bytes_are_a_gap_until_they_are_backfilled() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 2).await;
    // Segment 2 is described, its bytes are still on the box; 3 is live.
    session.update("720p", vec![session.whole(2), session.growing(3, 1)]).await;
    session.bytes("720p", 3, media(3)).await;
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert!(
        text.ends_with(&format!("HINT:TYPE=PART,URI=\"{}/720p/2.0.m4s\"\n", session.session)),
        "it may still come: {text}"
    );
    session.update("720p", vec![session.whole(3)]).await;
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert!(
        text.contains("#EXT-X-GAP\n#EXTINF:2.000000,\n01KAP3HR400000000000000000/720p/2.m4s\n"),
        "{text}"
    );
    assert!(!text.contains("720p/2.0.m4s"), "{text}");
    assert_eq!(platform.status_of(&session.live("720p/2.m4s")).await, 404);

    assert_eq!(session.bytes("720p", 2, media(2)).await.status(), 204);
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert!(!text.contains("GAP"), "{text}");
    assert_eq!(platform.bytes(&session.live("720p/2.m4s")).await, media(2));
}

#[tokio::test]
async fn numbers_that_never_come_are_bridged() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 2).await;
    session.segments("720p", 4..5).await;
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert_eq!(text.matches("#EXT-X-GAP\n").count(), 2, "{text}");
    assert!(text.contains("MEDIA-SEQUENCE:0\n") && text.contains("720p/4.m4s"), "{text}");
}

#[tokio::test]
async fn a_new_initialisation_section_is_a_new_map() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 2).await;
    session.init("720p", 1).await;
    let mut next = session.whole(2);
    (next.init, next.discontinuity) = (1, true);
    session.bytes("720p", 2, media(2)).await;
    session.update("720p", vec![next]).await;
    let text = platform.text("/live/nodi/720p.m3u8").await;
    let id = session.session;
    assert!(
        text.contains(&format!("1.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"{id}/720p/init-1.mp4\"\n")),
        "{text}"
    );
    assert_eq!(platform.bytes(&session.live("720p/init-1.mp4")).await, "init 1 of 720p");
}

#[tokio::test]
async fn the_window_slides_and_numbers_go_on() {
    let platform = Platform::start_with("[playlist]\nwindow_s = 20\nlinger_s = 4\n").await;
    let session = live_session(&platform, 15).await;
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:5\n"), "{text}");
    assert_eq!(platform.bytes(&session.live("720p/3.m4s")).await, media(3), "it lingers");
    assert_eq!(platform.status_of(&session.live("720p/2.m4s")).await, 404);
    assert!(platform.metric("nodi_origin_held_bytes").await <= 12.0 * 4_000.0);
}

#[tokio::test]
async fn an_update_is_idempotent() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 3).await;
    let before = platform.text("/live/nodi/720p.m3u8").await;
    session.update("720p", (0..3).map(|msn| session.whole(msn)).collect()).await;
    assert_eq!(platform.text("/live/nodi/720p.m3u8").await, before);
}

#[tokio::test]
async fn updates_that_cannot_be_are_refused() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let other = platform.session("nodi", 9);
    let mut overlap = session.growing(1, 2);
    overlap.parts[1].offset -= 1;
    let mut sum = session.whole(1);
    sum.finished.as_mut().unwrap().len -= 1;
    let mut endless = session.whole(1);
    endless.finished.as_mut().unwrap().duration_ns = u64::MAX;
    let mut far = session.whole(1);
    far.msn = u64::MAX;
    for (what, segment) in [
        ("overlap", overlap),
        ("sum", sum),
        ("endless", endless),
        ("far", far),
        ("session", other.growing(1, 1)),
    ] {
        assert_eq!(session.try_update("720p", vec![segment]).await.status(), 422, "{what}");
    }
    let path = path::playlist(&session.channel, session.session, &name("720p"));
    assert_eq!(session.put(&path, "{").await.status(), 422);
    assert_eq!(session.try_update("360p", vec![]).await.status(), 404);
}
