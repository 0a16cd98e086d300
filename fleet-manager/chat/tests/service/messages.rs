//! What an account can have done about what it said.

use nodi_protocol::chat::Role;
use serde_json::Value;

use super::client::{Client, Join};
use super::service::Service;

const CHANNEL: &str = "messages";

fn unchunk(body: &str) -> String {
    let mut text = String::new();
    let mut rest = body;
    loop {
        let (len, after) = rest.split_once("\r\n").unwrap();
        let len = usize::from_str_radix(len, 16).unwrap();
        if len == 0 {
            return text;
        }
        text.push_str(&after[..len]);
        rest = &after[len + 2..];
    }
}

#[tokio::test]
async fn an_account_gets_its_messages_and_has_them_erased() {
    let mut service = Service::start("").await;
    let ada = Join::with(CHANNEL, service.token(CHANNEL, "Ada", Role::Viewer));
    let bob = Join::with(CHANNEL, service.token(CHANNEL, "Bob", Role::Viewer));
    let (mut ada, ..) = Client::join(&service, &ada).await;
    let (mut bob, ..) = Client::join(&service, &bob).await;
    for number in 0..3 {
        ada.said(&number.to_string(), &format!("ada {number}")).await;
    }
    bob.said("1", "bob").await;

    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let (status, _) = service.request("GET", "/messages", "").await;
    assert_eq!(status, 401);
    // A token for talking is not good for this.
    let talking = bearer(&service.token(CHANNEL, "Ada", Role::Viewer));
    assert_eq!(service.request("GET", "/messages", &talking).await.0, 401);
    let account = bearer(&service.mint(None, "Ada", Role::Viewer, 60));
    let (status, body) = service.request("GET", "/messages", &account).await;
    assert_eq!(status, 200);
    let export: Value = serde_json::from_str(&unchunk(&body)).unwrap();
    assert_eq!(export["account"], "id-ada");
    assert_eq!(export["messages"].as_array().unwrap().len(), 3, "{export}");
    assert!(export["messages"].to_string().contains("ada 2"));

    let (status, body) = service.request("DELETE", "/messages", &account).await;
    assert_eq!((status, body.as_str()), (200, "{\"erased\":3}"));
    // Who is there takes them away; who comes does not get them, not even after a restart.
    let purged = bob.frame_of("purged").await;
    assert_eq!(purged["user"]["id"], "id-ada");
    for _ in 0..2 {
        let (_, _, history) = Client::join(&service, &Join::reader(CHANNEL)).await;
        let events = history["events"].as_array().unwrap();
        assert_eq!(events.len(), 1, "{history}");
        assert_eq!(events[0]["text"], "bob");
        service.stop().await;
        service.start_again().await;
    }
    let (_, body) = service.request("GET", "/messages", &account).await;
    let export: Value = serde_json::from_str(&unchunk(&body)).unwrap();
    assert_eq!(export["messages"], Value::Array(Vec::new()));
    service.is_well();
}

#[tokio::test]
async fn metrics_are_for_neighbours() {
    let service = Service::configured("", "metrics_from = [\"127.0.0.0/8\"]\n", "").await;
    assert_eq!(service.request("GET", "/metrics", "").await.0, 200);
    assert_eq!(service.request("GET", "/metrics", "X-Forwarded-For: 192.0.2.7\r\n").await.0, 404);
    assert_eq!(service.request("GET", "/healthz", "").await, (200, "ok\n".to_owned()));
    assert_eq!(service.request("POST", "/rooms", "").await.0, 405);
    let untrusting = Service::configured("", "trusted_proxies = []\n", "").await;
    assert_eq!(untrusting.request("GET", "/metrics", "X-Forwarded-For: 127.0.0.1\r\n").await.0, 404);
}
