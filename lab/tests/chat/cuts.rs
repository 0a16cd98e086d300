//! Connections break fifty times and the service is killed in the middle of a flood: everybody sees everything once, in
//! one order, and what is lost is of the last second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nodi_lab::Lab;
use nodi_lab::chat::client::Dial;
use nodi_lab::chat::member::{Answer, Member};
use nodi_lab::chat::tokens::{claims, now};
use nodi_protocol::chat::{EventId, Role};
use serde_json::json;

use crate::support::{PATIENCE, eventually, start_with};

const CUTS: usize = 50;
const TALKERS: usize = 4;
const READERS: usize = 4;
/// What a kill may cost: messages are on disk within a second.
const LOST_MS: u64 = 1_000;

/// Chat and the edge alone, without the limits that keep people from flooding.
async fn start() -> Lab {
    let plenty = json!({ "burst": 100_000, "per_s": 1 });
    start_with(|options| {
        (options.boxes, options.chat) = (0, true);
        options.overrides.chat = json!({
            "connections": { "frames_per_s": 1_000, "frames_burst": 1_000 },
            "moderation": {
                "limits": { "moderator": plenty, "attempts": plenty, "address": plenty, "channel": plenty },
            },
        });
    })
    .await
}

/// Small and good enough (Marsaglia 2003), so that a seed that was printed shows the same again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What was said: the text by the nonce of who said it.
struct Flood {
    talkers: Vec<Member>,
    said: Vec<BTreeMap<String, String>>,
}

impl Flood {
    /// Everybody says one thing.
    fn round(&mut self) {
        for (index, (talker, said)) in self.talkers.iter().zip(&mut self.said).enumerate() {
            let text = format!("{index} says {}", said.len());
            said.insert(talker.say(&text), text);
        }
    }

    /// Talks for so long.
    async fn go_on(&mut self, length: Duration) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.round();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Until everything was answered: the id of each text.
    async fn answers(&self) -> BTreeMap<String, EventId> {
        let mut ids = BTreeMap::new();
        for (talker, said) in self.talkers.iter().zip(&self.said) {
            for (nonce, text) in said {
                match talker.answer(nonce).await.unwrap() {
                    Answer::Said(id) => assert_eq!(ids.insert(text.clone(), id), None),
                    other => panic!("{text:?} was answered {other:?}"),
                }
            }
        }
        ids
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_cuts_and_a_kill_in_a_flood_lose_and_repeat_nothing() {
    let seed = match std::env::var("NODI_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => u64::from(std::process::id()) + 1,
    };
    log::info!("NODI_SEED={seed} repeats this run");
    let mut random = Random(seed);
    let mut lab = start().await;
    let channel = lab.channel().clone();
    let dial = Dial::new(lab.chat_ws_url().unwrap());
    let mut flood = Flood { talkers: Vec::new(), said: vec![BTreeMap::new(); TALKERS] };
    for index in 0..TALKERS {
        let claims = claims(&channel, &format!("talker_{index}"), Role::Moderator);
        let token = lab.chat().unwrap().tokens.mint(&claims).unwrap();
        flood.talkers.push(Member::enter(dial.clone(), &channel, Some(token)).await.unwrap());
    }
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(Member::enter(dial.clone(), &channel, None).await.unwrap());
    }

    for _ in 0..CUTS {
        flood.go_on(Duration::from_millis(20 + random.below(80))).await;
        let all = flood.talkers.iter().chain(&readers);
        let index = usize::try_from(random.below((TALKERS + READERS) as u64)).unwrap();
        all.skip(index).take(1).for_each(Member::cut);
    }
    let ids = flood.answers().await;
    everybody_has(&readers, &ids, |_| false).await;
    let before = ids.len();
    log::info!("{before} messages through {CUTS} cuts");

    flood.go_on(Duration::from_millis(2_000)).await;
    let killed_ms = u64::try_from(now().as_millis()).unwrap();
    lab.process("chat").unwrap().kill();
    // They go on talking to nobody, and say it again to who comes back.
    flood.go_on(Duration::from_millis(random.below(300))).await;
    lab.process("chat").unwrap().restart().unwrap();
    flood.go_on(Duration::from_millis(1_000)).await;
    let ids = flood.answers().await;
    let may_be_lost = |id: &EventId| (killed_ms.saturating_sub(LOST_MS)..=killed_ms).contains(&id.unix_ms());
    let lost = everybody_has(&readers, &ids, may_be_lost).await;
    log::info!("{} more messages, the kill cost {lost} of them", ids.len() - before);
    // Who comes now finds what the others saw last.
    let late = Member::enter(dial, &channel, None).await.unwrap();
    let history =
        late.until("a history", PATIENCE, |seen| (!seen.events.is_empty()).then(|| seen.texts().len()));
    assert_eq!(history.await.unwrap(), nodi_protocol::chat::HISTORY);
    let newest = |member: &Member| member.look(|seen| seen.events.last().cloned());
    assert_eq!(newest(&late), newest(&readers[0]));
}

/// Each reader has every message once and in order, but those that may be lost; returns how many some reader lacks.
async fn everybody_has(
    readers: &[Member],
    ids: &BTreeMap<String, EventId>,
    may_be_lost: impl Fn(&EventId) -> bool,
) -> usize {
    let last = ids.values().max().unwrap();
    let mut lost = std::collections::BTreeSet::new();
    for (index, reader) in readers.iter().enumerate() {
        eventually("the last message", PATIENCE, async || {
            reader.look(|seen| seen.events.last().is_some_and(|event| event.id >= *last)).then_some(())
        })
        .await;
        reader.look(|seen| {
            assert!(seen.is_in_order(), "reader {index} has events twice or out of order");
            assert_eq!(seen.gaps, 0, "reader {index} was told of a gap");
            let mut texts = seen.texts();
            texts.sort_unstable();
            let count = texts.len();
            texts.dedup();
            assert_eq!(texts.len(), count, "reader {index} has something that was said once twice");
            for (text, id) in ids {
                if texts.binary_search(&text.as_str()).is_err() {
                    assert!(may_be_lost(id), "reader {index} has no {text:?} of {}", id.unix_ms());
                    lost.insert(text.clone());
                }
            }
        });
    }
    lost.len()
}
