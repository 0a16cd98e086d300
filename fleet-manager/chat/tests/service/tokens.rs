//! Tokens that expire while somebody talks.

use nodi_protocol::chat::Role;
use serde_json::{Value, json};

use super::client::{Client, Join};
use super::service::{Service, unix_ms};

const CHANNEL: &str = "tokens";

#[tokio::test]
async fn an_expired_token_reads_on_until_a_new_one_comes() {
    let mut service = Service::start("").await;
    let token = service.mint(Some(CHANNEL), "Ada", Role::Viewer, 3);
    let (mut ada, welcome, _) = Client::join(&service, &Join::with(CHANNEL, token)).await;
    let expires_ms = welcome["you"]["expires_ms"].as_u64().unwrap();
    assert_eq!(welcome["you"]["user"]["name"], "Ada");
    ada.said("1", "in time").await;
    assert_eq!(ada.frame_of("you").await["you"], Value::Null);
    assert!(unix_ms() >= expires_ms);
    ada.say("2", "too late").await;
    let refused = ada.frame_of("refused").await;
    assert_eq!((&refused["nonce"], &refused["code"]), (&json!("2"), &json!("unauthenticated")));
    // It still hears what others say.
    let token = service.token(CHANNEL, "Bob", Role::Viewer);
    let (mut bob, ..) = Client::join(&service, &Join::with(CHANNEL, token)).await;
    bob.said("1", "are you there?").await;
    assert_eq!(ada.frame_of("message").await["text"], "are you there?");
    let token = service.token(CHANNEL, "Ada", Role::Viewer);
    ada.send(&json!({ "t": "auth", "token": token })).await;
    assert_eq!(ada.frame_of("you").await["you"]["user"]["name"], "Ada");
    ada.said("2", "here again").await;
    assert_eq!(bob.frame_of("message").await["text"], "here again");
    service.is_well();
}
