//! Chat tokens, and what the chat service asks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nodi_protocol::chat::Role;
use nodi_protocol::chat::rooms::ChannelFacts;
use nodi_protocol::chat::token::{Claims, Refusal, Verifier};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{Visitor, member, streamer};
use crate::support::{ADMIN, Fleet, START_MS, problem};

/// As the chat service reads it.
fn verifier(fleet: &Fleet) -> Verifier {
    let text = std::fs::read_to_string(fleet.app.config.chat_public_keys()).unwrap();
    let keys = text.lines().map(|line| {
        let bytes: [u8; 32] = STANDARD.decode(line.trim()).unwrap().try_into().unwrap();
        ed25519_dalek::VerifyingKey::from_bytes(&bytes).unwrap()
    });
    Verifier::new(keys.collect())
}

const NOW_S: u64 = START_MS.cast_unsigned() / 1_000;

async fn claims(fleet: &Fleet, who: &Visitor, path: &str) -> Claims {
    let made = who.ok(Method::POST, path, &json!({})).await;
    let token = made["token"].as_str().unwrap();
    let claims = verifier(fleet).verify(token, NOW_S).unwrap();
    assert_eq!(made["expires_ms"].as_u64().unwrap(), claims.exp * 1_000);
    claims
}

#[tokio::test]
async fn a_token_says_who_somebody_is_and_what_they_are_in_the_channel() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let ada = streamer(&fleet, "Ada").await;
    let bert = member(&fleet, "Bert").await;
    bert.ok(Method::PATCH, "/account", &json!({ "color": "#12ab34" })).await;
    let plain = claims(&fleet, &bert, "/channels/ada/chat-token").await;
    assert_eq!((plain.name.as_str(), plain.role, plain.followed_s), ("Bert", Role::Viewer, None));
    assert_eq!((plain.color.as_deref(), plain.badges.len()), (Some("#12ab34"), 0));
    assert_eq!(plain.channel.unwrap().as_str(), "ada");
    assert_eq!((plain.exp, plain.created_s), (NOW_S + 3_600, NOW_S));
    bert.ok(Method::PUT, "/channels/ada/follow", &json!({})).await;
    assert_eq!(claims(&fleet, &bert, "/channels/ada/chat-token").await.followed_s, Some(NOW_S));

    let hers = claims(&fleet, &ada, "/channels/ada/chat-token").await;
    assert_eq!((hers.role, hers.badges), (Role::Streamer, vec!["streamer".to_owned()]));
    // Elsewhere she is a viewer like others.
    admin.post_ok("/channels", &json!({ "id": "other", "display_name": "Other" })).await;
    assert_eq!(claims(&fleet, &ada, "/channels/other/chat-token").await.role, Role::Viewer);
    let mut staff = Visitor::new(&fleet);
    staff.sign_in(ADMIN).await;
    let theirs = claims(&fleet, &staff, "/channels/ada/chat-token").await;
    assert_eq!((theirs.role, theirs.badges), (Role::Staff, vec!["staff".to_owned()]));
    // Somebody who may only look at the fleet has no say in chats.
    fleet.person(&admin, "Vera", "viewer").await;
    let mut vera = Visitor::new(&fleet);
    vera.sign_in("Vera").await;
    assert_eq!(claims(&fleet, &vera, "/channels/ada/chat-token").await.role, Role::Viewer);

    // What an operator changes counts in the next token.
    let id = bert.get_ok("/session").await["account"]["id"].as_str().unwrap().to_owned();
    admin.patch_ok(&format!("/people/{id}"), &json!({ "role": "operator" })).await;
    assert_eq!(claims(&fleet, &bert, "/channels/ada/chat-token").await.role, Role::Staff);
    admin.patch_ok("/channels/ada", &json!({ "owner": id })).await;
    assert_eq!(claims(&fleet, &ada, "/channels/ada/chat-token").await.role, Role::Viewer);
    let badges = claims(&fleet, &bert, "/channels/ada/chat-token").await.badges;
    assert_eq!(badges, ["staff", "streamer"]);

    let own = claims(&fleet, &ada, "/account/chat-token").await;
    assert_eq!((own.channel, own.role, own.name.as_str()), (None, Role::Viewer, "Ada"));
    problem(ada.post("/channels/nowhere/chat-token", &json!({})).await, 404).await;
    problem(Visitor::new(&fleet).post("/channels/ada/chat-token", &json!({})).await, 401).await;
    let made = ada.ok(Method::POST, "/account/chat-token", &json!({})).await;
    let late = verifier(&fleet).verify(made["token"].as_str().unwrap(), NOW_S + 3_600);
    assert_eq!(late, Err(Refusal::Expired));
    fleet.stop().await;
}

#[tokio::test]
async fn the_chat_service_learns_of_a_channel() {
    let fleet = Fleet::start().await;
    streamer(&fleet, "Ada").await;
    let asked = Visitor::new(&fleet).get("/channels/ada/chat").await;
    let etag = asked.headers()["etag"].clone();
    assert_eq!(asked.headers()["cache-control"], "public, max-age=5");
    let facts: ChannelFacts = asked.json().await.unwrap();
    assert_eq!((facts.channel.as_str(), facts.suspended), ("ada", false));
    assert_eq!(facts.emotes.len(), 12);
    assert!(facts.emotes.iter().any(|emote| emote.name == "wave" && emote.url == "/emotes/wave.svg"));
    let again = Visitor::new(&fleet)
        .request(Method::GET, "/channels/ada/chat")
        .header("if-none-match", etag)
        .send()
        .await
        .unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    problem(Visitor::new(&fleet).get("/channels/nowhere/chat").await, 404).await;
    problem(Visitor::new(&fleet).get("/channels/NO%20ID/chat").await, 400).await;
    fleet.stop().await;
}
