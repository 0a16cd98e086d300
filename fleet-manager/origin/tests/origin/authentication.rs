//! Who may push: the certificate opens the connection, the stream key the channel.

use nodi_protocol::push::{ChannelState, path};
use nodi_protocol::stream_key::{Grant, Minter, StreamKey};
use rcgen::ExtendedKeyUsagePurpose;
use reqwest::Method;

use crate::support::{Ca, Platform, START_MS, claim, client, eventually, live_session, refusal, video};

#[tokio::test]
async fn no_handshake_without_a_certificate_of_the_fleet() {
    let platform = Platform::start().await;
    let mut session = platform.session("nodi", 0);
    let claim = claim(0, vec![video("720p")]);
    let path = path::session(&session.channel, session.session);
    let stranger = Ca::new("fleet");
    let server = platform.ca.issue("origin-2", ExtendedKeyUsagePurpose::ServerAuth);
    for identity in [None, Some(stranger.client()), Some(server)] {
        session.client = client(&platform.ca, identity);
        let request = session.request(Method::PUT, &path).json(&claim).send().await;
        assert!(request.is_err(), "{request:?}");
    }
    session.client = platform.client();
    assert_eq!(session.try_claim(&claim).await.status(), 200);
}

#[tokio::test]
async fn each_bad_key_is_refused_for_its_reason() {
    let platform = Platform::start().await;
    let mut session = live_session(&platform, 1).await;
    let foreign = Minter::from_seed(&[8; 32]).mint(&Grant {
        channel: session.channel.clone(),
        version: 1,
        expires_at: None,
    });
    let now_s = START_MS / 1_000;
    for (key, status, reason) in [
        (StreamKey::from_text("guess"), 401, "this is not a stream key"),
        (foreign, 401, "was not issued by this platform"),
        (platform.key_with("nodi", 1, Some(now_s)), 401, "has expired"),
        (platform.key("other"), 403, "is for channel other"),
    ] {
        session.key = key;
        let paths = [
            path::channel(&session.channel),
            path::session(&session.channel, session.session),
            session.segment_path("720p", 1),
        ];
        for (index, path) in paths.iter().enumerate() {
            let method = if index == 0 { Method::GET } else { Method::PUT };
            let response = session.request(method, path).body("{}").send().await.unwrap();
            let (found, refusal) = refusal(response).await;
            assert_eq!(found, status, "{path}");
            assert!(refusal.error.contains(reason), "{}", refusal.error);
        }
    }
    let naked = session.client.get(format!("{}{}", session.base, path::channel(&session.channel)));
    assert_eq!(naked.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_key_that_expires_in_mid_session_stops_it() {
    let platform = Platform::start().await;
    let mut session = platform.session("nodi", 0);
    session.key = platform.key_with("nodi", 1, Some(START_MS / 1_000 + 10));
    session.claim(0, &[video("720p")]).await;
    session.init("720p", 0).await;
    platform.advance(10);
    assert_eq!(session.bytes("720p", 0, "x").await.status(), 401);
}

#[tokio::test]
async fn a_revoked_keys_session_ends_and_its_upload_is_cut() {
    let platform = Platform::start().await;
    let session = live_session(&platform, 1).await;
    let upload = session.open_upload("720p", 1);
    upload.send(vec![0; 100]).await;
    let document = r#"{"schema":1,"min_versions":{"nodi":2}}"#;
    std::fs::write(platform.file("revocations.json"), document).unwrap();

    let (status, refused) = refusal(upload.answer().await).await;
    assert_eq!(status, 401);
    assert!(refused.error.contains("was revoked"), "{}", refused.error);
    assert_eq!(platform.state("nodi").await, "reconnecting");
    assert_eq!(session.bytes("720p", 1, "x").await.status(), 401);
    assert!(!platform.text("/live/nodi/720p.m3u8").await.contains("PRELOAD-HINT"));

    // The new key takes over.
    let mut next = platform.session("nodi", 1);
    next.key = platform.key_with("nodi", 2, None);
    let state = next.request(Method::GET, &path::channel(&next.channel)).send().await.unwrap();
    let state: ChannelState = state.json().await.unwrap();
    next.claim(state.next_msn, &[video("720p")]).await;
}

#[tokio::test]
async fn new_certificates_and_keys_are_taken_over_without_a_restart() {
    let platform = Platform::start().await;
    let second = Ca::new("fleet-2");
    let (certificate, key) = second.server();
    std::fs::write(platform.file("server.key"), key).unwrap();
    std::fs::write(platform.file("server.pem"), certificate).unwrap();
    std::fs::write(platform.file("ca.pem"), &second.pem).unwrap();
    let minter = Minter::from_seed(&[9; 32]);
    std::fs::write(platform.file("keys"), minter.public_line()).unwrap();

    let mut session = platform.session("nodi", 0);
    session.key = minter.mint(&Grant { channel: session.channel.clone(), version: 1, expires_at: None });
    let path = path::channel(&session.channel);
    eventually("the new files count", || async {
        // Each attempt is a new connection, since the old ones go on with the old certificate.
        let client = client(&second, Some(second.client()));
        let request = client.get(format!("{}{path}", session.base)).bearer_auth(session.key.reveal());
        request.send().await.is_ok_and(|response| response.status() == 200)
    })
    .await;
}

#[tokio::test]
async fn a_broken_file_leaves_the_previous_one() {
    let platform = Platform::start().await;
    std::fs::write(platform.file("keys"), "nonsense").unwrap();
    std::fs::write(platform.file("revocations.json"), r#"{"schema":1,"min_versions":{"nodi":2}}"#).unwrap();
    std::fs::write(platform.file("server.pem"), "nonsense").unwrap();
    // The certificates are looked at as often as the keys: what is wrong there is warned about, and all goes on.
    std::fs::write(platform.file("keys"), platform.minter.public_line()).unwrap();
    let session = platform.session("nodi", 0);
    eventually("the revocation counts", || async {
        let response = session.try_claim(&claim(0, vec![video("720p")])).await;
        response.status() == 401
    })
    .await;
}
