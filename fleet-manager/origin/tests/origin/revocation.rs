//! Boxes and channels that are taken away while they are live.

use nodi_protocol::push::{ChannelState, path};
use reqwest::Method;

use crate::support::{Platform, claim, eventually, live_session, refusal, video};

fn write(platform: &Platform, document: &str) {
    std::fs::write(platform.file("revocations.json"), document).unwrap();
}

#[tokio::test]
async fn a_revoked_box_is_cut_off_and_its_streamer_goes_on_through_another() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let upload = session.open_upload("720p", 1);
    upload.send(vec![0; 100]).await;
    write(&platform, r#"{"schema":1,"min_versions":{},"revoked_boxes":["box-1"]}"#);

    let (status, refused) = refusal(upload.answer().await).await;
    assert_eq!(status, 403);
    assert!(refused.error.contains("this box was revoked"), "{}", refused.error);
    assert_eq!(platform.state("nodi").await, "reconnecting");

    // New connections hear the reason, whatever they ask for.
    let mut again = platform.session("other", 1);
    for (method, path) in [
        (Method::GET, path::channel(&again.channel)),
        (Method::PUT, path::session(&again.channel, again.session)),
        (Method::GET, "/elsewhere".to_owned()),
    ] {
        again.client = platform.client();
        let (status, refused) = refusal(again.request(method, &path).body("{}").send().await.unwrap()).await;
        assert_eq!(status, 403, "{path}");
        assert!(refused.error.contains("this box was revoked"), "{}", refused.error);
    }

    let mut other = platform.session("nodi", 1);
    other.client = platform.client_of("box-2");
    let state = other.request(Method::GET, &path::channel(&other.channel)).send().await.unwrap();
    let state: ChannelState = state.json().await.unwrap();
    other.claim(state.next_msn, &[video("720p")]).await;
    assert_eq!(platform.state("nodi").await, "live");
}

#[tokio::test]
async fn a_revoked_boxes_connections_are_closed() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let connections = || async { established(platform.push) };
    eventually("it is connected", || async { connections().await > 0 }).await;
    write(&platform, r#"{"schema":1,"min_versions":{},"revoked_boxes":["box-1"]}"#);
    eventually("the origin has closed it", || async { connections().await == 0 }).await;
    drop(session);
}

/// Connections to `address` in this machine's table that both sides hold open.
fn established(address: std::net::SocketAddr) -> usize {
    let local = format!("0100007F:{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let of_server = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&*local) && fields.nth(1) == Some("01")
    };
    table.lines().filter(of_server).count()
}

#[tokio::test]
async fn a_suspended_channel_ends_for_viewers_at_once_and_comes_back_when_it_is_lifted() {
    let platform = Platform::start().await;
    let mut session = live_session(&platform, 2).await;
    let upload = session.open_upload("720p", 2);
    upload.send(vec![0; 100]).await;
    write(&platform, r#"{"schema":1,"version":1,"min_versions":{},"suspended":["nodi"]}"#);

    let (status, refused) = refusal(upload.answer().await).await;
    assert_eq!(status, 403);
    assert!(refused.error.contains("channel is suspended"), "{}", refused.error);
    assert!(platform.text("/live/nodi/720p.m3u8").await.contains("#EXT-X-ENDLIST"));
    let (status, refused) = refusal(session.try_claim(&claim(0, vec![video("720p")])).await).await;
    assert_eq!(status, 403);
    assert!(refused.error.contains("channel is suspended"), "{}", refused.error);

    // Players had time to get to the end; after that nothing of it is served.
    platform.advance(10);
    eventually("it is gone", || async { platform.status_of("/live/nodi/index.m3u8").await == 404 }).await;

    write(&platform, r#"{"schema":1,"version":2,"min_versions":{}}"#);
    session = platform.session("nodi", 1);
    let first = claim(9, vec![video("720p")]);
    eventually("it may publish again", || async { session.try_claim(&first).await.status() == 200 }).await;
}

#[tokio::test]
async fn a_claim_is_told_the_window() {
    let platform = Platform::start_with("[playlist]\nwindow_s = 30\n").await;
    let session = platform.session("nodi", 0);
    let claimed = session.claim(0, &[video("720p")]).await;
    assert_eq!(claimed.window_s, Some(30));
}
