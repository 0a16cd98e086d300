//! The watch site's directory while streams come and go: the real server and broker, a scripted box, and on loopback what
//! answers as edge and chat service do.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::StreamExt as _;
use nodi_protocol::chat::rooms::{Room, Rooms};
use nodi_protocol::fleet::topic::BoxTopic;
use serde_json::{Value, json};

use crate::streams::session;
use crate::support::{Fleet, Robot, session_id, wait};

/// What viewers and the fleet server reach by HTTP: pictures at the edge, counts at the chat service.
#[derive(Clone, Default)]
struct Outside {
    pictures: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    viewers: Arc<AtomicU64>,
    chat_is_down: Arc<AtomicBool>,
}

impl Outside {
    async fn start(&self) -> SocketAddr {
        let app = Router::new()
            .route("/live/{channel}/thumbnail.jpg", get(Self::picture))
            .route("/chat/rooms", get(Self::rooms))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        address
    }

    async fn picture(State(this): State<Self>, Path(channel): Path<String>) -> Response {
        match this.pictures.lock().unwrap().get(&channel) {
            Some(jpeg) => ([(header::CONTENT_TYPE, "image/jpeg")], jpeg.clone()).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    async fn rooms(State(this): State<Self>) -> Response {
        if this.chat_is_down.load(Ordering::SeqCst) {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        let viewers = this.viewers.load(Ordering::SeqCst);
        let room = Room { channel: "nodi".parse().unwrap(), viewers, chatters: 1 };
        axum::Json(Rooms { rooms: vec![room] }).into_response()
    }
}

struct Site<'a>(&'a Fleet);

impl Site<'_> {
    async fn ask(&self, path: &str, etag: Option<&str>) -> reqwest::Response {
        let url = format!("http://127.0.0.1:{}/site/v1{path}", self.0.http_port);
        let mut request = self.0.http().get(url);
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.ask(path, None).await.json().await.unwrap()
    }

    /// Waits until the directory is like that.
    async fn lists(&self, name: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait(name, async || Some(self.get("/live").await).filter(&is)).await
    }
}

async fn go_live(robot: &Robot) {
    robot.say(BoxTopic::Session(session_id(1)), true, &session(1, &[])).await;
}

async fn end(robot: &Robot) {
    robot.say_bytes(&robot.topic(BoxTopic::Session(session_id(1))), true, Vec::new()).await;
}

#[tokio::test]
async fn a_stream_is_in_the_directory_while_it_is_live_and_leaves_its_picture() {
    let outside = Outside::default();
    outside.viewers.store(3, Ordering::SeqCst);
    let address = outside.start().await;
    let fleet = Fleet::with(&format!(
        "[channels]\nwatch_url = 'http://{address}'\n[site]\nchat_url = 'http://{address}/chat'\nthumbnail_s = 1\n"
    ))
    .await;
    fleet.post("/channels", json!({ "id": "nodi", "display_name": "Nodi TV" })).await;
    let site = Site(&fleet);
    let nothing = site.ask("/live", None).await;
    assert_eq!(nothing.headers()["cache-control"], "public, max-age=1");
    let etag = nothing.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(nothing.json::<Value>().await.unwrap(), json!({ "channels": [], "total": 0 }));
    assert_eq!(site.ask("/live", Some(&etag)).await.status(), 304);
    let mut events = Events::open(&site).await;
    assert_eq!(events.next().await["total"], 0, "at once");

    let robot = fleet.robot().await;
    go_live(&robot).await;
    let live = site.lists("it is live and counted", |live| live["channels"][0]["viewers"] == 3).await;
    let card = &live["channels"][0];
    assert_eq!(
        (&card["id"], &card["title"], &card["live"]),
        (&json!("nodi"), &json!("Nodi TV’s stream"), &json!(true))
    );
    assert_eq!(card["thumbnail_url"], "/live/nodi/thumbnail.jpg");
    assert_eq!(card["watch_url"], "/watch/nodi");
    assert_eq!(card["started_ms"], json!(session_id(1).unix_ms()));
    assert_eq!(site.ask("/live", Some(&etag)).await.status(), 200);
    loop {
        let told = events.next().await;
        if told["channels"][0]["viewers"] == 3 {
            assert_eq!(told, live);
            break;
        }
    }
    // Titles and counts are news; a chat service that is away is none.
    outside.viewers.store(5, Ordering::SeqCst);
    fleet.ask("PATCH", "/channels/nodi", Some(json!({ "title": "Rivers" }))).await;
    site.lists("title and count", |live| {
        live["channels"][0]["title"] == "Rivers" && live["channels"][0]["viewers"] == 5
    })
    .await;
    outside.chat_is_down.store(true, Ordering::SeqCst);
    site.lists("nobody counts", |live| live["total"] == 1 && live["channels"][0]["viewers"].is_null()).await;

    // The first picture comes some time after the stream.
    assert_eq!(site.ask("/channels/nodi/thumbnail.jpg", None).await.status(), 404);
    let jpeg = [&[0xff, 0xd8, 0xff, 0xe0][..], b"a picture"].concat();
    outside.pictures.lock().unwrap().insert("nodi".to_owned(), jpeg.clone());
    wait("the picture", async || {
        (site.ask("/channels/nodi/thumbnail.jpg", None).await.status() == 200).then_some(())
    })
    .await;
    // What is no picture does not take its place.
    outside.pictures.lock().unwrap().insert("nodi".to_owned(), b"<html>".to_vec());
    end(&robot).await;
    site.lists("it is over", |live| live["total"] == 0).await;
    let page = wait("since when it is over", async || {
        Some(site.get("/channels/nodi").await).filter(|page| page["last_live_ms"].is_i64())
    })
    .await;
    assert_eq!((&page["live"], page.get("started_ms")), (&json!(false), None));
    let url = page["thumbnail_url"].as_str().unwrap();
    assert!(url.starts_with("/site/v1/channels/nodi/thumbnail.jpg?v="), "{url}");
    let picture = site.ask(url.strip_prefix("/site/v1").unwrap(), None).await;
    assert_eq!((picture.headers()["content-type"].to_str().unwrap()), "image/jpeg");
    assert_eq!(picture.bytes().await.unwrap(), jpeg);
    // It is no business of viewers what a suspended channel looked like.
    fleet.post("/channels/nodi/suspend", json!({ "reason": "a complaint" })).await;
    assert_eq!(site.ask("/channels/nodi/thumbnail.jpg", None).await.status(), 404);
    assert!(site.get("/channels/nodi").await["thumbnail_url"].is_null());
}

#[tokio::test]
async fn a_suspended_stream_is_not_in_the_directory() {
    let fleet = Fleet::with("[site]\nthumbnail_s = 0\n").await;
    fleet.post("/channels", json!({ "id": "nodi", "display_name": "Nodi TV" })).await;
    let robot = fleet.robot().await;
    go_live(&robot).await;
    let site = Site(&fleet);
    site.lists("it is live", |live| live["total"] == 1).await;
    fleet.post("/channels/nodi/suspend", json!({ "reason": "a complaint" })).await;
    site.lists("it is not listed", |live| live["total"] == 0).await;
    assert_eq!(site.get("/channels/nodi").await["live"], false);
    fleet.post("/channels/nodi/resume", json!({})).await;
    site.lists("it is back", |live| live["total"] == 1).await;
    assert!(site.get("/live").await["channels"][0]["viewers"].is_null(), "nobody counts here");
}

struct Events {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>>>>,
    text: String,
}

impl Events {
    async fn open(site: &Site<'_>) -> Self {
        let answer = site.ask("/live/events", None).await;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        Self { body: Box::pin(answer.bytes_stream()), text: String::new() }
    }

    /// The next `live` event's data.
    async fn next(&mut self) -> Value {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if block.lines().any(|line| line == "event: live") {
                    let data = block.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                    return serde_json::from_str(data).unwrap();
                }
                continue;
            }
            let chunk = tokio::time::timeout(crate::support::DEADLINE, self.body.next());
            let chunk = chunk.await.expect("an event").expect("the stream goes on").unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}
