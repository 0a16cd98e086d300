//! Live changes over SSE.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Fleet, PATIENCE, User};

struct Stream {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>>>>,
    text: String,
}

#[derive(Debug)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Stream {
    async fn open(user: &User, path: &str, last: Option<&str>) -> Self {
        let mut request = user.request(Method::GET, path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: Box::pin(answer.bytes_stream()), text: String::new() }
    }

    /// The next event; comments are skipped. `None`: the stream ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
                };
                if let Some(name) = field("event") {
                    let data = serde_json::from_str(&field("data").unwrap()).unwrap();
                    return Some(Event { name, id: field("id").unwrap_or_default(), data });
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("an event");
            self.text.push_str(std::str::from_utf8(&chunk?.ok()?).unwrap());
        }
    }
}

async fn create(user: &User, id: &str) {
    user.post_ok("/channels", &json!({"id": id, "display_name": id})).await;
}

#[tokio::test]
async fn a_browser_sees_changes_and_resumes_where_it_was() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let mut stream = Stream::open(&admin, "/events", None).await;
    create(&admin, "one").await;
    let one = stream.next().await.unwrap();
    assert_eq!((one.name.as_str(), &one.data["id"]), ("channel", &json!("one")));
    drop(stream);
    create(&admin, "two").await;
    let mut stream = Stream::open(&admin, "/events", Some(&one.id)).await;
    assert_eq!(stream.next().await.unwrap().data["id"], "two");
    let mut lost = Stream::open(&admin, "/events", Some("another-run-7")).await;
    let reset = lost.next().await.unwrap();
    assert_eq!(reset.name, "reset");
    create(&admin, "three").await;
    assert_eq!(lost.next().await.unwrap().data["id"], "three");
    drop((stream, lost));
    fleet.stop().await;
}

#[tokio::test]
async fn a_streamer_hears_of_their_own_channels_only() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let (streamer, id) = fleet.person(&admin, "stella", "streamer").await;
    let mut stream = Stream::open(&streamer, "/events", None).await;
    create(&admin, "others").await;
    admin.post_ok("/channels", &json!({"id": "hers", "display_name": "Hers", "owner": id})).await;
    assert_eq!(stream.next().await.unwrap().data["id"], "hers");
    drop(stream);
    fleet.stop().await;
}

#[tokio::test]
async fn telemetry_of_a_box_goes_to_who_looks_at_it() {
    let fleet = Fleet::start().await;
    let admin = fleet.admin().await;
    let mut stream = Stream::open(&admin, "/events?box=box-aaaaaaaaaaaaaaaa", None).await;
    let id = "box-aaaaaaaaaaaaaaaa".parse().unwrap();
    fleet.app.live.telemetry(&id, || json!({"box_id": "box-aaaaaaaaaaaaaaaa"}));
    assert_eq!(stream.next().await.unwrap().name, "telemetry");
    drop(stream);
    fleet.stop().await;
}

#[tokio::test]
async fn followers_are_bounded_and_a_stop_ends_their_streams() {
    let fleet = Fleet::with(|config| config.http.max_followers = 1).await;
    let admin = fleet.admin().await;
    let mut stream = Stream::open(&admin, "/events", None).await;
    assert_eq!(admin.get("/events").await.status(), 503);
    let ended = tokio::spawn(fleet.stop());
    assert!(stream.next().await.is_none());
    ended.await.unwrap();
}
