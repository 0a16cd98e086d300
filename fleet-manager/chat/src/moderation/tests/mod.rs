//! The rules as a moderator, a viewer and a spammer meet them. A bus that gives ids is all that is around a room.

mod actions;
mod evasion;
mod modes;
mod rights;

use std::sync::Arc;

use nodi_protocol::chat::action::Action;
use nodi_protocol::chat::event::{Event, Message, What};
use nodi_protocol::chat::server::{Answer, Code, Frame, LogEntry, Refused};
use nodi_protocol::chat::token::Claims;
use nodi_protocol::chat::{EventId, Role};

use super::*;
use crate::limits::AddressKey;
use crate::store::{Loaded, Op, Salts};

/// When all of this happens: long after the accounts were made.
const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 86_400_000;

/// A room with its bus, its clock and what it did.
struct World {
    room: Room,
    now: u64,
    last: EventId,
    nonces: u64,
    events: Vec<Event>,
    moderators: Vec<Frame>,
    ops: Vec<Op>,
}

impl World {
    fn new() -> Self {
        Self::with(&Config::default(), Loaded::default())
    }

    fn with(config: &Config, stored: Loaded) -> Self {
        let room = Room::open("demo".parse().unwrap(), config, &Arc::new(Salts::fixed([7; 32])), stored);
        let last = EventId::new(NOW, 0);
        Self { room, now: NOW, last, nonces: 0, events: Vec::new(), moderators: Vec::new(), ops: Vec::new() }
    }

    fn claims(name: &str, role: Role) -> Claims {
        Claims {
            sub: format!("id-{name}"),
            name: name.to_owned(),
            color: Some("#aabbcc".to_owned()),
            badges: Vec::new(),
            channel: Some("demo".parse().unwrap()),
            role,
            followed_s: None,
            created_s: 1_000,
            exp: NOW / 1_000 + 100 * 86_400,
        }
    }

    /// Somebody who comes in from an address of their own.
    fn enter(&mut self, name: &str, role: Role) -> Speaker {
        let hash = name.bytes().fold(7u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        self.enter_as(Self::claims(name, role), &std::net::Ipv4Addr::from(hash).to_string()).unwrap()
    }

    fn viewer(&mut self, name: &str) -> Speaker {
        self.enter(name, Role::Viewer)
    }

    fn enter_as(&mut self, claims: Claims, address: &str) -> Result<Speaker, Refused> {
        self.room.identify(self.now, claims, AddressKey::of(address.parse().unwrap()))
    }

    /// Carries an outcome out, as the transport does.
    fn carry_out(&mut self, outcome: Outcome) -> Option<Frame> {
        let Outcome { publish, mut answer, awaits, moderators, ops, .. } = outcome;
        self.moderators.extend(moderators);
        self.ops.extend(ops);
        for publish in publish {
            self.last = self.last.next().max(EventId::new(self.now, 0));
            let delivery = publish.delivered_as(self.last, self.now);
            if awaits && let Some((_, nonce)) = delivery.said() {
                answer = Some(Frame::Said { nonce: nonce.to_owned(), id: delivery.id });
            }
            self.events.extend(delivery.event());
            let done = self.room.delivered(&delivery);
            assert!(done.publish.is_empty() && done.answer.is_none());
            self.moderators.extend(done.moderators);
            self.ops.extend(done.ops);
        }
        answer
    }

    fn say_with(&mut self, who: &Speaker, nonce: &str, text: &str, reply_to: Option<EventId>) -> Frame {
        let outcome = self.room.say(self.now, who, nonce, text, reply_to);
        self.carry_out(outcome).expect("an answer")
    }

    fn frame(&mut self, who: &Speaker, text: &str) -> Frame {
        self.nonces += 1;
        let nonce = format!("n{}", self.nonces);
        self.say_with(who, &nonce, text, None)
    }

    /// Says something that is taken.
    fn say(&mut self, who: &Speaker, text: &str) -> EventId {
        match self.frame(who, text) {
            Frame::Said { id, .. } => id,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// Says something that is refused.
    fn refused(&mut self, who: &Speaker, text: &str) -> (Code, Option<u64>) {
        match self.frame(who, text) {
            Frame::Refused(refused) => (refused.code, refused.retry_ms),
            other => panic!("{text}: {other:?}"),
        }
    }

    /// Gives a command that is done.
    fn command(&mut self, who: &Speaker, text: &str) -> String {
        match self.frame(who, text) {
            Frame::Done { text, .. } => text,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn answer(&mut self, who: &Speaker, text: &str) -> Answer {
        match self.frame(who, text) {
            Frame::Done { answer: Some(answer), .. } => answer,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn act(&mut self, who: &Speaker, action: Action) -> Frame {
        self.nonces += 1;
        let nonce = format!("n{}", self.nonces);
        let outcome = self.room.act(self.now, who, &nonce, action);
        self.carry_out(outcome).expect("an answer")
    }

    fn tick(&mut self) {
        let outcome = self.room.tick(self.now);
        self.carry_out(outcome);
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
        self.tick();
    }

    fn last_event(&self) -> &What {
        &self.events.last().expect("an event").what
    }

    fn last_message(&self) -> &Message {
        match self.last_event() {
            What::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    fn held(&mut self, moderator: &Speaker) -> Vec<(EventId, String)> {
        match self.answer(moderator, "/held") {
            Answer::Held { held } => held.into_iter().map(|held| (held.id, held.why)).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn log(&mut self, moderator: &Speaker) -> Vec<LogEntry> {
        match self.answer(moderator, "/log") {
            Answer::Log { entries, .. } => entries,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_message_is_said_and_told() {
    let mut world = World::new();
    let ada = world.viewer("Ada");
    let id = world.say(&ada, "  hello   world ");
    let message = world.last_message().clone();
    assert_eq!((message.text.as_str(), message.me, message.first), ("hello world", false, true));
    assert_eq!(message.user.color.as_deref(), Some("#aabbcc"));
    world.say(&ada, "/me waves");
    assert_eq!((world.last_message().text.as_str(), world.last_message().me), ("waves", true));
    assert!(!world.last_message().first);
    // An answer shows what it answers, and a mention finds who is known.
    let bob = world.viewer("Bob");
    let Frame::Said { .. } = world.say_with(&bob, "r", "@ada yes", Some(id)) else { panic!() };
    let reply = world.last_message().reply.clone().unwrap();
    assert_eq!((reply.id, reply.user.name.as_str(), reply.text.as_str()), (id, "Ada", "hello world"));
    assert_eq!(world.last_message().marks.len(), 1);
    let missing = EventId::new(1, 1);
    let Frame::Refused(refused) = world.say_with(&bob, "r2", "yes", Some(missing)) else { panic!() };
    assert_eq!(refused.code, Code::NotFound);
    assert!(world.ops.iter().all(|op| matches!(op, Op::Delivered { .. })));
    assert_eq!(world.ops.len(), 3);
}

#[test]
fn what_cannot_be_said_is_refused_with_a_code() {
    let mut world = World::new();
    let ada = world.viewer("Ada");
    assert_eq!(world.refused(&ada, " \u{200b} ").0, Code::Text);
    assert_eq!(world.refused(&ada, &"x".repeat(501)).0, Code::Text);
    assert_eq!(world.refused(&ada, "/nonsense").0, Code::Command);
    for nonce in [String::new(), "x".repeat(65)] {
        let Frame::Refused(refused) = world.say_with(&ada, &nonce, "hi", None) else { panic!() };
        assert_eq!((refused.code, refused.nonce.as_str()), (Code::Invalid, ""));
    }
    assert_eq!(world.events, []);
}

#[test]
fn a_token_is_good_here_and_until_it_expires() {
    let mut world = World::new();
    let elsewhere = Claims { channel: Some("other".parse().unwrap()), ..World::claims("Ada", Role::Viewer) };
    assert_eq!(world.enter_as(elsewhere, "192.0.2.1").unwrap_err().code, Code::Unauthenticated);
    let nowhere = Claims { channel: None, ..World::claims("Ada", Role::Viewer) };
    assert_eq!(world.enter_as(nowhere, "192.0.2.1").unwrap_err().code, Code::Unauthenticated);
    let short = Claims { exp: NOW / 1_000 + 1, ..World::claims("Ada", Role::Viewer) };
    let ada = world.enter_as(short.clone(), "192.0.2.1").unwrap();
    world.say(&ada, "in time");
    world.now += 1_000;
    assert_eq!(world.refused(&ada, "too late").0, Code::Unauthenticated);
    assert_eq!(world.enter_as(short, "192.0.2.1").unwrap_err().code, Code::Unauthenticated);
}

#[test]
fn the_same_nonce_is_the_same_message_also_after_a_restart() {
    let mut world = World::new();
    let ada = world.viewer("Ada");
    let Frame::Said { id, .. } = world.say_with(&ada, "once", "hello", None) else { panic!() };
    for _ in 0..3 {
        let again = world.say_with(&ada, "once", "hello", None);
        assert_eq!(again, Frame::Said { nonce: "once".into(), id });
    }
    assert_eq!(world.events.len(), 1);
    // Another account's nonce is another one.
    let bob = world.viewer("Bob");
    world.say_with(&bob, "once", "hello", None);
    assert_eq!(world.events.len(), 2);
    // While it is on its way nothing is said, and the asker is to wait.
    let first = world.room.say(world.now, &ada, "twice", "hello you", None);
    let second = world.room.say(world.now, &ada, "twice", "hello you", None);
    assert!(first.awaits && second.awaits && second.publish.is_empty());
    world.carry_out(first);

    let nonces = vec![crate::store::Nonce { account: "id-Ada".into(), nonce: "once".into(), id, at_ms: NOW }];
    let mut world = World::with(&Config::default(), Loaded { nonces, ..Loaded::default() });
    let ada = world.viewer("Ada");
    assert_eq!(world.say_with(&ada, "once", "hello", None), Frame::Said { nonce: "once".into(), id });
    assert_eq!(world.events, []);
}

#[test]
fn what_the_bus_did_not_take_may_be_tried_again() {
    let mut world = World::new();
    let ada = world.viewer("Ada");
    let lost = world.room.say(world.now, &ada, "x", "hello", None);
    assert!(lost.awaits);
    world.room.unsent("id-Ada", "x");
    assert!(matches!(world.say_with(&ada, "x", "hello", None), Frame::Said { .. }));
    assert_eq!(world.events.len(), 1);
}

#[test]
fn an_action_is_done_once() {
    let mut world = World::new();
    let (streamer, ada) = (world.enter("Streamer", Role::Streamer), world.viewer("Ada"));
    let time_out = Action::Timeout { user: "@ada".into(), seconds: 60, reason: None };
    for _ in 0..2 {
        let outcome = world.room.act(world.now, &streamer, "x", time_out.clone());
        let Some(Frame::Done { text, .. }) = world.carry_out(outcome) else { panic!() };
        assert_eq!(text, "Ada is timed out for 1 minute.");
        world.now += 1_000;
    }
    assert_eq!(world.events.len(), 1);
    assert_eq!(world.refused(&ada, "hi"), (Code::TimedOut, Some(58_000)));
}

#[test]
fn rates_say_exactly_when() {
    let mut world = World::new();
    let ada = world.viewer("Ada");
    for n in 0..20 {
        world.say(&ada, &format!("message {n}"));
    }
    assert_eq!(world.refused(&ada, "one more"), (Code::Rate, Some(1_500)));
    world.now += 1_499;
    assert_eq!(world.refused(&ada, "one more"), (Code::Rate, Some(1)));
    world.now += 1;
    world.say(&ada, "one more");
    // Moderators have 100.
    let moderator = world.enter("Mod", Role::Moderator);
    for n in 0..100 {
        world.say(&moderator, &format!("message {n}"));
    }
    let (code, retry) = world.refused(&moderator, "one more");
    assert_eq!((code, retry), (Code::Rate, Some(300)));
    // Whatever somebody tries is bounded too.
    let bob = world.viewer("Bob");
    for _ in 0..60 {
        assert_eq!(world.refused(&bob, "/nonsense").0, Code::Command);
    }
    assert_eq!(world.refused(&bob, "/nonsense"), (Code::Rate, Some(500)));
}

#[test]
fn addresses_and_channels_have_rates_of_their_own() {
    let limits = crate::limits::Config {
        address: crate::limits::Rate { burst: 3, per_s: 30 },
        channel: crate::limits::Rate { burst: 5, per_s: 5 },
        ..crate::limits::Config::default()
    };
    let mut world = World::with(&Config { limits, ..Config::default() }, Loaded::default());
    let names = ["Ada", "Bob", "Cyd"];
    let [ada, bob, cyd] =
        names.map(|name| world.enter_as(World::claims(name, Role::Viewer), "192.0.2.9").unwrap());
    for who in [&ada, &bob, &cyd] {
        world.say(who, "hello");
    }
    assert_eq!(world.refused(&ada, "again"), (Code::Rate, Some(10_000)));
    let (dan, eve) = (world.viewer("Dan"), world.viewer("Eve"));
    world.say(&dan, "from elsewhere");
    world.say(&eve, "from elsewhere too");
    assert_eq!(world.refused(&eve, "the channel is full"), (Code::Rate, Some(1_000)));
    // Not for those who keep order.
    let moderator = world.enter("Mod", Role::Moderator);
    world.say(&moderator, "quiet please");
}

#[test]
fn a_restart_changes_nothing() {
    let mut world = World::new();
    let (streamer, moderator) = (world.enter("Streamer", Role::Streamer), world.viewer("Mod"));
    world.viewer("Ada");
    world.command(&streamer, "/mod mod");
    world.command(&moderator, "/slow 30");
    let loaded = Loaded {
        settings: Some(world.room.settings().clone()),
        moderators: vec![world.room.you(world.now, &moderator).user],
        events: world.events.clone(),
        ..Loaded::default()
    };
    let mut world = World::with(&Config::default(), loaded);
    assert_eq!(world.room.settings().slow_s, 30);
    let moderator = world.viewer("Mod");
    assert_eq!(world.room.role(&moderator), Role::Moderator);
    assert_eq!(world.command(&moderator, "/slowoff"), "Slow mode is off.");
}

#[test]
fn an_account_is_erased() {
    let mut world = World::new();
    let (streamer, ada) = (world.enter("Streamer", Role::Streamer), world.viewer("Ada"));
    let id = world.say(&ada, "secret");
    let other = world.say(&ada, "secret too");
    world.act(&streamer, Action::Delete { id: other });
    let outcome = world.room.erase(world.now, "id-Ada");
    world.carry_out(outcome);
    assert!(matches!(world.last_event(), What::Purged { user, by: None } if user.name == "Ada"));
    assert_eq!(world.refused(&streamer, &format!("/delete {id}")).0, Code::NotFound);
    assert_eq!(world.refused(&streamer, "/who ada").0, Code::NotFound);
    let log = world.log(&streamer);
    assert_eq!((log[0].action.as_str(), log[0].text.as_str()), ("delete", ""));
    world.say(&ada, "who am I");
    assert!(world.last_message().first);
}

#[test]
fn facts_bring_emotes() {
    let mut world = World::new();
    let emote = nodi_protocol::chat::server::Emote { name: "wave".into(), url: "/wave.webp".into() };
    let facts = nodi_protocol::chat::rooms::ChannelFacts {
        channel: "demo".parse().unwrap(),
        suspended: false,
        emotes: vec![emote],
    };
    assert_eq!(world.room.facts(&facts).ops.len(), 1);
    assert_eq!(world.room.facts(&facts).ops.len(), 0);
    let ada = world.viewer("Ada");
    world.say(&ada, ":wave: hi");
    assert_eq!(world.last_message().marks.len(), 1);
    assert!(!world.room.suspended());
    world.room.facts(&nodi_protocol::chat::rooms::ChannelFacts { suspended: true, ..facts });
    assert!(world.room.suspended());
}

proptest::proptest! {
    /// Whatever people send, nothing panics, nobody below a moderator changes anything but by talking, and every request
    /// is answered.
    #[test]
    fn nothing_breaks_a_room(lines in proptest::collection::vec(("[a-c]", 0usize..5, "(/[a-z]{2,14} ?)?(@?[abc] )?(10m )?.{0,20}", 0u64..20_000), 0..60)) {
        let mut world = World::new();
        let roles = [Role::Viewer, Role::Subscriber, Role::Moderator, Role::Streamer, Role::Staff];
        for (n, (name, role, text, wait)) in lines.into_iter().enumerate() {
            world.now += wait;
            let who = World::claims(&name, roles[role]);
            let Ok(who) = world.enter_as(who, "192.0.2.1") else { continue };
            let (before, role) = (world.events.len(), world.room.role(&who));
            let outcome = world.room.say(world.now, &who, &n.to_string(), &text, None);
            let answer = world.carry_out(outcome);
            proptest::prop_assert!(answer.is_some());
            if role < Role::Moderator {
                let harmless = |event: &Event| matches!(&event.what, What::Message(_) | What::Deleted { .. });
                proptest::prop_assert!(world.events[before..].iter().all(harmless));
            }
            world.tick();
        }
    }
}
