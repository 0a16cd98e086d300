//! Webhooks: signed, repeated, kept over a crash, and not a way into the network.

use serde_json::{Value, json};

use crate::now_ms;
use crate::receiver::Receiver;
use crate::support::{Fleet, wait};

/// Loopback is not public: tests allow it.
pub const ALLOW: &str = "[webhooks]\nallow_http = true\nallow_networks = ['127.0.0.0/8']\n";

fn now_s() -> i64 {
    i64::try_from(now_ms() / 1_000).unwrap()
}

async fn webhook(fleet: &Fleet, url: &str) -> (String, String) {
    let made = fleet.post("/webhooks", json!({ "url": url })).await;
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

async fn deliveries(fleet: &Fleet, id: &str) -> Vec<Value> {
    fleet.get(&format!("/webhooks/{id}/deliveries")).await["items"].as_array().unwrap().clone()
}

async fn delivery_is(fleet: &Fleet, id: &str, state: &str) -> Value {
    wait(&format!("the delivery is {state}"), async || {
        deliveries(fleet, id).await.into_iter().find(|delivery| delivery["state"] == state)
    })
    .await
}

#[tokio::test]
async fn a_test_is_signed_and_after_a_rotation_both_secrets_are_good() {
    let fleet = Fleet::with(ALLOW).await;
    let receiver = Receiver::start().await;
    let (id, secret) = webhook(&fleet, &receiver.url()).await;
    let sent = fleet.post(&format!("/webhooks/{id}/test"), json!({})).await;
    let got = receiver.gets(1).await.remove(0);
    assert_eq!((got.event.as_str(), got.delivery.as_str()), ("test", sent["id"].as_str().unwrap()));
    assert_eq!(got.json()["id"], sent["id"]);
    assert!(got.is_signed_with(&secret, now_s()));
    assert!(!got.is_signed_with("nodi_whs_guess", now_s()));
    let delivered = delivery_is(&fleet, &id, "delivered").await;
    assert_eq!((&delivered["attempts"], &delivered["status"]), (&json!(1), &json!(200)));

    let rotated = fleet.post(&format!("/webhooks/{id}/rotate"), json!({})).await;
    let new = rotated["secret"].as_str().unwrap();
    assert_ne!(new, secret);
    fleet.post(&format!("/webhooks/{id}/test"), json!({})).await;
    let got = receiver.gets(2).await.remove(1);
    assert!(got.is_signed_with(new, now_s()) && got.is_signed_with(&secret, now_s()));
    let list = fleet.get("/webhooks").await.to_string();
    assert!(!list.contains("secret") && !list.contains(new), "{list}");
    let audit = fleet.get("/audit?per_page=500").await.to_string();
    assert!(audit.contains("webhook.rotate") && !audit.contains("nodi_whs_"), "{audit}");
}

#[tokio::test]
async fn what_was_queued_when_the_server_was_killed_comes_after_its_restart_with_the_same_id() {
    let mut fleet = Fleet::with(ALLOW).await;
    // Nobody listens there yet.
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let (id, secret) = webhook(&fleet, &format!("http://{address}/hook")).await;
    let sent = fleet.post(&format!("/webhooks/{id}/test"), json!({})).await;
    fleet.kill_server();
    let receiver = Receiver::at(address).await;
    fleet.start_server();
    fleet.server_is_up().await;
    let got = receiver.gets(1).await.remove(0);
    assert_eq!(got.delivery, sent["id"].as_str().unwrap());
    assert!(got.is_signed_with(&secret, now_s()));
    delivery_is(&fleet, &id, "delivered").await;
    assert_eq!(receiver.got().len(), 1, "once it was taken it is not sent again");
}

#[tokio::test]
async fn a_receiver_that_fails_is_asked_again_and_redirects_are_not_followed() {
    let fleet = Fleet::with(ALLOW).await;
    let receiver = Receiver::start().await;
    receiver.answer(&[503]);
    let (id, _) = webhook(&fleet, &receiver.url()).await;
    fleet.post(&format!("/webhooks/{id}/test"), json!({})).await;
    let got = receiver.gets(2).await;
    assert_eq!((&got[0].delivery, &got[0].body), (&got[1].delivery, &got[1].body));
    let delivered = delivery_is(&fleet, &id, "delivered").await;
    assert_eq!(delivered["attempts"], json!(2));

    let elsewhere = format!("http://{}/elsewhere", receiver.address);
    let (id, _) = webhook(&fleet, &elsewhere).await;
    fleet.post(&format!("/webhooks/{id}/test"), json!({})).await;
    let waiting = wait("it is refused", async || {
        deliveries(&fleet, &id).await.into_iter().find(|delivery| delivery["status"] == json!(302))
    })
    .await;
    assert_eq!(waiting["state"], "waiting");
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn nothing_is_sent_into_the_network_that_the_server_stands_in() {
    let fleet = Fleet::start().await;
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    for url in [
        receiver.url(),
        format!("https://127.0.0.1:{port}/hook"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "http://example.com/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let (status, answer) = fleet.ask("POST", "/webhooks", Some(json!({ "url": url }))).await;
        assert_eq!((status, &answer["field"]), (422, &json!("url")), "{url}: {answer}");
    }
    // A name is judged by where it points when it is connected to.
    let (id, _) = webhook(&fleet, &format!("https://localhost:{port}/hook")).await;
    fleet.post(&format!("/webhooks/{id}/test"), json!({})).await;
    let refused = wait("it is refused", async || {
        deliveries(&fleet, &id).await.into_iter().find(|delivery| delivery["error"].is_string())
    })
    .await;
    assert!(refused["error"].as_str().unwrap().contains("no public address"), "{refused}");
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn too_many_that_wait_are_given_up_counted_and_shown() {
    let fleet = Fleet::with(&format!("{ALLOW}max_waiting = 3\n")).await;
    let (id, _) = webhook(&fleet, "http://127.0.0.1:1/hook").await;
    for _ in 0..5 {
        fleet.post(&format!("/webhooks/{id}/test"), json!({})).await;
    }
    let list = fleet.get("/webhooks").await;
    assert_eq!(
        (&list["items"][0]["waiting"], &list["items"][0]["dropped"]),
        (&json!(3), &json!(2)),
        "{list}"
    );
    let failed: Vec<_> =
        deliveries(&fleet, &id).await.into_iter().filter(|d| d["state"] == "failed").collect();
    assert_eq!(failed.len(), 2);
    assert_eq!(failed[0]["error"], "too many waited: given up");
    assert_eq!(fleet.ask("DELETE", &format!("/webhooks/{id}"), None).await.0, 204);
    assert_eq!(fleet.ask("GET", &format!("/webhooks/{id}/deliveries"), None).await.0, 404);
}
