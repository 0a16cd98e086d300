//! Somebody who was banned tries to come back.

use nodi_protocol::chat::Role;
use serde_json::{Value, json};

use super::client::{Client, Join};
use super::service::Service;

const CHANNEL: &str = "evasion";

fn from(address: &str, token: String) -> Join {
    Join { from: Some(address.to_owned()), ..Join::with(CHANNEL, token) }
}

async fn attempt(client: &mut Client, text: &str) -> Value {
    client.say("evading", text).await;
    loop {
        let frame = client.frame().await;
        match frame["t"].as_str().unwrap() {
            "refused" => return frame["code"].clone(),
            "said" => return json!("said"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_ban_holds_for_the_account_its_address_and_names_like_its_own() {
    let mut service = Service::start("").await;
    let token = |name: &str| service.token(CHANNEL, name, Role::Viewer);
    let moderator = service.token(CHANNEL, "Moderator", Role::Moderator);
    let (mut moderator, ..) = Client::join(&service, &from("198.51.100.1", moderator)).await;
    let (mut spammer, ..) = Client::join(&service, &from("2001:db8:1:1::5", token("SpamKing"))).await;
    spammer.said("1", "buy now").await;
    moderator
        .send(&json!({ "t": "do", "nonce": "ban", "action": { "do": "ban", "user": "@SpamKing", "reason": "spam" } }))
        .await;
    assert_eq!(moderator.frame_of("done").await["nonce"], "ban");
    let told = spammer.frame_of("you").await;
    assert_eq!(told["you"]["restriction"]["reason"], "spam", "{told}");
    assert_eq!(attempt(&mut spammer, "on this connection").await, "banned");
    // A new connection, from elsewhere.
    let (mut again, ..) = Client::join(&service, &from("203.0.113.50", token("SpamKing"))).await;
    assert_eq!(attempt(&mut again, "from elsewhere").await, "banned");
    // A new account from the same subscriber's network.
    let join = from("2001:db8:1:1:ffff::9", token("Innocent"));
    let (mut other, welcome, _) = Client::join(&service, &join).await;
    assert_eq!(welcome["you"], Value::Null);
    assert_eq!(other.frame_of("refused").await["code"], "banned");
    // A name that looks like it, from elsewhere.
    let (mut alike, ..) = Client::join(&service, &from("203.0.113.51", token("5pamK1ng"))).await;
    assert_eq!(attempt(&mut alike, "hello all").await, "held");
    // Somebody else altogether.
    let (mut neighbour, ..) = Client::join(&service, &from("2001:db8:1:2::5", token("Neighbour"))).await;
    assert_eq!(attempt(&mut neighbour, "good evening").await, "said");
    // It holds after a restart too.
    service.stop().await;
    service.start_again().await;
    let (mut again, welcome, _) =
        Client::join(&service, &from("203.0.113.52", service.token(CHANNEL, "SpamKing", Role::Viewer))).await;
    assert_eq!(welcome["you"]["restriction"]["reason"], "spam");
    assert_eq!(attempt(&mut again, "and now?").await, "banned");
    service.is_well();
}
