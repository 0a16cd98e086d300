//! Emotes: pictures of strangers.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{Visitor, member, ok, streamer};
use crate::support::{Fleet, problem};

const STILL: &[u8] = include_bytes!("../../pictures/still.png");
const MOVING: &[u8] = include_bytes!("../../pictures/moving.webp");

async fn upload(who: &Visitor, name: &str, kind: &str, bytes: &[u8]) -> Response {
    who.request(Method::POST, &format!("/channels/ada/emotes?name={name}"))
        .header("content-type", kind)
        .body(bytes.to_vec())
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn an_emote_is_added_shown_and_removed() {
    let fleet = Fleet::start().await;
    let ada = streamer(&fleet, "Ada").await;
    let made = upload(&ada, "knot", "image/png", STILL).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let emote = ok(made).await;
    assert_eq!((&emote["width"], &emote["animated"]), (&json!(64), &json!(false)));
    let moving = ok(upload(&ada, "spin", "image/webp", MOVING).await).await;
    assert_eq!(moving["animated"], true);
    let visitor = Visitor::new(&fleet);
    let facts = visitor.get_ok("/channels/ada/chat").await;
    let emotes = facts["emotes"].as_array().unwrap();
    assert_eq!((emotes.len(), &emotes[12]["name"], &emotes[12]["url"]), (14, &json!("knot"), &emote["url"]));
    let picture = visitor.get(emote["url"].as_str().unwrap()).await;
    for (header, value) in [
        ("content-type", "image/png"),
        ("cache-control", "public, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(picture.headers()[header], value);
    }
    assert!(picture.headers().get("access-control-allow-origin").is_none());
    assert_eq!(picture.bytes().await.unwrap().len() as u64, emote["bytes"].as_u64().unwrap());

    problem(upload(&ada, "knot", "image/png", STILL).await, 409).await;
    problem(upload(&ada, "wave", "image/png", STILL).await, 409).await;
    ada.ok(Method::DELETE, "/channels/ada/emotes/knot", &json!({})).await;
    problem(visitor.get(emote["url"].as_str().unwrap()).await, 404).await;
    problem(ada.send(Method::DELETE, "/channels/ada/emotes/knot", &json!({})).await, 404).await;
    let listed = visitor.get_ok("/channels/ada/emotes").await;
    let names: Vec<&Value> =
        listed["emotes"].as_array().unwrap().iter().map(|emote| &emote["name"]).collect();
    assert_eq!((names, &listed["most"]), (vec![&json!("spin")], &json!(50)));
    fleet.stop().await;
}

#[tokio::test]
async fn what_is_no_picture_or_too_much_of_one_is_refused() {
    let fleet = Fleet::with(|config| config.site.emotes_per_channel = 1).await;
    let ada = streamer(&fleet, "Ada").await;
    // A header that promises 60,000 pixels a side, with its check sum right.
    let mut bomb = STILL.to_vec();
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let mut sum = flate2::Crc::new();
    sum.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    let told = problem(upload(&ada, "bomb", "image/png", &bomb).await, 422).await;
    assert!(told["detail"].as_str().unwrap().contains("60000"), "{told}");
    problem(upload(&ada, "cut", "image/png", &STILL[..STILL.len() - 3]).await, 422).await;
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    problem(upload(&ada, "svg", "image/svg+xml", svg).await, 415).await;
    problem(upload(&ada, "html", "image/png", b"<!doctype html>").await, 415).await;
    problem(upload(&ada, "lie", "image/gif", STILL).await, 415).await;
    problem(upload(&ada, "large", "image/png", &vec![0; (256 << 10) + 1]).await, 413).await;
    for name in ["a", "Knot", "no-no", "%20%20", "a:b"] {
        let told = problem(upload(&ada, name, "image/png", STILL).await, 422).await;
        assert_eq!(told["field"], "name");
    }
    let other = member(&fleet, "Bert").await;
    problem(upload(&other, "mine", "image/png", STILL).await, 403).await;
    problem(upload(&Visitor::new(&fleet), "mine", "image/png", STILL).await, 401).await;
    ok(upload(&ada, "one", "image/png", STILL).await).await;
    problem(upload(&ada, "two", "image/png", STILL).await, 409).await;
    fleet.stop().await;
}
