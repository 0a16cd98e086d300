//! The link against a real broker, with mutual TLS, on the loopback interface.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nodi_mqtt::{Always, Attempt, BoxError, Event, Message, NotSent, Prepare, Reason, Why};
use support::{Authority, Broker, Client, DEADLINE, options};

fn watcher(broker: &Broker, filters: &[&str]) -> Client {
    Client::open(options("watcher", filters), Always(broker.attempt("watcher")))
}

fn one(broker: &Broker, filters: &[&str]) -> Client {
    Client::open(options("one", filters), Always(broker.attempt("one")))
}

#[tokio::test]
async fn a_publish_arrives_and_is_acknowledged() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker, &["boxes/#"]);
    watcher.connected().await;
    let mut one = one(&broker, &[]);
    assert!(!one.connected().await);
    one.link.publish(Message::new("boxes/one/x", "1")).await.unwrap();
    assert_eq!(watcher.message("boxes/one/x").await, "1");
    // Retained and nobody listening is as good.
    one.link.publish(Message::retained("boxes/one/y", "2")).await.unwrap();
    assert_eq!(watcher.message("boxes/one/y").await, "2");
}

#[tokio::test]
async fn a_refusal_names_its_reason_and_leaves_the_connection() {
    let broker = Broker::start();
    let mut one = one(&broker, &["boxes/two/#", "boxes/one/#"]);
    one.connected().await;
    assert_eq!(
        one.link.publish(Message::new("boxes/two/x", "1")).await,
        Err(NotSent::Refused(Reason::NotAuthorised))
    );
    assert!(matches!(
        one.link.publish(Message::new("boxes/one/+", "1")).await,
        Err(NotSent::BadTopic(topic)) if topic == "boxes/one/+"
    ));
    let len = (64 << 10) + 1;
    assert_eq!(
        one.link.publish(Message::new("boxes/one/x", vec![b'x'; len])).await,
        Err(NotSent::TooLarge { len, max: 64 << 10 })
    );
    // The largest that is allowed goes both ways.
    one.link.publish(Message::new("boxes/one/x", vec![b'x'; 64 << 10])).await.unwrap();
    assert_eq!(one.message("boxes/one/x").await.len(), 64 << 10);
}

#[tokio::test]
async fn a_broker_that_is_killed_keeps_the_session_and_one_that_forgot_gets_the_subscriptions_again() {
    let mut broker = Broker::start();
    let mut one = one(&broker, &["boxes/one/in"]);
    let mut watcher = watcher(&broker, &[]);
    one.connected().await;
    watcher.connected().await;
    for round in 0..4 {
        broker.kill();
        let forgets = round % 2 == 1;
        if forgets {
            broker.forget();
        }
        broker.up();
        let present = one.connected().await;
        assert!(!(present && forgets), "round {round}: a session that nobody can have kept");
        watcher.connected().await;
        let text = format!("round {round}");
        watcher.link.publish(Message::new("boxes/one/in", text.clone())).await.unwrap();
        // A message of an earlier round may come once more: its acknowledgement died with the broker.
        while one.message("boxes/one/in").await != text {}
    }
}

#[tokio::test]
async fn a_new_process_goes_on_with_the_session_that_the_broker_kept() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker, &[]);
    watcher.connected().await;
    {
        let mut first = one(&broker, &["boxes/one/in"]);
        first.connected().await;
        watcher.link.publish(Message::new("boxes/one/in", "a")).await.unwrap();
        first.message("boxes/one/in").await;
        first.link.close(Vec::new(), DEADLINE).await;
        tokio::time::timeout(DEADLINE, first.driving).await.unwrap().unwrap();
    }
    // Queued for a client that is away.
    for text in ["b", "c"] {
        watcher.link.publish(Message::new("boxes/one/in", text)).await.unwrap();
    }
    let mut second = one(&broker, &["boxes/one/in"]);
    assert!(second.connected().await);
    // And it can publish: its packet ids do not clash with anything from before.
    second.link.publish(Message::new("boxes/one/x", "1")).await.unwrap();
    assert_eq!(second.message("boxes/one/in").await, "b");
    assert_eq!(second.message("boxes/one/in").await, "c");
}

/// Numbers its connections in birth and will.
struct Numbered {
    attempt: Attempt,
    made: Arc<AtomicU64>,
}

impl Prepare for Numbered {
    async fn prepare(&mut self) -> Result<Attempt, BoxError> {
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Attempt {
            will: Some(Message::retained("boxes/one/presence", format!("off {number}"))),
            birth: Some(Message::retained("boxes/one/presence", format!("on {number}"))),
            ..self.attempt.clone()
        })
    }
}

#[tokio::test]
async fn birth_and_will_belong_to_their_connection() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker, &["boxes/+/presence"]);
    watcher.connected().await;
    let made = Arc::new(AtomicU64::new(0));
    let prepare = || Numbered { attempt: broker.attempt("one"), made: made.clone() };
    let topic = "boxes/one/presence";

    let mut one = Client::open(options("one", &[]), prepare());
    assert_eq!(watcher.message(topic).await, "on 1");
    one.connected().await;
    // A goodbye on purpose: the broker drops the will.
    one.link.reconnect().await;
    assert_eq!(watcher.message(topic).await, "on 2");
    // A process that is killed.
    one.driving.abort();
    assert_eq!(watcher.message(topic).await, "off 2");

    let one = Client::open(options("one", &[]), prepare());
    assert_eq!(watcher.message(topic).await, "on 3");
    one.link.close(vec![Message::retained(topic, "gone")], DEADLINE).await;
    assert_eq!(watcher.message(topic).await, "gone");
    tokio::time::timeout(DEADLINE, one.driving).await.unwrap().unwrap();
    let _next = Client::open(options("one", &[]), prepare());
    assert_eq!(watcher.message(topic).await, "on 4", "no will after a goodbye");
}

#[tokio::test]
async fn what_was_acknowledged_has_arrived_however_often_the_broker_dies() {
    let mut broker = Broker::start();
    let mut one = one(&broker, &[]);
    one.connected().await;
    let link = one.link.clone();
    let events = tokio::spawn(async move { while one.events.recv().await.is_some() {} });
    let publishing = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            match link.publish(Message::retained(format!("boxes/one/n{number}"), "x")).await {
                Ok(()) => acknowledged.push(number),
                Err(NotSent::Closed) => break,
                Err(error) => {
                    assert!(error.is_transient(), "{error}");
                    // Not said again: only what was acknowledged counts here.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            if acknowledged.len() >= 200 {
                break;
            }
        }
        acknowledged
    });
    while !publishing.is_finished() {
        tokio::time::sleep(Duration::from_millis(150)).await;
        // Frozen first, so that the kill comes with publishes under way that nobody answers.
        broker.freeze(true);
        tokio::time::sleep(Duration::from_millis(20)).await;
        broker.freeze(false);
        // An orderly end, which writes what the broker has acknowledged: SIGKILL loses its last second, and
        // that is the broker's promise and not the link's.
        broker.stop();
        broker.up();
    }
    let acknowledged: BTreeSet<u64> = publishing.await.unwrap().into_iter().collect();
    events.abort();
    let mut watcher = watcher(&broker, &["boxes/#"]);
    let mut arrived = BTreeSet::new();
    while !acknowledged.is_subset(&arrived) {
        if let Event::Message(message) = watcher.next().await {
            arrived.insert(message.topic.trim_start_matches("boxes/one/n").parse().unwrap());
        }
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_by_a_broker_that_does_not_answer() {
    let broker = Broker::start();
    let mut one = one(&broker, &[]);
    one.connected().await;
    broker.freeze(true);
    let under_way = one.link.send(Message::new("boxes/one/x", "1")).await.unwrap();
    assert_eq!(under_way.acknowledged().await, Err(NotSent::ConnectionLost));
    assert!(matches!(one.next().await, Event::Disconnected(Why::Silent)));
    assert_eq!(one.link.publish(Message::new("boxes/one/x", "2")).await, Err(NotSent::NotConnected));
    broker.freeze(false);
    one.connected().await;
    one.link.publish(Message::new("boxes/one/x", "3")).await.unwrap();
}

#[tokio::test]
async fn an_owner_that_does_not_listen_can_still_publish_and_misses_nothing() {
    let broker = Broker::start();
    let mut watcher = watcher(&broker, &[]);
    watcher.connected().await;
    let mut one = one(&broker, &["boxes/one/in"]);
    one.connected().await;
    // Far more than events, queue and receive maximum hold together.
    for number in 0..200 {
        watcher.link.publish(Message::new("boxes/one/in", format!("{number}"))).await.unwrap();
        if number % 20 == 0 {
            let publish = one.link.publish(Message::new("boxes/one/out", "x"));
            tokio::time::timeout(DEADLINE, publish).await.expect("no deadlock").unwrap();
        }
    }
    for number in 0..200 {
        assert_eq!(one.message("boxes/one/in").await, format!("{number}"));
    }
}

#[tokio::test]
async fn a_stranger_is_told_that_it_is_the_certificate() {
    let broker = Broker::start();
    let stranger = Authority::new();
    // It does not know the broker's authority.
    let attempt = Attempt { tls: Some(stranger.client("one")), ..broker.attempt("one") };
    let mut one = Client::open(options("one", &[]), Always(attempt));
    let Event::Disconnected(Why::Tls(reason)) = one.next().await else { panic!("not a TLS error") };
    assert!(reason.contains("certificate"), "{reason}");
    assert_eq!(one.link.publish(Message::new("boxes/one/x", "1")).await, Err(NotSent::NotConnected));
    one.link.close(Vec::new(), DEADLINE).await;
    tokio::time::timeout(DEADLINE, one.driving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_driver_ends_with_its_last_handle() {
    let broker = Broker::start();
    let mut one = one(&broker, &[]);
    one.connected().await;
    drop(one.link);
    tokio::time::timeout(DEADLINE, one.driving).await.unwrap().unwrap();
}
