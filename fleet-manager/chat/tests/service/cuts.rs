//! Connections that are cut again and again: everybody still has every message once, and all in one order.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nodi_protocol::chat::Role;
use serde_json::{Value, json};

use super::client::{Client, Got, Join};
use super::service::Service;

const CHANNEL: &str = "cuts";
const TALKERS: usize = 4;
/// Each says so many: within what a moderator may say in half a minute.
const EACH: usize = 60;
/// Said and not yet known to be taken.
const UNDER_WAY: usize = 3;
/// At least so many cuts in all.
const CUTS: usize = 50;

/// Reproducible chance (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

struct Talker {
    join: Join,
    name: String,
    chance: Chance,
    /// Numbers that are said and not answered, oldest first.
    under_way: VecDeque<usize>,
    next: usize,
    /// Id and text of everything that was seen.
    seen: Vec<(String, String)>,
    cuts: Arc<AtomicUsize>,
}

impl Talker {
    fn see(&mut self, event: &Value) {
        let id = event["id"].as_str().unwrap().to_owned();
        if event["t"] == "message" {
            self.seen.push((id.clone(), event["text"].as_str().unwrap().to_owned()));
        }
        self.join.after = Some(id);
    }

    async fn say(&self, client: &mut Client, number: usize) -> bool {
        let text = format!("{} {number}", self.name);
        let frame = json!({ "t": "say", "nonce": number.to_string(), "text": text });
        client.try_send(&frame).await.is_ok()
    }

    fn is_done(&self, all: usize) -> bool {
        self.seen.len() >= all && self.under_way.is_empty() && self.cuts.load(Ordering::Relaxed) >= CUTS
    }

    /// Talks until the connection is cut. True when all has been said and seen.
    async fn talk(&mut self, service: &Service, all: usize) -> bool {
        let Some((mut client, history)) = Client::try_join(service, &self.join).await else { return false };
        assert_eq!(history["gap"], false);
        for event in history["events"].as_array().unwrap() {
            self.see(event);
        }
        for number in self.under_way.clone() {
            if !self.say(&mut client, number).await {
                return false;
            }
        }
        let mut frames_left = self.chance.below(40);
        loop {
            while self.under_way.len() < UNDER_WAY && self.next < EACH {
                self.under_way.push_back(self.next);
                self.next += 1;
                if !self.say(&mut client, self.next - 1).await {
                    return false;
                }
            }
            if self.is_done(all) {
                return true;
            }
            // Cut in the middle of things: with answers on their way.
            if frames_left == 0 || (self.seen.len() >= all && self.under_way.is_empty()) {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                client.cut(self.chance.below(2) == 0);
                return false;
            }
            frames_left -= 1;
            match client.next().await {
                Got::End(_) => return false,
                Got::Frame(frame) => match frame["t"].as_str().unwrap() {
                    "said" => {
                        let number: usize = frame["nonce"].as_str().unwrap().parse().unwrap();
                        self.under_way.retain(|waiting| *waiting != number);
                    }
                    "message" => self.see(&frame),
                    "you" => {}
                    _ => panic!("{frame}"),
                },
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_sees_everything_once_and_in_one_order_whatever_is_cut() {
    let attempts = "[moderation.limits]\nattempts = { burst = 10000, per_s = 1 }\n";
    let mut service = Service::start(attempts).await;
    let all = TALKERS * EACH;
    let cuts = Arc::new(AtomicUsize::new(0));
    let talkers = (0..TALKERS).map(|index| {
        let name = format!("Talker{index}");
        let token = service.token(CHANNEL, &name, Role::Moderator);
        let mut talker = Talker {
            join: Join::with(CHANNEL, token),
            name,
            chance: Chance(0x9e37_79b9_7f4a_7c15 ^ (index as u64 + 1)),
            under_way: VecDeque::new(),
            next: 0,
            seen: Vec::new(),
            cuts: Arc::clone(&cuts),
        };
        let service = &service;
        async move {
            while !talker.talk(service, all).await {}
            talker.seen
        }
    });
    let seen = futures_util::future::join_all(talkers).await;
    assert!(cuts.load(Ordering::Relaxed) >= CUTS);
    let texts: HashSet<_> = seen[0].iter().map(|(_, text)| text).collect();
    assert_eq!((seen[0].len(), texts.len()), (all, all), "each message is there once");
    assert!(seen[0].is_sorted_by(|one, other| one.0 < other.0), "ids grow");
    assert!(seen.iter().all(|other| *other == seen[0]), "all see the same order");
    service.is_well();
}
