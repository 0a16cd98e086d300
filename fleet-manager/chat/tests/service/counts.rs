//! How many watch.

use nodi_protocol::chat::Role;
use nodi_protocol::chat::rooms::Rooms;

use super::client::{Client, Join};
use super::service::{Service, eventually};

const CHANNEL: &str = "counts";

async fn counts(service: &Service) -> Option<(u64, u64)> {
    let (status, body) = service.request("GET", "/rooms", "").await;
    assert_eq!(status, 200);
    let rooms: Rooms = serde_json::from_str(&body).unwrap();
    let room = rooms.rooms.into_iter().find(|room| room.channel.as_str() == CHANNEL)?;
    Some((room.viewers, room.chatters))
}

#[tokio::test]
async fn everybody_counts_once_and_only_while_they_are_there() {
    let mut service = Service::start("").await;
    let token = service.token(CHANNEL, "Ada", Role::Viewer);
    let (mut watcher, ..) = Client::join(&service, &Join::reader(CHANNEL)).await;
    let (first, ..) = Client::join(&service, &Join::with(CHANNEL, token.clone())).await;
    let (second, ..) = Client::join(&service, &Join::with(CHANNEL, token)).await;
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(Client::join(&service, &Join::reader(CHANNEL)).await.0);
    }
    eventually("22 watch, one of them talks", || async { counts(&service).await == Some((22, 1)) }).await;
    // Those in the room hear it too.
    while watcher.frame_of("counts").await["viewers"] != 22 {}
    for (index, client) in crowd.into_iter().enumerate() {
        client.cut(index % 2 == 0);
    }
    second.cut(true);
    eventually("two are left", || async { counts(&service).await == Some((2, 1)) }).await;
    first.cut(false);
    eventually("one is left", || async { counts(&service).await == Some((1, 0)) }).await;
    watcher.cut(false);
    eventually("nobody is left", || async { counts(&service).await.is_none() }).await;
    service.is_well();
}

#[tokio::test]
async fn a_client_without_a_sign_of_life_does_not_count() {
    let mut service = Service::start("[connections]\nping_s = 1\ndead_s = 3\n").await;
    let mut alive = Client::join(&service, &Join::reader(CHANNEL)).await.0;
    // Not polled, it answers no ping.
    let mut dead = Client::join(&service, &Join::reader(CHANNEL)).await.0;
    let mut heard = false;
    while !heard {
        heard = alive.frame_of("counts").await["viewers"] == 1
            && service.metric("nodi_chat_closed_total{code=\"4005\"}").await >= 1.0;
    }
    assert_eq!(dead.end().await, Some(4_005));
    service.is_well();
}
