//! What the fleet server says of a channel, and what happens when it says nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use nodi_protocol::chat::Role;
use serde_json::json;

use super::client::{Client, Join};
use super::service::Service;

const CHANNEL: &str = "fleet";

/// Answers every request with what it is told to: the fleet server's side of one route, with its failures.
struct Fleet {
    address: SocketAddr,
    /// Status and body; `None`: the connection ends without an answer.
    answer: Arc<Mutex<Option<(u16, String)>>>,
}

impl Fleet {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer: Arc<Mutex<Option<(u16, String)>>> = Arc::default();
        let told = Arc::clone(&answer);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = [0; 4_096];
                let _ = stream.read(&mut head);
                if let Some((status, body)) = told.lock().unwrap().clone() {
                    let length = body.len();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                    );
                }
            }
        });
        Self { address, answer }
    }

    fn says(&self, status: u16, suspended: bool) {
        let facts = json!({
            "channel": CHANNEL,
            "suspended": suspended,
            "emotes": [{ "name": "wave", "url": "/site/wave.png" }],
        });
        *self.answer.lock().unwrap() = Some((status, facts.to_string()));
    }

    fn is_silent(&self) {
        *self.answer.lock().unwrap() = None;
    }

    async fn service(&self, unknown: &str) -> Service {
        let top = format!("fleet_url = \"http://{}\"\nunknown_channels = \"{unknown}\"", self.address);
        Service::configured(&top, "", "[rooms]\nfacts_s = 1\nidle_s = 1\n").await
    }
}

#[tokio::test]
async fn those_with_a_token_keep_talking_while_the_fleet_server_is_away() {
    let fleet = Fleet::start();
    fleet.says(200, false);
    let mut service = fleet.service("refuse").await;
    let (_, welcome, _) = Client::join(&service, &Join::reader(CHANNEL)).await;
    assert_eq!(welcome["emotes"][0]["name"], "wave");
    fleet.is_silent();
    // Also after a restart: the last answer is kept.
    assert_eq!(service.stop().await, Some(0));
    service.start_again().await;
    let token = service.token(CHANNEL, "Ada", Role::Viewer);
    let (mut ada, welcome, _) = Client::join(&service, &Join::with(CHANNEL, token)).await;
    assert_eq!(welcome["emotes"][0]["name"], "wave");
    ada.said("1", ":wave: still here").await;
    // A channel that nobody ever heard of is none, if so configured.
    assert_eq!(Client::connect(&service, &Join::reader("unheard-of")).await.end().await, Some(4_001));
    service.is_well();
}

#[tokio::test]
async fn a_suspended_or_unknown_channel_sends_everybody_away() {
    let fleet = Fleet::start();
    fleet.says(404, false);
    let mut service = fleet.service("allow").await;
    assert_eq!(Client::connect(&service, &Join::reader(CHANNEL)).await.end().await, Some(4_001));
    fleet.says(200, false);
    // A channel that was made a moment ago is found a moment later.
    let mut reader = loop {
        if let Some((reader, _)) = Client::try_join(&service, &Join::reader(CHANNEL)).await {
            break reader;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    };
    fleet.says(200, true);
    assert_eq!(reader.end().await, Some(4_002));
    assert_eq!(Client::connect(&service, &Join::reader(CHANNEL)).await.end().await, Some(4_002));
    service.is_well();
}
