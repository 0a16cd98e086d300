//! One simulated box: everything that the fleet's contract asks of a box, and nothing behind it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nodi_mqtt::{Attempt, BoxError, Link, Message, Prepare, Received};
use nodi_protocol::fleet::Payload;
use nodi_protocol::fleet::command::{Command, State, Status};
use nodi_protocol::fleet::desired::{Desired, Reported, Settings};
use nodi_protocol::fleet::event::{Ack, Event, What};
use nodi_protocol::fleet::presence::Presence;
use nodi_protocol::fleet::session::{self, Session};
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::fleet::update;
use nodi_protocol::{BoxId, CommandId, SessionId};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::enrol::Identity;
use super::random::Random;
use super::update::{Done, Software};
use super::vitals::{self, Vitals};
use super::{Behaviour, Counters};

const VERSION: &str = "0.1.0-sim";
/// Shortest time between two steps of a command.
const STEP: Duration = Duration::from_millis(500);
/// Between two reports of a live session, as the agent's default.
const REPORT: Duration = Duration::from_secs(5);
/// Most events that wait for their acknowledgement.
const MOST_EVENTS: usize = 32;
/// Finished commands are remembered by id, as on a real box.
const MOST_SEEN: usize = 64;
const GOODBYE: Duration = Duration::from_secs(5);

/// What the simulator has a box do.
pub(crate) enum Order {
    /// The connection is closed without a goodbye, for so long.
    Cut(Duration),
    /// The box is silent and its connection stays: the power is gone.
    Hang(oneshot::Sender<()>),
    /// Says goodbye and ends.
    Stop,
}

/// How one life of the connection ended.
enum Fate {
    Away(Duration),
    /// For another version: with another boot id.
    Rebooting(Duration),
    Hung(Held),
    Stopped,
}

/// A connection that stays open and is not driven any more.
struct Held {
    _driving: Driving,
    _link: Link,
    _events: mpsc::Receiver<nodi_mqtt::Event>,
}

pub(crate) struct Device {
    pub(crate) identity: Identity,
    pub(crate) index: usize,
    pub(crate) random: Random,
    pub(crate) behaviour: Behaviour,
    pub(crate) counters: Arc<Counters>,
    pub(crate) orders: mpsc::Receiver<Order>,
}

/// What survives a lost connection.
struct Memory {
    vitals: Vitals,
    boot_id: String,
    software: Software,
    /// The box goes away for so long, for an update.
    reboots: Option<Duration>,
    reported: Reported,
    sessions: BTreeMap<SessionId, (Session, Instant)>,
    /// Commands that are under way, with the state that comes next and when.
    commands: BTreeMap<CommandId, (State, Instant)>,
    seen: VecDeque<CommandId>,
    journal: String,
    last_event: u64,
    events: VecDeque<Event>,
    next_telemetry: Instant,
    next_report: Instant,
}

/// Will and birth name the connection that they belong to.
struct Names {
    identity: Identity,
    index: usize,
    boot_id: String,
    version: String,
    connection: Arc<AtomicU64>,
}

impl Prepare for Names {
    async fn prepare(&mut self) -> Result<Attempt, BoxError> {
        let mut presence = Presence {
            online: false,
            boot_id: self.boot_id.clone(),
            connection: self.connection.fetch_add(1, Ordering::Relaxed) + 1,
            version: self.version.clone(),
            at_ms: now_ms(),
            hardware: Some(vitals::hardware(self.index)),
        };
        let topic = topic(&self.identity.id, BoxTopic::Presence);
        let will = Message::retained(topic.clone(), presence.to_json()?);
        presence.online = true;
        let birth = Message::retained(topic, presence.to_json()?);
        let Identity { host, port, tls, .. } = &self.identity;
        Ok(Attempt {
            will: Some(will),
            birth: Some(birth),
            ..Attempt::new(host.clone(), *port, Arc::clone(tls))
        })
    }
}

impl Device {
    pub(crate) async fn run(mut self) {
        let now = Instant::now();
        let mut memory = Memory {
            vitals: Vitals::new(&mut self.random),
            boot_id: format!("{:032x}", self.random.wide()),
            software: Software::new(VERSION),
            reboots: None,
            reported: Reported {
                applied: 0,
                epoch: String::new(),
                settings: Settings::default(),
                rejected: None,
                pending: Vec::new(),
                at_ms: now_ms(),
            },
            sessions: BTreeMap::new(),
            commands: BTreeMap::new(),
            seen: VecDeque::new(),
            journal: format!("{:032x}", self.random.wide()),
            last_event: 0,
            events: VecDeque::new(),
            // Spread over the interval, as boxes that were not switched on by one switch are.
            next_telemetry: now + self.behaviour.telemetry.mul_f32(self.random.share()),
            next_report: now + REPORT.mul_f32(self.random.share()),
        };
        memory.happened(What::Booted { boot_id: memory.boot_id.clone(), version: VERSION.to_owned() });
        if self.random.chance(self.behaviour.live) {
            self.go_live(&mut memory, now);
        }
        let connection = Arc::new(AtomicU64::new(0));
        loop {
            match self.connect(&mut memory, &connection).await {
                Fate::Away(pause) => {
                    self.counters.flaps.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
                Fate::Rebooting(pause) => {
                    tokio::time::sleep(pause).await;
                    memory.boot_id = format!("{:032x}", self.random.wide());
                    let version = memory.software.running().to_owned();
                    memory.happened(What::Booted { boot_id: memory.boot_id.clone(), version });
                }
                Fate::Hung(_held) => std::future::pending().await,
                Fate::Stopped => return,
            }
        }
    }

    /// One link from its first attempt until the box goes away.
    async fn connect(&mut self, memory: &mut Memory, connection: &Arc<AtomicU64>) -> Fate {
        let mut options = nodi_mqtt::Options::new(self.identity.id.to_string());
        options.subscriptions = Topic::box_subscriptions(&self.identity.id).to_vec();
        let names = Names {
            identity: self.identity.clone(),
            index: self.index,
            boot_id: memory.boot_id.clone(),
            version: memory.software.running().to_owned(),
            connection: Arc::clone(connection),
        };
        let (link, mut events, driver) = nodi_mqtt::open(options, names);
        let (hang, hung) = oneshot::channel();
        let driving = tokio::spawn(async move {
            let mut run = std::pin::pin!(driver.run());
            tokio::select! {
                () = &mut run => {}
                // Not driven and not dropped: the sockets stay open and nothing comes from them.
                Ok(()) = hung => std::future::pending().await,
            }
        });
        let driving = Driving(driving.abort_handle());
        let mut next_flap = self.next_flap();
        let mut online = false;
        let fate = loop {
            let next = memory.next_due();
            tokio::select! {
                event = events.recv() => match event {
                    None => break Fate::Away(Duration::ZERO),
                    Some(nodi_mqtt::Event::Connected { .. }) => {
                        online = true;
                        self.counters.connections.fetch_add(1, Ordering::Relaxed);
                        self.counters.online.fetch_add(1, Ordering::Relaxed);
                        self.tell_everything(&link, memory).await;
                    }
                    Some(nodi_mqtt::Event::Disconnected(why)) => {
                        log::debug!("{}: {why}", self.identity.id);
                        self.offline(&mut online);
                    }
                    Some(nodi_mqtt::Event::Message(message)) => self.hear(&link, memory, &message).await,
                    Some(nodi_mqtt::Event::Refused { what, reason }) => {
                        self.counters.refused.fetch_add(1, Ordering::Relaxed);
                        log::warn!("{}: {what}: {reason}", self.identity.id);
                    }
                },
                () = sleep_until(next), if online => {
                    self.due(&link, memory).await;
                    if let Some(pause) = memory.reboots.take() {
                        break Fate::Rebooting(pause);
                    }
                }
                () = sleep_until(next_flap) => break Fate::Away(self.flap_pause()),
                order = self.orders.recv() => match order {
                    Some(Order::Cut(pause)) => break Fate::Away(pause),
                    Some(Order::Hang(done)) => {
                        let _ = hang.send(());
                        let _ = done.send(());
                        self.offline(&mut online);
                        break Fate::Hung(Held { _driving: driving, _link: link, _events: events });
                    }
                    Some(Order::Stop) | None => {
                        self.goodbye(&link, memory, connection).await;
                        break Fate::Stopped;
                    }
                },
            }
            if next_flap <= Instant::now() {
                next_flap = self.next_flap();
            }
        };
        self.offline(&mut online);
        fate
    }

    fn offline(&self, online: &mut bool) {
        if std::mem::take(online) {
            self.counters.online.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn next_flap(&mut self) -> Instant {
        let in_s = if self.behaviour.flaps(self.index) { self.random.between(20.0, 60.0) } else { 1e8 };
        Instant::now() + Duration::from_secs_f32(in_s)
    }

    fn flap_pause(&mut self) -> Duration {
        Duration::from_secs_f32(self.random.between(5.0, 25.0))
    }

    /// After each connection: what the broker may not have, or may have from a former life.
    async fn tell_everything(&self, link: &Link, memory: &Memory) {
        self.say(link, BoxTopic::Reported, &memory.reported, true).await;
        for (session, (report, _)) in &memory.sessions {
            self.say(link, BoxTopic::Session(*session), report, true).await;
        }
        if let Some(report) = memory.software.last() {
            self.say(link, BoxTopic::UpdateStatus, report, true).await;
        }
        for event in &memory.events {
            self.say(link, BoxTopic::Event, event, false).await;
        }
    }

    async fn hear(&mut self, link: &Link, memory: &mut Memory, message: &Received) {
        let Ok(Topic::Box(_, topic)) = message.topic.parse() else { return };
        match topic {
            BoxTopic::Desired => {
                if let Ok(desired) = Desired::from_json(&message.payload) {
                    memory.obey(desired);
                    self.counters.applied.fetch_add(1, Ordering::Relaxed);
                    self.say(link, BoxTopic::Reported, &memory.reported, true).await;
                }
            }
            BoxTopic::Command(id) if message.payload.is_empty() => {
                memory.commands.remove(&id);
                self.send(link, Message::retained(self.topic(BoxTopic::CommandStatus(id)), Vec::new())).await;
            }
            BoxTopic::Command(id) => {
                if let Ok(command) = Command::from_json(&message.payload)
                    && memory.is_new(id)
                {
                    let state = if now_ms() > command.expires_ms { State::Expired } else { State::Accepted };
                    self.answer(link, memory, id, state).await;
                    if state == State::Accepted {
                        memory.commands.insert(id, (State::Running, Instant::now() + STEP));
                    }
                }
            }
            BoxTopic::Update => {
                let report = if message.payload.is_empty() {
                    memory.software.withdraw(&memory.boot_id)
                } else {
                    let order = update::Order::from_json(&message.payload).ok();
                    order.and_then(|order| memory.software.take(order, &memory.boot_id))
                };
                if let Some(report) = report {
                    self.say(link, BoxTopic::UpdateStatus, &report, true).await;
                }
            }
            BoxTopic::EventAck => {
                if let Ok(ack) = Ack::from_json(&message.payload)
                    && ack.journal == memory.journal
                {
                    memory.events.retain(|event| event.seq > ack.through);
                }
            }
            _ => {}
        }
    }

    /// Everything whose time has come.
    async fn due(&mut self, link: &Link, memory: &mut Memory) {
        let now = Instant::now();
        let steps: Vec<(CommandId, State)> = memory
            .commands
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(id, (state, _))| (*id, *state))
            .collect();
        for (id, state) in steps {
            self.answer(link, memory, id, state).await;
            if state == State::Running {
                let pause = STEP + STEP.mul_f32(4.0 * self.random.share());
                memory.commands.insert(id, (State::Succeeded, now + pause));
            } else {
                self.counters.commands.fetch_add(1, Ordering::Relaxed);
                memory.commands.remove(&id);
            }
        }
        self.update(link, memory, now).await;
        if memory.next_telemetry <= now {
            self.measure(link, memory, now).await;
        }
        if memory.next_report <= now {
            memory.next_report = now + REPORT;
            self.report_sessions(link, memory).await;
        }
    }

    async fn update(&mut self, link: &Link, memory: &mut Memory, now: Instant) {
        let live = memory.sessions.len();
        let Some(done) = memory.software.step(
            now,
            live,
            &memory.boot_id,
            &mut self.random,
            self.behaviour.update_failures,
        ) else {
            return;
        };
        match done {
            Done::Said(report) => self.say(link, BoxTopic::UpdateStatus, &*report, true).await,
            Done::Reboots(report, away) => {
                self.say(link, BoxTopic::UpdateStatus, &*report, true).await;
                // Nothing goes on through a reboot.
                for id in std::mem::take(&mut memory.sessions).into_keys() {
                    self.send(link, Message::retained(self.topic(BoxTopic::Session(id)), Vec::new())).await;
                }
                memory.reboots = Some(away);
            }
            Done::Ended(report) => {
                memory.happened(What::UpdateEnded {
                    update: report.id,
                    state: report.state,
                    from: report.from.clone(),
                    to: report.to.clone(),
                    message: report.message.clone(),
                });
                self.say(link, BoxTopic::UpdateStatus, &*report, true).await;
                self.tell_newest_event(link, memory).await;
            }
        }
    }

    async fn measure(&mut self, link: &Link, memory: &mut Memory, now: Instant) {
        let every = memory
            .reported
            .settings
            .telemetry_s
            .map_or(self.behaviour.telemetry, |seconds| Duration::from_secs(seconds.into()));
        memory.next_telemetry = now + every.mul_f32(self.random.between(0.95, 1.05));
        self.change_sessions(link, memory, now).await;
        let sessions = u32::try_from(memory.sessions.len()).unwrap_or(u32::MAX);
        let telemetry = memory.vitals.next(&mut self.random, now_ms(), every.as_secs_f32(), sessions);
        self.say(link, BoxTopic::Telemetry, &telemetry, false).await;
        self.counters.telemetry.fetch_add(1, Ordering::Relaxed);
    }

    async fn report_sessions(&mut self, link: &Link, memory: &mut Memory) {
        for (id, (report, started)) in &mut memory.sessions {
            report.at_ms = now_ms();
            report.live_s = started.elapsed().as_secs_f64();
            report.input.bitrate_bps = 5_800_000 + self.random.next() % 400_000;
            self.say(link, BoxTopic::Session(*id), report, true).await;
        }
    }

    /// Streams come and go so that about the wished share of boxes has one.
    async fn change_sessions(&mut self, link: &Link, memory: &mut Memory, now: Instant) {
        const MEAN_TICKS: f32 = 60.0;
        let share = self.behaviour.live.clamp(0.0, 0.9);
        if let Some(id) = memory.sessions.keys().next().copied() {
            if self.random.chance(1.0 / MEAN_TICKS) {
                let ended = memory.sessions.remove(&id);
                self.send(link, Message::retained(self.topic(BoxTopic::Session(id)), Vec::new())).await;
                if let Some((report, started)) = ended {
                    memory.happened(What::SessionEnded {
                        session: id,
                        channel: report.channel,
                        reason: "the publisher left".to_owned(),
                        seconds: started.elapsed().as_secs(),
                        received_bytes: 750_000 * started.elapsed().as_secs(),
                    });
                    self.tell_newest_event(link, memory).await;
                }
            }
        } else if self.random.chance(share / (1.0 - share) / MEAN_TICKS) {
            self.go_live(memory, now);
            self.tell_newest_event(link, memory).await;
        }
    }

    fn go_live(&mut self, memory: &mut Memory, now: Instant) {
        let session = SessionId::new(now_ms(), self.random.wide());
        let report = live_session(session, self.index);
        memory.happened(What::SessionStarted {
            session,
            channel: report.channel.clone(),
            encoder: report.encoder.clone(),
        });
        memory.sessions.insert(session, (report, now));
    }

    async fn tell_newest_event(&self, link: &Link, memory: &Memory) {
        if let Some(event) = memory.events.back() {
            self.say(link, BoxTopic::Event, event, false).await;
        }
    }

    async fn answer(&self, link: &Link, memory: &Memory, id: CommandId, state: State) {
        let status = Status {
            id,
            state,
            progress: None,
            message: String::new(),
            result: None,
            boot_id: memory.boot_id.clone(),
            at_ms: now_ms(),
        };
        self.say(link, BoxTopic::CommandStatus(id), &status, true).await;
    }

    async fn goodbye(&self, link: &Link, memory: &Memory, connection: &AtomicU64) {
        let presence = Presence {
            online: false,
            boot_id: memory.boot_id.clone(),
            connection: connection.load(Ordering::Relaxed),
            version: memory.software.running().to_owned(),
            at_ms: now_ms(),
            hardware: None,
        };
        let last = presence.to_json().map(|json| Message::retained(self.topic(BoxTopic::Presence), json));
        link.close(last.into_iter().collect(), GOODBYE).await;
    }

    async fn say<T: Payload>(&self, link: &Link, below: BoxTopic, payload: &T, retain: bool) {
        match payload.to_json() {
            Ok(json) => {
                let message = Message { topic: self.topic(below), payload: json.into(), retain };
                self.send(link, message).await;
            }
            Err(error) => log::error!("{}: {error}", self.identity.id),
        }
    }

    async fn send(&self, link: &Link, message: Message) {
        let bytes = u64::try_from(message.payload.len()).unwrap_or(0);
        match link.publish(message).await {
            Ok(()) => {
                self.counters.published.fetch_add(1, Ordering::Relaxed);
                self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            // What matters is said again after the next connection.
            Err(error) if error.is_transient() => {}
            Err(error) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                log::warn!("{}: {error}", self.identity.id);
            }
        }
    }

    fn topic(&self, below: BoxTopic) -> String {
        topic(&self.identity.id, below)
    }
}

impl Memory {
    fn next_due(&self) -> Instant {
        let report = if self.sessions.is_empty() { None } else { Some(self.next_report) };
        let commands = self.commands.values().map(|(_, at)| *at);
        commands.chain(report).chain(self.software.next()).fold(self.next_telemetry, Instant::min)
    }

    fn obey(&mut self, desired: Desired) {
        let stale = desired.epoch == self.reported.epoch && desired.version < self.reported.applied;
        if !stale {
            self.reported.applied = desired.version;
            self.reported.epoch = desired.epoch;
            self.reported.settings = desired.settings;
        }
        self.reported.at_ms = now_ms();
    }

    /// Remembers the id; false if it was seen before.
    fn is_new(&mut self, id: CommandId) -> bool {
        if self.seen.contains(&id) {
            return false;
        }
        self.seen.push_back(id);
        if self.seen.len() > MOST_SEEN {
            self.seen.pop_front();
        }
        true
    }

    fn happened(&mut self, what: What) {
        self.last_event += 1;
        self.events.push_back(Event {
            seq: self.last_event,
            journal: self.journal.clone(),
            at_ms: now_ms(),
            what,
        });
        if self.events.len() > MOST_EVENTS {
            self.events.pop_front();
        }
    }
}

fn live_session(session: SessionId, index: usize) -> Session {
    let rung = |name: &str, (width, height), bitrate_bps| session::Rung {
        #[allow(clippy::expect_used, reason = "a literal")]
        name: name.parse().expect("a rendition's name"),
        width,
        height,
        state: "active".to_owned(),
        fps: 30.0,
        bitrate_bps,
        frames: 0,
        dropped: 0,
    };
    #[allow(clippy::expect_used, reason = "digits in a name")]
    let channel = format!("sim-{index}").parse().expect("a channel id");
    Session {
        session,
        channel,
        encoder: "obs-output module (libobs version 30.2.0)".to_owned(),
        transport: "rtmps".to_owned(),
        peer: "203.0.113.7:51234".to_owned(),
        at_ms: now_ms(),
        live_s: 0.0,
        input: session::Input {
            bitrate_bps: 6_000_000,
            video_codec: Some("H.264".to_owned()),
            width: Some(1920),
            height: Some(1080),
            fps: Some(30.0),
            key_frame_interval_s: Some(2.0),
            audio_codec: Some("AAC".to_owned()),
            sample_rate: Some(48_000),
            channels: Some(2),
            av_skew_ms: Some(12),
            ..session::Input::default()
        },
        ladder: Some(session::Ladder {
            backend: "jetson".to_owned(),
            speed: 1.0,
            lag_ms: 35,
            overload: "none".to_owned(),
            worker: 0,
            rungs: vec![
                rung("1080p", (1920, 1080), 6_000_000),
                rung("720p", (1280, 720), 3_000_000),
                rung("360p", (640, 360), 800_000),
            ],
        }),
        uplink: Some(session::UplinkOf { connected: true, lag_ms: 80, backlog: 0 }),
        warnings: Vec::new(),
    }
}

/// Ends the link's task with the connection's owner.
struct Driving(AbortHandle);

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn topic(id: &BoxId, below: BoxTopic) -> String {
    Topic::Box(id.clone(), below).to_string()
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
