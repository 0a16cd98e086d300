//! The task of one room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nodi_protocol::chat::rooms::ChannelFacts;
use nodi_protocol::chat::server::{Code, Frame, Refused, Welcome, You};
use nodi_protocol::chat::{EventId, HISTORY, MAX_GRAPHEMES};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::members::{Chatter, Members};
use super::ring::{self, Missed, Ring};
use super::{Command, Identity, Join, Shown};
use crate::clock;
use crate::config::Unknown;
use crate::connection::link::{Link, Pushed};
use crate::counts::{Counts, Teller};
use crate::frame::{self, code};
use crate::moderation::{self, Delivery, Item, Note, Outcome, Speaker};
use crate::service::{Service, unauthenticated};
use crate::store::Since;

/// Commands or deliveries taken before the room looks at what else there is to do.
const AT_ONCE: usize = 64;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_secs(1);
/// So long a channel that cannot be entered is not asked about again.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Events that the service may have sent before it was killed, and not written: their ids are not given again, whatever
/// the clock says.
const UNWRITTEN_MS: u64 = 2_000;
/// Those who wait for `said`. More than are ever on their way to and from the bus at a time.
const MAX_AWAITING: usize = 10_000;
/// How long everybody waits for a moderator's decision to be on the disk: a disk that hangs must not silence a room.
const DECISION_WRITTEN: Duration = Duration::from_secs(1);

/// Why nobody may be in a room: a close code and its reason.
#[derive(Debug, Clone, Copy)]
struct Refusal(u16, &'static str);

const NO_SUCH_CHANNEL: Refusal = Refusal(code::NO_SUCH_CHANNEL, "no such channel");
const SUSPENDED: Refusal = Refusal(code::SUSPENDED, "this channel is suspended");
const STOPPING: Refusal = Refusal(code::GOING_AWAY, "the chat restarts; connect again");
const UNREADABLE: Refusal = Refusal(code::TRY_AGAIN, "the chat of this channel cannot be opened now");

/// Runs a room until it is closed.
pub(super) async fn run(
    service: Arc<Service>,
    shown: Arc<Shown>,
    mut inbox: mpsc::Receiver<Command>,
    back: mpsc::WeakSender<Command>,
) {
    loop {
        let opened = Actor::open(Arc::clone(&service), Arc::clone(&shown), back.clone()).await;
        let refusal = match opened {
            Ok((actor, deliveries)) => actor.run(&mut inbox, deliveries).await,
            Err(refusal) => Some(refusal),
        };
        let Some(refusal) = refusal else { return };
        if refuse(&service, &shown, &mut inbox, refusal).await {
            return;
        }
    }
}

/// Sends everybody away for a while. True when the room is closed.
async fn refuse(
    service: &Service,
    shown: &Arc<Shown>,
    inbox: &mut mpsc::Receiver<Command>,
    Refusal(code, reason): Refusal,
) -> bool {
    let until = Instant::now() + REFUSED_FOR;
    loop {
        match tokio::time::timeout_at(until, inbox.recv()).await {
            Ok(Some(Command::Join(join) | Command::Resume(join, _))) => {
                join.link.close(code, reason, clock::ticks());
            }
            Ok(None | Some(Command::Stop)) => return true,
            Ok(Some(_)) => {}
            Err(_) => return service.rooms.close_unused(service, shown),
        }
    }
}

struct Actor {
    service: Arc<Service>,
    shown: Arc<Shown>,
    /// For tasks that bring something later; does not keep the room open.
    back: mpsc::WeakSender<Command>,
    rules: moderation::Room,
    ring: Ring,
    members: Members,
    teller: Teller,
    /// Frames of events that are not sent yet, and how many events they are.
    unsent: BytesMut,
    unsent_events: u64,
    /// When the last ones were sent, in [`clock::ticks`].
    sent_ms: u64,
    /// Answers that go out after these.
    answers: Vec<(Arc<Link>, Bytes)>,
    /// Joins that have to wait until these are sent: what they get from the ring would come twice.
    joining: Vec<(Join, Option<Option<Since>>)>,
    /// By account and nonce: who gets `said`.
    awaiting: HashMap<(String, String), Vec<Arc<Link>>>,
    work: JoinSet<()>,
    empty_since_ms: u64,
}

impl Actor {
    async fn open(
        service: Arc<Service>,
        shown: Arc<Shown>,
        back: mpsc::WeakSender<Command>,
    ) -> Result<(Self, mpsc::Receiver<Delivery>), Refusal> {
        let channel = &shown.channel;
        let loaded = service.store.load(channel).await.map_err(|error| {
            log::error!(channel:%; "a room cannot be opened: {error}");
            UNREADABLE
        })?;
        let limits = ring::Limits {
            events: service.config.rooms.ring_events,
            bytes: service.config.rooms.ring_bytes,
            resume_bytes: service.config.rooms.resume_bytes,
        };
        let (last, known) = (loaded.last, loaded.facts.is_some());
        let ring = Ring::new(limits, loaded.events.clone(), last);
        let rules = &service.config.moderation;
        let mut rules = moderation::Room::open(channel.clone(), rules, &service.store.salts(), loaded);
        if !known && let Some(facts) = first_facts(&service, &shown).await? {
            service.store.submit_all(rules.facts(&facts).ops);
        }
        let beyond = last.map(|last| EventId::new(last.unix_ms() + UNWRITTEN_MS, 0));
        let deliveries = service.bus.subscribe(channel, beyond);
        let now_ms = clock::ticks();
        let mut actor = Self {
            service,
            shown,
            back,
            rules,
            ring,
            members: Members::default(),
            teller: Teller::default(),
            unsent: BytesMut::new(),
            unsent_events: 0,
            sent_ms: 0,
            answers: Vec::new(),
            joining: Vec::new(),
            awaiting: HashMap::new(),
            work: JoinSet::new(),
            empty_since_ms: now_ms,
        };
        actor.follow_facts(known);
        Ok((actor, deliveries))
    }

    /// `Some`: nobody may be in it any more.
    async fn run(
        mut self,
        inbox: &mut mpsc::Receiver<Command>,
        mut deliveries: mpsc::Receiver<Delivery>,
    ) -> Option<Refusal> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut commands, mut delivered) = (Vec::new(), Vec::new());
        loop {
            let hold = self.hold();
            let held = async {
                match hold {
                    Some(hold) => tokio::time::sleep(hold).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                count = deliveries.recv_many(&mut delivered, AT_ONCE) => {
                    if count == 0 {
                        return Some(UNREADABLE);
                    }
                    for delivery in delivered.drain(..) {
                        self.deliver(&delivery).await;
                    }
                }
                _ = tick.tick() => {
                    self.tick();
                    if self.is_unused() && self.service.rooms.close_unused(&self.service, &self.shown) {
                        return None;
                    }
                }
                () = held => {}
                count = inbox.recv_many(&mut commands, AT_ONCE) => {
                    if count == 0 {
                        return None;
                    }
                    for command in commands.drain(..) {
                        if let Some(refusal) = self.take(command) {
                            self.flush().await;
                            self.send_away(refusal).await;
                            return (refusal.0 != STOPPING.0).then_some(refusal);
                        }
                    }
                    commands.shrink_to(AT_ONCE);
                }
            }
            if self.hold() == Some(Duration::ZERO) {
                self.flush().await;
            }
            self.count();
        }
    }

    /// How long what is not sent yet is held back; `None`: there is nothing.
    fn hold(&self) -> Option<Duration> {
        if self.unsent.is_empty() && self.answers.is_empty() {
            return None;
        }
        if self.unsent.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.sent_ms.saturating_add(self.service.config.rooms.hold_ms);
        Some(Duration::from_millis(next.saturating_sub(clock::ticks())))
    }

    async fn flush(&mut self) {
        if !self.unsent.is_empty() {
            let frames = self.unsent.split().freeze();
            let events = std::mem::take(&mut self.unsent_events);
            // From the start: while a large room is written to, more comes in and goes out together.
            self.sent_ms = clock::ticks();
            let reached = self.members.send(&frames, self.sent_ms).await as u64;
            self.service.metrics.batches.inc_by(reached);
            self.service.metrics.deliveries.inc_by(reached.saturating_mul(events));
        }
        for (link, answer) in std::mem::take(&mut self.answers) {
            self.push(&link, &answer);
        }
        for (join, since) in std::mem::take(&mut self.joining) {
            self.enter(join, since);
        }
    }

    fn take(&mut self, command: Command) -> Option<Refusal> {
        match command {
            Command::Join(join) => self.join(join, None),
            Command::Resume(join, since) => self.join(join, Some(since)),
            Command::Auth { link, address, identity } => self.auth(&link, address, identity),
            Command::Say { link, nonce, text, reply_to } => {
                self.speak(&link, &nonce, |rules, now_ms, speaker| {
                    rules.say(now_ms, speaker, &nonce, &text, reply_to)
                });
            }
            Command::Do { link, nonce, action } => {
                self.speak(&link, &nonce, |rules, now_ms, speaker| {
                    rules.act(now_ms, speaker, &nonce, *action)
                });
            }
            Command::Leave(link) => {
                if let Some(slot) = self.members.find(&link) {
                    self.members.remove(slot);
                }
            }
            Command::Facts(None) => return Some(NO_SUCH_CHANNEL),
            Command::Facts(Some(facts)) => {
                let outcome = self.rules.facts(&facts);
                self.carry_out(outcome, None);
                if self.rules.suspended() {
                    return Some(SUSPENDED);
                }
            }
            Command::Erase { account, done } => {
                let outcome = self.rules.erase(clock::unix_ms(), &account);
                self.carry_out(outcome, None);
                self.ring.erase(&account);
                // An error means that nobody waits for it any more.
                let _ = done.send(());
            }
            Command::Stop => return Some(STOPPING),
        }
        None
    }

    fn join(&mut self, join: Join, since: Option<Option<Since>>) {
        if self.unsent.is_empty() {
            self.enter(join, since);
        } else {
            self.joining.push((join, since));
        }
    }

    /// Lets somebody in: `welcome`, `history`, and from here on what happens. `since` is what the store has after
    /// `join.after`, if it was asked; it said nothing when the inner one is empty.
    fn enter(&mut self, join: Join, since: Option<Option<Since>>) {
        if self.rules.suspended() {
            join.link.close(SUSPENDED.0, SUSPENDED.1, clock::ticks());
            return;
        }
        let history = match (join.after, since) {
            (None, _) => self.ring.history(join.history, false),
            (Some(after), None) => match self.ring.after(after, None) {
                Missed::Frame(frame) => frame,
                Missed::Unknown => return self.ask_store(join, after),
            },
            (Some(_), Some(None)) => self.ring.history(HISTORY, true),
            (Some(after), Some(Some(since))) => match self.ring.after(after, Some(&since.events)) {
                Missed::Frame(frame) if !since.gap => frame,
                _ => self.ring.history(HISTORY, true),
            },
        };
        let now_ms = clock::unix_ms();
        let (chatter, refused) = self.identify(now_ms, join.identity, join.address);
        let link = join.link;
        let before = self.counts();
        let is_here = chatter
            .as_ref()
            .is_some_and(|chatter| !self.members.of_account(chatter.speaker.account()).is_empty());
        let mut frames = BytesMut::new();
        let welcome = Welcome {
            channel: self.shown.channel.clone(),
            settings: self.rules.settings().clone(),
            you: chatter.as_ref().map(|chatter| self.rules.you(now_ms, &chatter.speaker)),
            // With whom it is for.
            viewers: before.viewers + u64::from(!is_here),
            chatters: before.chatters + u64::from(chatter.is_some() && !is_here),
            now_ms,
            max_graphemes: u32::try_from(MAX_GRAPHEMES).unwrap_or(u32::MAX),
            emotes: self.rules.emotes().to_vec(),
        };
        frame::append_text(&mut frames, &json(&Frame::Welcome(welcome)));
        frames.extend_from_slice(&history);
        if let Some(refused) = refused {
            self.service.metrics.refused(refused.code);
            frame::append_text(&mut frames, &json(&Frame::Refused(refused)));
        }
        if link.push(&frames.freeze(), clock::ticks()) != Pushed::Gone {
            self.members.insert(link, chatter);
        }
    }

    /// What came before the ring is on disk; the join goes on when that is read.
    fn ask_store(&mut self, join: Join, after: EventId) {
        let (service, shown, back) = (Arc::clone(&self.service), Arc::clone(&self.shown), self.back.clone());
        self.work.spawn(async move {
            let limit = service.config.rooms.ring_events;
            let since = match service.store.since(&shown.channel, after, limit).await {
                Ok(since) => Some(since),
                Err(error) => {
                    log::warn!(channel:% = shown.channel; "cannot read what somebody missed: {error}");
                    None
                }
            };
            if let Some(back) = back.upgrade() {
                // An error means that the room has ended, and the connection with it.
                let _ = back.send(Command::Resume(join, since)).await;
            }
        });
    }

    fn identify(
        &mut self,
        now_ms: u64,
        identity: Identity,
        address: crate::limits::AddressKey,
    ) -> (Option<Box<Chatter>>, Option<Refused>) {
        match identity {
            Identity::Nobody => (None, None),
            Identity::Refused(refused) => (None, Some(*refused)),
            Identity::Account(claims) => match self.rules.identify(now_ms, *claims, address) {
                Ok(speaker) => {
                    let role = self.rules.role(&speaker);
                    (Some(Box::new(Chatter { speaker, role })), None)
                }
                Err(refused) => (None, Some(refused)),
            },
        }
    }

    fn auth(&mut self, link: &Arc<Link>, address: crate::limits::AddressKey, identity: Identity) {
        let Some(slot) = self.members.find(link) else { return };
        let now_ms = clock::unix_ms();
        let is_sign_out = matches!(identity, Identity::Nobody);
        let (chatter, refused) = self.identify(now_ms, identity, address);
        let answer = match refused {
            // What was before stays as it was.
            Some(refused) => {
                self.service.metrics.refused(refused.code);
                Frame::Refused(refused)
            }
            None => {
                let you = chatter.as_ref().map(|chatter| self.rules.you(now_ms, &chatter.speaker));
                if chatter.is_some() || is_sign_out {
                    self.members.set_chatter(slot, chatter);
                }
                Frame::You { you }
            }
        };
        self.send(link, &answer);
    }

    /// A `say` or `do`.
    fn speak(
        &mut self,
        link: &Arc<Link>,
        nonce: &str,
        rule: impl FnOnce(&mut moderation::Room, u64, &Speaker) -> Outcome,
    ) {
        let Some(slot) = self.members.find(link) else { return };
        let now_ms = clock::unix_ms();
        let chatter = self.members.get(slot).and_then(|member| member.chatter.as_ref());
        let Some(chatter) = chatter.filter(|chatter| chatter.speaker.expires_ms() > now_ms) else {
            let text = "sign in to speak: there is no token, or it has expired";
            self.refuse(link, unauthenticated(nonce, text));
            return;
        };
        let outcome = rule(&mut self.rules, now_ms, &chatter.speaker);
        let account = chatter.speaker.account().to_owned();
        let awaits = outcome.awaits;
        let is_on_its_way = self.carry_out(outcome, Some((link, nonce)));
        if !is_on_its_way {
            self.rules.unsent(&account, nonce);
        }
        let key = awaits.then(|| (account, nonce.to_owned()));
        if let Some(key) = key
            && is_on_its_way
            && self.awaiting.len() < MAX_AWAITING
        {
            self.awaiting.entry(key).or_default().push(Arc::clone(link));
        }
    }

    /// True if the bus took all of it.
    fn carry_out(&mut self, outcome: Outcome, asker: Option<(&Arc<Link>, &str)>) -> bool {
        self.service.store.submit_all(outcome.ops);
        let mut is_busy = false;
        for publish in outcome.publish {
            if self.service.bus.publish(&self.shown.channel, publish).is_err() {
                is_busy = true;
                self.service.metrics.bus_full.inc();
            }
        }
        let answer = match asker {
            Some((_, nonce)) if is_busy => Some(Frame::Refused(Refused {
                nonce: nonce.to_owned(),
                code: Code::Unavailable,
                text: "too much is going on; try again".to_owned(),
                retry_ms: Some(1_000),
            })),
            _ => outcome.answer,
        };
        if let (Some((link, _)), Some(answer)) = (asker, answer) {
            if let Frame::Refused(refused) = &answer {
                self.service.metrics.refused(refused.code);
            }
            self.send(link, &answer);
        }
        for frame in outcome.moderators {
            let frame = frame::text(&json(&frame));
            let links: Vec<_> = self.members.moderators().cloned().collect();
            for link in links {
                self.push(&link, &frame);
            }
        }
        if let Some(account) = outcome.changed {
            self.changed(&account);
        }
        !is_busy
    }

    /// What the connections of an account may do has changed.
    fn changed(&mut self, account: &str) {
        let now_ms = clock::unix_ms();
        for slot in self.members.of_account(account) {
            let Some(member) = self.members.get(slot) else { continue };
            let Some(chatter) = &member.chatter else { continue };
            let role = self.rules.role(&chatter.speaker);
            let you = self.rules.you(now_ms, &chatter.speaker);
            let link = Arc::clone(&member.link);
            self.members.set_role(slot, role);
            self.send_you(&link, Some(you));
        }
    }

    /// Something came back from the bus: now it counts.
    async fn deliver(&mut self, delivery: &Delivery) {
        let mut outcome = self.rules.delivered(delivery);
        if delivery.is_decision() {
            self.service.store.submit_all(std::mem::take(&mut outcome.ops));
            // What people were told must not be undone by a crash.
            if !self.service.store.written(DECISION_WRITTEN).await {
                log::warn!(channel:% = self.shown.channel; "a decision is told before it is on the disk, which is slow or full");
            }
        }
        if let Some(event) = delivery.event() {
            let json = ring::json(&event);
            frame::append_text(&mut self.unsent, &json);
            self.unsent_events += 1;
            self.ring.push(event, json);
            self.service.metrics.events.inc();
        }
        if let Item::Note(Note::Erased { account }) = &delivery.item {
            self.ring.erase(account);
        }
        if let Some((account, nonce)) = delivery.said() {
            let key = (account.to_owned(), nonce.to_owned());
            if let Some(links) = self.awaiting.remove(&key) {
                let said = frame::text(&json(&Frame::Said { nonce: key.1, id: delivery.id }));
                self.answers.extend(links.into_iter().map(|link| (link, said.clone())));
            }
        }
        self.carry_out(outcome, None);
    }

    fn tick(&mut self) {
        let (now_ms, wall_ms) = (clock::ticks(), clock::unix_ms());
        let outcome = self.rules.tick(wall_ms);
        self.carry_out(outcome, None);
        while let Some(ended) = self.work.try_join_next() {
            if let Err(error) = ended {
                log::error!(channel:% = self.shown.channel; "a task of the room failed: {error}");
            }
        }
        let expired: Vec<usize> =
            self.members.expiries().filter(|(_, at_ms)| *at_ms <= wall_ms).map(|(slot, _)| slot).collect();
        for slot in expired {
            let link = self.members.get(slot).map(|member| Arc::clone(&member.link));
            self.members.set_chatter(slot, None);
            if let Some(link) = link {
                self.send_you(&link, None);
            }
        }
        self.sweep(now_ms);
        let counts = self.counts();
        if self.teller.is_due(counts, now_ms) {
            self.teller.told(counts, now_ms);
            frame::append_text(&mut self.unsent, &counts_json(counts));
        }
        if !self.members.is_empty() {
            self.empty_since_ms = now_ms;
        }
    }

    /// Looks after some of the connections: who is silent for too long, or too far behind, goes; the others are asked
    /// for a sign of life and get one.
    fn sweep(&mut self, now_ms: u64) {
        let config = &self.service.config.connections;
        // One round less: on a busy machine a tick is late.
        let rounds = usize::try_from(config.ping_s.saturating_sub(1)).unwrap_or(1);
        let dead_ms = config.dead_s * 1_000;
        let mut sign = BytesMut::from(frame::PING);
        frame::append_text(&mut sign, &counts_json(self.counts()));
        let sign = sign.freeze();
        for slot in self.members.sweep(rounds) {
            let Some(link) = self.members.get(slot).map(|member| Arc::clone(&member.link)) else { continue };
            if now_ms.saturating_sub(link.heard_ms()) > dead_ms {
                link.close(code::DEAD, "no sign of life", now_ms);
            }
            if link.check(now_ms) == Pushed::Gone || link.push(&sign, now_ms) == Pushed::Gone {
                self.members.remove(slot);
            }
        }
    }

    fn is_unused(&self) -> bool {
        let idle_ms = self.service.config.rooms.idle_s * 1_000;
        self.members.is_empty()
            && self.joining.is_empty()
            && self.unsent.is_empty()
            && clock::ticks().saturating_sub(self.empty_since_ms) >= idle_ms
    }

    fn counts(&self) -> Counts {
        Counts { viewers: self.members.viewers(), chatters: self.members.chatters() }
    }

    fn count(&self) {
        self.shown.set(self.counts());
    }

    async fn send_away(&mut self, Refusal(code, reason): Refusal) {
        let now_ms = clock::ticks();
        for (count, link) in self.members.links().enumerate() {
            if count % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            link.close(code, reason, now_ms);
        }
        self.members = Members::default();
        self.count();
    }

    fn refuse(&mut self, link: &Arc<Link>, refused: Refused) {
        self.service.metrics.refused(refused.code);
        self.send(link, &Frame::Refused(refused));
    }

    fn send_you(&mut self, link: &Arc<Link>, you: Option<You>) {
        self.send(link, &Frame::You { you });
    }

    fn send(&mut self, link: &Arc<Link>, frame: &Frame) {
        self.push(link, &frame::text(&json(frame)));
    }

    fn push(&mut self, link: &Arc<Link>, frame: &Bytes) {
        if link.push(frame, clock::ticks()) == Pushed::Gone
            && let Some(slot) = self.members.find(link)
        {
            self.members.remove(slot);
        }
    }

    /// Asks the fleet server again and again. At once, if what is known is from before.
    fn follow_facts(&mut self, at_once: bool) {
        let (service, shown, back) = (Arc::clone(&self.service), Arc::clone(&self.shown), self.back.clone());
        if service.fleet.is_none() {
            return;
        }
        self.work.spawn(async move {
            let Some(fleet) = &service.fleet else { return };
            let period = Duration::from_secs(service.config.rooms.facts_s);
            if !at_once {
                tokio::time::sleep(period).await;
            }
            let mut was_answered = true;
            loop {
                match fleet.ask(&shown.channel).await {
                    Ok(facts) => {
                        was_answered = true;
                        let Some(back) = back.upgrade() else { return };
                        if back.send(Command::Facts(facts)).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        if was_answered {
                            log::warn!(channel:% = shown.channel; "the fleet server does not answer: {error}");
                        }
                        was_answered = false;
                    }
                }
                tokio::time::sleep(period).await;
            }
        });
    }
}

/// For a channel of which nothing is stored. `None`: it opens without.
async fn first_facts(service: &Service, shown: &Shown) -> Result<Option<ChannelFacts>, Refusal> {
    let channel = &shown.channel;
    if let Some(fleet) = &service.fleet {
        match fleet.ask(channel).await {
            Ok(Some(facts)) => return Ok(Some(facts)),
            Ok(None) => return Err(NO_SUCH_CHANNEL),
            Err(error) => log::warn!(channel:%; "the fleet server does not answer: {error}"),
        }
    }
    match service.config.unknown_channels {
        Unknown::Allow => Ok(None),
        Unknown::Refuse => Err(NO_SUCH_CHANNEL),
    }
}

fn json(frame: &Frame) -> Vec<u8> {
    // As for events: it cannot fail.
    serde_json::to_vec(frame).unwrap_or_default()
}

fn counts_json(counts: Counts) -> Vec<u8> {
    json(&Frame::Counts { viewers: counts.viewers, chatters: counts.chatters })
}
