//! What clients say, line by line, through the rules of one room, and what must hold whatever they say.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use nodi_chat::limits::AddressKey;
use nodi_chat::moderation::{Config, MAX_NONCE, Outcome, Room, commands};
use nodi_chat::store::{Loaded, Salts};
use nodi_chat::text;
use nodi_chat::text::fold::NameLikeness;
use nodi_chat::text::pattern::{Haystack, Pattern};
use nodi_protocol::ChannelId;
use nodi_protocol::chat::action::Action;
use nodi_protocol::chat::client::Frame;
use nodi_protocol::chat::event::{Event, Mark, Message, What};
use nodi_protocol::chat::rooms::ChannelFacts;
use nodi_protocol::chat::server::{self, Emote};
use nodi_protocol::chat::token::Claims;
use nodi_protocol::chat::{EventId, MAX_GRAPHEMES, MAX_TEXT_BYTES, Role, TIMEOUT_S};

/// By the room's clock, in milliseconds since the Unix epoch.
const START_MS: u64 = 1_800_000_000_000;
const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600_000;
const CHANNEL: &str = "demo";
/// Frames of one input: more teach the fuzzer nothing.
const MAX_LINES: usize = 64;

/// Every line is a frame of whom its first byte names (`v` and `b` viewers, `n` a new account, `m` a moderator, `s` the
/// streamer), a second after the one before; `t` lets an hour pass.
pub fn chat_frame(bytes: &[u8]) {
    let mut world = World::new();
    for line in bytes.split(|byte| *byte == b'\n').take(MAX_LINES) {
        let Some((who, line)) = line.split_first() else { continue };
        if *who == b't' {
            world.now_ms += HOUR_MS;
            let outcome = world.room.tick(world.now_ms);
            world.follow(outcome);
            continue;
        }
        // What is not UTF-8 ends a connection before anything here is asked.
        let Ok(line) = std::str::from_utf8(line) else { continue };
        alone(line);
        world.now_ms += SECOND_MS;
        if let Ok(frame) = serde_json::from_str::<Frame>(line) {
            let again = serde_json::to_string(&frame).unwrap();
            assert_eq!(serde_json::from_str::<Frame>(&again).unwrap(), frame, "not the same frame again");
            world.frame(*who, frame);
        }
    }
}

/// What needs no room.
fn alone(line: &str) {
    if let Ok(clean) = text::clean(line) {
        check_text(&clean);
        let marked = text::mark(&clean, |name| Some(format!("/{name}")), |name| Some(name.to_owned()));
        check_marks(&marked.text, &marked.marks);
    }
    let _ = commands::parse(line);
    let haystack = Haystack::new(line);
    if let Some(pattern) = Pattern::new(line) {
        let _ = pattern.is_in(&haystack);
    }
    assert_eq!(text::fold::likeness(line), text::fold::likeness(line));
    let _ = NameLikeness::of(line);
}

fn check_text(text: &str) {
    assert!(!text.is_empty() && text.len() <= MAX_TEXT_BYTES, "{} bytes", text.len());
    assert_eq!(text::start(text, MAX_GRAPHEMES), text, "too many grapheme clusters");
    for character in text.chars() {
        assert!(!character.is_control(), "a control character: {character:?}");
        assert!(
            !matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0001}'),
            "{character:?} turns text around or hides it"
        );
    }
    assert!(!text.starts_with(' ') && !text.ends_with(' '), "blanks at an end");
}

struct World {
    room: Room,
    now_ms: u64,
    last: EventId,
}

impl World {
    fn new() -> Self {
        let channel = CHANNEL.parse::<ChannelId>().unwrap();
        let salts = Arc::new(Salts::fixed([3; 32]));
        let mut room = Room::open(channel.clone(), &Config::default(), &salts, Loaded::default());
        let emotes = vec![Emote { name: "wave".to_owned(), url: "/wave.svg".to_owned() }];
        let _ = room.facts(&ChannelFacts { channel, suspended: false, emotes });
        Self { room, now_ms: START_MS, last: EventId::new(START_MS, 0) }
    }

    fn frame(&mut self, who: u8, frame: Frame) {
        let Ok(speaker) = self.room.identify(self.now_ms, claims(who), address(who)) else { return };
        let role = self.room.role(&speaker);
        let _ = self.room.you(self.now_ms, &speaker);
        let (outcome, nonce, forbidden) = match frame {
            Frame::Say { nonce, text, reply_to } => {
                (self.room.say(self.now_ms, &speaker, &nonce, &text, reply_to), nonce, false)
            }
            Frame::Do { nonce, action } => {
                let forbidden = role < Role::Moderator
                    && !matches!(action, Action::Delete { .. } | Action::Dismiss { .. });
                (self.room.act(self.now_ms, &speaker, &nonce, action), nonce, forbidden)
            }
            Frame::Join { .. } | Frame::Auth { .. } => return,
        };
        if forbidden {
            // With a nonce that was used before, the answer from then comes again; nothing else happens.
            assert!(
                !matches!(outcome.answer, Some(server::Frame::Done { .. })),
                "{role:?} may do that: {outcome:?}"
            );
            assert!(outcome.publish.is_empty() && !outcome.awaits, "{role:?} may do that: {outcome:?}");
        }
        assert!(outcome.answer.is_some() || outcome.awaits, "nobody is answered: {outcome:?}");
        match &outcome.answer {
            Some(server::Frame::Refused(refused)) => {
                let is_nonce = (1..=MAX_NONCE).contains(&nonce.chars().count());
                assert_eq!(refused.nonce, if is_nonce { nonce } else { String::new() });
            }
            Some(server::Frame::Done { nonce: done, .. } | server::Frame::Said { nonce: done, .. }) => {
                assert_eq!(*done, nonce);
            }
            other => assert!(other.is_none(), "{other:?}"),
        }
        self.follow(outcome);
        let settings = self.room.settings();
        assert!(
            settings.slow_s <= 3_600 && settings.followers_s.is_none_or(|s| s <= 90 * 86_400),
            "{settings:?}"
        );
    }

    /// The bus in one line: what is published comes back in order.
    fn follow(&mut self, outcome: Outcome) {
        for frame in outcome.answer.iter().chain(&outcome.moderators) {
            let json = serde_json::to_string(frame).unwrap();
            assert_eq!(&serde_json::from_str::<server::Frame>(&json).unwrap(), frame);
        }
        for publish in outcome.publish {
            self.last = self.last.next();
            let delivery = publish.delivered_as(self.last, self.now_ms);
            if let Some(event) = delivery.event() {
                self.check_event(&event);
            }
            let after = self.room.delivered(&delivery);
            assert!(after.publish.is_empty() && after.answer.is_none(), "a delivery publishes: {after:?}");
        }
    }

    fn check_event(&self, event: &Event) {
        let json = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&json).unwrap(), event);
        match &event.what {
            What::Message(message) => check_message(message),
            What::Restricted { until_ms: Some(until_ms), .. } => {
                let longest = TIMEOUT_S.end() * 1_000;
                assert!(*until_ms > self.now_ms && *until_ms <= self.now_ms + longest, "until {until_ms}");
            }
            _ => {}
        }
    }
}

fn check_message(message: &Message) {
    check_text(&message.text);
    check_marks(&message.text, &message.marks);
}

fn check_marks(text: &str, marks: &[Mark]) {
    assert!(marks.len() <= text::MAX_MARKS);
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut end = 0;
    for mark in marks {
        let (from, len) = (mark.from as usize, mark.len as usize);
        assert!(from >= end && len > 0, "marks overlap: {marks:?}");
        end = from + len;
        let marked = units.get(from..end).unwrap_or_else(|| panic!("a mark beyond the text: {mark:?}"));
        assert!(String::from_utf16(marked).is_ok(), "a mark cuts a character: {mark:?}");
    }
}

fn claims(who: u8) -> Claims {
    let (name, role, age_s) = match who {
        b'b' => ("Bob", Role::Viewer, 86_400 * 365),
        b'n' => ("Newcomer", Role::Viewer, 60),
        b'm' => ("Mod", Role::Moderator, 86_400 * 365),
        b's' => ("Streamer", Role::Streamer, 86_400 * 365),
        _ => ("Ada", Role::Viewer, 86_400 * 365),
    };
    Claims {
        sub: format!("account-{name}"),
        name: name.to_owned(),
        color: None,
        badges: Vec::new(),
        channel: Some(CHANNEL.parse().unwrap()),
        role,
        followed_s: (role == Role::Viewer).then_some(START_MS / 1_000 - 3_600),
        created_s: START_MS / 1_000 - age_s,
        exp: u64::MAX / 1_000,
    }
}

fn address(who: u8) -> AddressKey {
    AddressKey::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, who)))
}
