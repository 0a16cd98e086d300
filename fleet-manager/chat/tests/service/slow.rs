//! A reader that stops reading.

use nodi_protocol::chat::Role;

use super::client::{Client, Join};
use super::service::{Service, eventually};

const CHANNEL: &str = "slow";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_dropped_and_holds_up_nobody() {
    let mut service = Service::start(
        "[connections]\noutbox_bytes = 70000\nsend_buffer = 4096\nframes_per_s = 1000\nframes_burst = 1000\n\
         [rooms]\nresume_bytes = 60000\n\
         [moderation.limits]\nattempts = { burst = 10000, per_s = 1 }\nmoderator = { burst = 10000, per_s = 1 }\n",
    )
    .await;
    let stuck = Join { receive_buffer: 4_096, ..Join::reader(CHANNEL) };
    let (mut stuck, ..) = Client::join(&service, &stuck).await;
    let (mut reader, ..) = Client::join(&service, &Join::reader(CHANNEL)).await;
    let token = service.token(CHANNEL, "Loud", Role::Moderator);
    let (mut loud, ..) = Client::join(&service, &Join::with(CHANNEL, token)).await;
    let mut said = 0;
    // The reader gets each, while the other one takes nothing.
    while service.metric("nodi_chat_closed_total{code=\"4004\"}").await < 1.0 {
        for _ in 0..10 {
            said += 1;
            let text = format!("{said} {}", "loud ".repeat(90));
            loud.said(&said.to_string(), &text).await;
            assert_eq!(reader.frame().await["text"].as_str().unwrap().trim_end(), text.trim_end());
        }
        assert!(said < 5_000, "nothing bounds what waits");
    }
    // What it reads now is whole frames, and then why it was dropped, if it comes to that within its time.
    let code = stuck.end().await;
    assert!(matches!(code, Some(4_004) | None), "{code:?}");
    let rooms = || async { service.request("GET", "/rooms", "").await.1 };
    eventually("two are left", || async { rooms().await.contains("\"viewers\":2") }).await;
    service.is_well();
}
