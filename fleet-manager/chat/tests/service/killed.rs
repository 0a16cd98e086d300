//! Killed in the middle of a flood, and stopped in order.

use nodi_protocol::chat::Role;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use super::client::{Client, Got, Join};
use super::service::{Service, unix_ms};

const CHANNEL: &str = "killed";
const LIMITS: &str = "[moderation.limits]\nattempts = { burst = 10000, per_s = 1 }\n\
                      moderator = { burst = 10000, per_s = 1 }\nchannel = { burst = 10000, per_s = 1 }\n\
                      [connections]\nframes_per_s = 1000\nframes_burst = 1000\n";
/// What may be lost, in milliseconds.
const LOST_MS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_flood_it_loses_a_second_at_most_and_goes_on() {
    let mut service = Service::start(LIMITS).await;
    let token = service.token(CHANNEL, "Flood", Role::Moderator);
    let (mut reader, ..) = Client::join(&service, &Join::reader(CHANNEL)).await;
    let (mut flood, ..) = Client::join(&service, &Join::with(CHANNEL, token.clone())).await;
    // Three seconds of it, by the service's clock, so that there is something older than what may be lost.
    let mut number = 0;
    let mut seen: Vec<(String, u64)> = Vec::new();
    while seen.last().zip(seen.first()).is_none_or(|(last, first)| last.1 < first.1 + 3_000) {
        flood.say(&number.to_string(), &format!("message {number}")).await;
        number += 1;
        let frame = reader.frame().await;
        seen.push((frame["id"].as_str().unwrap().to_owned(), frame["at_ms"].as_u64().unwrap()));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // What nobody waits for is on its way when it dies.
    for extra in 0..50 {
        flood.say(&format!("x{extra}"), "the last words").await;
    }
    let killed_ms = unix_ms();
    service.kill();
    while let Got::Frame(frame) = reader.next().await {
        seen.push((frame["id"].as_str().unwrap().to_owned(), frame["at_ms"].as_u64().unwrap()));
    }
    let database = Connection::open_with_flags(service.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let check: String = database.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    drop(database);

    service.start_again().await;
    let first = seen[0].0.clone();
    let after = Join { after: Some(first), ..Join::reader(CHANNEL) };
    let (mut back, _, history) = Client::join(&service, &after).await;
    assert_eq!(history["gap"], false);
    let kept: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert!(kept.is_sorted_by(|one, other| one < other), "in order, none twice");
    // A prefix of what was seen, and of what is missing none is older than it may be.
    let expected: Vec<&str> = seen[1..].iter().map(|(id, _)| id.as_str()).collect();
    let common = kept.iter().zip(&expected).take_while(|(one, other)| one == other).count();
    assert!(common == kept.len().min(expected.len()), "what is kept is what was seen");
    for (id, at_ms) in seen.iter().skip(1 + common) {
        assert!(at_ms + LOST_MS >= killed_ms, "{id} of {at_ms} is lost, killed at {killed_ms}");
    }
    // Those who saw what is lost come back too, and what is said now is after all of it.
    let last = seen.last().unwrap().0.clone();
    let join = Join { after: Some(last.clone()), ..Join::with(CHANNEL, token) };
    let (mut flood, _, history) = Client::join(&service, &join).await;
    assert_eq!(history["gap"], false);
    let said = flood.said("after", "still here").await;
    assert!(said > last, "{said} is not after {last}");
    let message = back.frame().await;
    assert_eq!((message["id"].as_str(), message["text"].as_str()), (Some(said.as_str()), Some("still here")));
    service.is_well();
}

#[tokio::test]
async fn what_moderators_decided_is_still_so_when_it_is_killed_as_they_hear_of_it() {
    let mut service = Service::start("").await;
    for slow_s in [30, 0, 45] {
        let token = service.token(CHANNEL, "Keeper", Role::Moderator);
        let (mut keeper, ..) = Client::join(&service, &Join::with(CHANNEL, token)).await;
        let (mut reader, ..) = Client::join(&service, &Join::reader(CHANNEL)).await;
        let action = json!({ "do": "set", "settings": { "slow_s": slow_s } });
        keeper.send(&json!({ "t": "do", "nonce": "slow", "action": action })).await;
        let event = reader.frame_of("settings").await;
        assert_eq!(event["settings"]["slow_s"], slow_s, "{event}");
        service.kill();
        service.start_again().await;
        let (_, welcome, _) = Client::join(&service, &Join::reader(CHANNEL)).await;
        assert_eq!(welcome["settings"]["slow_s"], slow_s, "{welcome}");
    }
    service.is_well();
}

#[tokio::test]
async fn stopped_it_says_goodbye_and_loses_nothing() {
    let mut service = Service::start("").await;
    let token = service.token(CHANNEL, "Ada", Role::Viewer);
    let (mut ada, ..) = Client::join(&service, &Join::with(CHANNEL, token)).await;
    let id = ada.said("1", "just before").await;
    // One that has not joined is told too.
    let unjoined = Join { channel: String::new(), ..Join::default() };
    let stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
    let mut idle = Client::over(stream, &unjoined).await.unwrap();
    let (code, ..) =
        tokio::join!(service.stop(), async { assert_eq!(ada.end().await, Some(1_001)) }, async {
            assert_eq!(idle.end().await, Some(1_001));
        });
    assert_eq!(code, Some(0));
    service.start_again().await;
    let (_, _, history) = Client::join(&service, &Join::reader(CHANNEL)).await;
    assert_eq!(history["events"][0]["id"], id);
    // The account's nonce is remembered: it is not said again.
    let token = service.token(CHANNEL, "Ada", Role::Viewer);
    let (mut ada, ..) = Client::join(&service, &Join::with(CHANNEL, token)).await;
    assert_eq!(ada.said("1", "just before").await, id);
    service.is_well();
}
