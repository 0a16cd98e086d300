//! Sessions come, go and take over; a channel outlives them for a while.

use nodi_protocol::push::{ChannelState, path};
use reqwest::Method;

use crate::support::{
    Box, Platform, audio, claim, eventually, live_session, media, part_bytes, refusal, video,
};

async fn standing(session: &Box) -> ChannelState {
    let request = session.request(Method::GET, &path::channel(&session.channel));
    request.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn the_next_session_goes_on_after_a_discontinuity() {
    let platform = Platform::start_with("[playlist]\nwindow_s = 20\n").await;
    let first = live_session(&platform, 3).await;
    // The first session is cut off within a segment.
    let upload = first.open_upload("720p", 3);
    upload.send(part_bytes(3, 0)).await;
    upload.send(part_bytes(3, 1)[..500].to_vec()).await;
    first.update("720p", vec![first.growing(3, 1)]).await;
    eventually("the part is shown", || async {
        platform.text("/live/nodi/720p.m3u8").await.contains("720p/3.0.m4s\",INDEP")
    })
    .await;
    let waiting = platform.start_get("/live/nodi/720p.m3u8?_HLS_msn=4&_HLS_part=0");
    platform.wait_blocked(1).await;

    let second = platform.session("nodi", 1);
    assert_eq!(standing(&second).await, ChannelState { session: Some(first.session), next_msn: 4 });
    second.claim(4, &[video("720p")]).await;
    let (status, refused) = refusal(upload.answer().await).await;
    assert_eq!((status, refused.newer_session), (409, Some(second.session)));
    assert_eq!(platform.bytes(&first.live("720p/3.m4s")).await, part_bytes(3, 0), "closed with its parts");

    second.init("720p", 0).await;
    second.segments("720p", 4..5).await;
    let text = waiting.await.unwrap().text().await.unwrap();
    let (old, new) = (first.session, second.session);
    assert!(
        text.contains(&format!(
            "#EXTINF:0.500000,\n{old}/720p/3.m4s\n\
             #EXT-X-DISCONTINUITY\n\
             #EXT-X-MAP:URI=\"{new}/720p/init-0.mp4\"\n"
        )),
        "{text}"
    );
    assert!(text.contains("DISCONTINUITY-SEQUENCE:0\n") && text.contains("MEDIA-SEQUENCE:0\n"), "{text}");

    // When the first session has left the window, the sequence says so.
    second.segments("720p", 5..16).await;
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{text}");
    assert!(!text.contains("#EXT-X-DISCONTINUITY\n") && !text.contains(&old.to_string()), "{text}");
}

#[tokio::test]
async fn the_older_session_is_refused_everywhere() {
    let platform = Platform::start().await;
    let old = live_session(&platform, 1).await;
    let new = platform.session("nodi", 1);
    new.claim(1, &[video("720p")]).await;
    let responses = [
        old.try_claim(&claim(0, vec![video("720p")])).await,
        old.bytes("720p", 1, "x").await,
        old.try_update("720p", vec![old.whole(1)]).await,
        old.put(&path::thumbnail(&old.channel, old.session), b"\xff\xd8\xff".to_vec()).await,
    ];
    for response in responses {
        let (status, refused) = refusal(response).await;
        assert_eq!((status, refused.newer_session), (409, Some(new.session)));
    }
}

#[tokio::test]
async fn a_session_must_claim_first_and_with_a_free_number() {
    let platform = Platform::start().await;
    let first = platform.session("nodi", 0);
    assert_eq!(first.bytes("720p", 0, "x").await.status(), 404);
    first.claim(0, &[video("720p")]).await;
    first.init("720p", 0).await;
    first.segments("720p", 0..2).await;
    let second = platform.session("nodi", 1);
    assert_eq!(second.bytes("720p", 2, "x").await.status(), 404);
    let (status, refused) = refusal(second.try_claim(&claim(1, vec![video("720p")])).await).await;
    assert_eq!(status, 503);
    assert!(refused.error.contains("up to 2"), "{}", refused.error);
    assert_eq!(second.claim(2, &[video("720p")]).await.base_msn, 2);
    // A restarted uplink claims again, and learns the base if it forgot it.
    assert_eq!(second.claim(77, &[video("720p")]).await.base_msn, 2);
}

#[tokio::test]
async fn claims_that_cannot_be_are_refused() {
    let platform = Platform::start().await;
    let session = platform.session("nodi", 0);
    let good = claim(0, vec![video("720p")]);
    let mut quote = video("720p");
    quote.track = audio("a").track;
    if let nodi_protocol::Track::Audio { codecs, .. } = &mut quote.track {
        *codecs = "a\"\n#EXT".to_owned();
    }
    for (what, bad) in [
        ("none", claim(0, vec![])),
        ("twice", claim(0, vec![video("720p"), video("720p")])),
        ("reserved", claim(0, vec![video("index")])),
        ("many", claim(0, (0..13).map(|n| video(&format!("r{n}"))).collect())),
        ("codecs", claim(0, vec![quote])),
        ("base", claim(u64::MAX, vec![video("720p")])),
        ("target", nodi_protocol::push::Claim { target_duration_s: 0, ..good.clone() }),
        ("part", nodi_protocol::push::Claim { part_target_ns: 1, ..good.clone() }),
    ] {
        assert_eq!(session.try_claim(&bad).await.status(), 422, "{what}");
    }
    assert_eq!(platform.state("nodi").await, "offline");
}

#[tokio::test]
async fn a_playlist_ends_only_after_the_reconnect_window() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 2).await;
    session.end().await;
    assert_eq!(platform.state("nodi").await, "reconnecting");
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert!(!text.contains("ENDLIST") && !text.contains("HINT"), "{text}");
    platform.advance(59);
    assert!(!platform.text("/live/nodi/720p.m3u8").await.contains("ENDLIST"));

    platform.advance(1);
    eventually("the playlist ends", || async {
        platform.text("/live/nodi/720p.m3u8").await.ends_with("#EXT-X-ENDLIST\n")
    })
    .await;
    assert_eq!(platform.state("nodi").await, "ended");
    let blocking = platform.get("/live/nodi/720p.m3u8?_HLS_msn=9").await;
    assert_eq!(blocking.status(), 200, "nothing is waited for any more");
    assert_eq!(blocking.headers()["cache-control"], "public, max-age=1");

    platform.advance(60);
    eventually("the channel is forgotten", || async { platform.state("nodi").await == "offline" }).await;
    assert_eq!(platform.status_of("/live/nodi/720p.m3u8").await, 404);
    assert_eq!(platform.status_of("/live/nodi/index.m3u8").await, 404);
    assert!(platform.metric("nodi_origin_channels").await == 0.0);
    assert!(platform.metric("nodi_origin_held_bytes").await == 0.0);
}

#[tokio::test]
async fn a_silent_session_ends_the_same_way_and_can_return() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 2).await;
    let upload = session.open_upload("720p", 2);
    upload.send(part_bytes(2, 0)).await;
    session.update("720p", vec![session.growing(2, 1)]).await;
    eventually("the part is shown", || async {
        platform.text("/live/nodi/720p.m3u8").await.contains("720p/2.0.m4s\",INDEP")
    })
    .await;
    platform.advance(5);
    assert_eq!(platform.state("nodi").await, "reconnecting");
    platform.advance(55);
    eventually("the playlist ends", || async {
        platform.text("/live/nodi/720p.m3u8").await.ends_with("#EXT-X-ENDLIST\n")
    })
    .await;
    assert_eq!(platform.bytes(&session.live("720p/2.m4s")).await, part_bytes(2, 0));

    // Its network is back: the same session opens the playlist again.
    upload.send(media(2)[1_000..].to_vec()).await;
    assert_eq!(upload.finish().await, 204);
    session.update("720p", vec![session.whole(2)]).await;
    assert_eq!(platform.state("nodi").await, "live");
    let text = platform.text("/live/nodi/720p.m3u8").await;
    assert!(
        text.contains("#EXTINF:2.000000,\n01KAP3HR400000000000000000/720p/2.m4s")
            && !text.contains("ENDLIST"),
        "{text}"
    );
    assert_eq!(platform.bytes(&session.live("720p/2.m4s")).await, media(2));
}

#[tokio::test]
async fn renditions_that_the_new_session_lacks_are_gone() {
    let platform = Platform::start().await;
    let first = platform.session("nodi", 0);
    first.claim(0, &[video("1080p"), video("720p")]).await;
    for rendition in ["1080p", "720p"] {
        first.init(rendition, 0).await;
        first.segments(rendition, 0..2).await;
    }
    let waiting = platform.start_get("/live/nodi/1080p.m3u8?_HLS_msn=2");
    platform.wait_blocked(1).await;
    let second = platform.session("nodi", 1);
    second.claim(2, &[video("720p"), audio("audio")]).await;
    assert_eq!(waiting.await.unwrap().status(), 404);
    assert_eq!(platform.status_of("/live/nodi/1080p.m3u8").await, 404);
    assert_eq!(platform.bytes(&first.live("1080p/1.m4s")).await, media(1), "for who plays it still");
    let text = platform.text("/live/nodi/index.m3u8").await;
    assert!(text.contains("720p.m3u8") && !text.contains("1080p"), "{text}");

    second.init("audio", 0).await;
    second.segments("audio", 2..3).await;
    let text = platform.text("/live/nodi/index.m3u8").await;
    assert!(text.contains("audio.m3u8"), "{text}");
    let text = platform.text("/live/nodi/audio.m3u8").await;
    assert!(text.contains("MEDIA-SEQUENCE:2\n") && text.contains("DISCONTINUITY-SEQUENCE:1\n"), "{text}");
    platform.advance(60);
    eventually("its segments are gone too", || async {
        platform.status_of(&first.live("1080p/1.m4s")).await == 404
    })
    .await;
}

#[tokio::test]
async fn stopping_answers_who_waits() {
    let mut platform = Platform::start().await;
    live_session(&platform, 1).await;
    let waiting = platform.start_get("/live/nodi/720p.m3u8?_HLS_msn=1");
    platform.wait_blocked(1).await;
    platform.ask_to_stop();
    assert_eq!(waiting.await.unwrap().status(), 503);
    platform.stopped().await;
}
