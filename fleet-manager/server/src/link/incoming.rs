//! One message of a box.

use std::sync::Arc;

use nodi_mqtt::Received;
use nodi_protocol::fleet::Payload;
use nodi_protocol::fleet::command::Status;
use nodi_protocol::fleet::desired::Reported;
use nodi_protocol::fleet::event::Event;
use nodi_protocol::fleet::presence::Presence;
use nodi_protocol::fleet::session::Session;
use nodi_protocol::fleet::telemetry::Telemetry;
use nodi_protocol::fleet::topic::{BoxTopic, Topic};
use nodi_protocol::fleet::update::Report;
use nodi_protocol::{BoxId, SessionId};
use serde::Serialize;

use super::batch::{Batch, Item};
use super::outgoing::Key;
use crate::boxes::{Change, Record};
use crate::state::App;
use crate::telemetry::{SERIES, Sample, Which};

/// Most sessions of one box: more than any encoder carries. What comes above is not shown.
const MAX_SESSIONS: usize = 64;
/// A clock that is ahead by more is wrong, in milliseconds.
const MAX_AHEAD_MS: i64 = 300_000;

/// Takes a message. `Some`: it is about this live session.
pub(super) fn take(app: &App, message: &Received, batch: &mut Batch) -> Option<(BoxId, SessionId)> {
    let Ok(topic) = message.topic.parse::<Topic>() else {
        refuse(app, message, "not a topic of ours");
        return None;
    };
    let Topic::Box(id, topic) = topic else { return None };
    app.link.metrics.messages.get_or_create(&[("kind", kind(&topic))]).inc();
    let now_ms = app.now_ms();
    let Some(record) = app.boxes.registry.get(&id) else {
        // Of a box that was deleted, or of another database's.
        if message.retained && !message.payload.is_empty() {
            app.link.outgoing.mark(Key::Clear(message.topic.clone()));
        }
        return None;
    };
    if let BoxTopic::Desired | BoxTopic::Command(_) | BoxTopic::Update = topic {
        own(app, &id, &topic, message);
        return None;
    }
    if record.revoked.is_some() {
        return None;
    }
    match topic {
        BoxTopic::Presence => {
            if let Some(said) = read::<Presence>(app, message) {
                presence(app, &id, said, message.retained, now_ms);
            }
        }
        BoxTopic::Telemetry => {
            if let Some(telemetry) = read::<Telemetry>(app, message) {
                measured(app, &record, telemetry, batch, now_ms);
            }
        }
        BoxTopic::Session(session) => return session_said(app, &id, session, message, now_ms),
        BoxTopic::Reported => {
            if let Some(reported) = read::<Reported>(app, message) {
                batch.push(id.clone(), Item::Reported(reported));
            }
        }
        BoxTopic::CommandStatus(command) => {
            // Empty: the box has seen that the command was cleared.
            if !message.payload.is_empty()
                && let Some(status) = read::<Status>(app, message)
            {
                if status.id == command {
                    batch.push(id.clone(), Item::Status(status));
                } else {
                    refuse(app, message, "a status of another command");
                }
            }
        }
        BoxTopic::UpdateStatus => {
            // Empty: somebody cleaned up.
            if !message.payload.is_empty()
                && let Some(report) = read::<Report>(app, message)
            {
                batch.push(id.clone(), Item::Update(report));
            }
        }
        BoxTopic::Event => {
            if let Some(event) = read::<Event>(app, message) {
                batch.push(id.clone(), Item::Event(event));
            }
        }
        BoxTopic::Desired | BoxTopic::Command(_) | BoxTopic::Update | BoxTopic::EventAck => {}
    }
    // Presence says for itself; telemetry has counted already.
    if !message.retained && !matches!(topic, BoxTopic::Presence | BoxTopic::Telemetry) {
        heard(app, &id, now_ms);
    }
    None
}

fn kind(topic: &BoxTopic) -> &'static str {
    match topic {
        BoxTopic::Presence => "presence",
        BoxTopic::Desired => "desired",
        BoxTopic::Reported => "reported",
        BoxTopic::Telemetry => "telemetry",
        BoxTopic::Session(_) => "session",
        BoxTopic::Command(_) => "command",
        BoxTopic::CommandStatus(_) => "status",
        BoxTopic::Update => "update",
        BoxTopic::UpdateStatus => "update_status",
        BoxTopic::Event => "event",
        BoxTopic::EventAck => "ack",
    }
}

fn refuse(app: &App, message: &Received, why: &str) {
    app.link.metrics.refused.inc();
    // A box could fill the log.
    log::debug!(topic = message.topic.as_str(); "message not taken: {why}");
}

fn read<T: Payload>(app: &App, message: &Received) -> Option<T> {
    match T::from_json(&message.payload) {
        Ok(payload) => Some(payload),
        Err(error) => {
            refuse(app, message, &error.to_string());
            None
        }
    }
}

/// What we retained ourselves comes back with each connection: what no longer holds is cleared.
fn own(app: &App, id: &BoxId, topic: &BoxTopic, message: &Received) {
    if !message.retained || message.payload.is_empty() {
        return;
    }
    match topic {
        BoxTopic::Desired => app.link.outgoing.mark(Key::Desired(id.clone())),
        BoxTopic::Command(command) => app.link.outgoing.mark(Key::Command(id.clone(), *command)),
        BoxTopic::Update => app.link.outgoing.mark(Key::Update(id.clone())),
        _ => {}
    }
}

fn heard(app: &App, id: &BoxId, now_ms: i64) {
    let came = app.boxes.registry.update(id, now_ms, |record| {
        let before = record.presence.online;
        record.presence.heard(now_ms);
        record.last_seen_ms = Some(now_ms);
        record.presence.online != before
    });
    if came == Some(true) {
        log::info!(box_id:% = id; "box is heard again");
        app.link.seen_changed(id.clone());
    }
}

fn presence(app: &App, id: &BoxId, said: Presence, retained: bool, now_ms: i64) {
    let before = app.boxes.registry.update(id, now_ms, |record| {
        let before = record.presence;
        record.presence.said(&said, now_ms);
        if said.connection >= before.connection {
            record.boot_id = Some(said.boot_id.chars().take(64).collect());
            record.version = said.version.chars().filter(|char| !char.is_control()).take(64).collect();
            if let Some(hardware) = said.hardware {
                record.hardware = Arc::new(hardware);
            }
        }
        if !retained {
            record.last_seen_ms = Some(now_ms);
        }
        (before.online, record.presence.online)
    });
    match before {
        Some((false, true)) => log::info!(box_id:% = id; "box is online"),
        Some((true, false)) => log::info!(box_id:% = id; "box is offline"),
        _ => {}
    }
    app.link.seen_changed(id.clone());
}

/// A point of a box's charts, for those who look at them.
#[derive(Serialize)]
struct Point<'a> {
    box_id: &'a BoxId,
    at_ms: i64,
    values: Values,
}

#[derive(Serialize)]
struct Values {
    cpu: Option<f32>,
    gpu: Option<f32>,
    encoder: Option<f32>,
    temperature_c: Option<f32>,
    memory_used: Option<f32>,
    disk_used: Option<f32>,
    uplink_sent_bps: Option<f32>,
    uplink_lag_ms: Option<f32>,
    clock_offset_ms: Option<f32>,
    sessions: Option<f32>,
}

const _: () = assert!(SERIES == 10, "Values has to name every series");

impl Values {
    fn of(sample: &Sample) -> Self {
        Self {
            cpu: sample.get(Which::Cpu),
            gpu: sample.get(Which::Gpu),
            encoder: sample.get(Which::Encoder),
            temperature_c: sample.get(Which::TemperatureC),
            memory_used: sample.get(Which::MemoryUsed),
            disk_used: sample.get(Which::DiskUsed),
            uplink_sent_bps: sample.get(Which::UplinkSentBps),
            uplink_lag_ms: sample.get(Which::UplinkLagMs),
            clock_offset_ms: sample.get(Which::ClockOffsetMs),
            sessions: sample.get(Which::Sessions),
        }
    }
}

fn measured(app: &App, record: &Record, telemetry: Telemetry, batch: &mut Batch, now_ms: i64) {
    let id = &record.id;
    let at_ms = i64::try_from(telemetry.at_ms).unwrap_or(i64::MAX);
    // A box whose clock runs ahead is drawn as of now.
    let at_ms = if at_ms > now_ms + MAX_AHEAD_MS { now_ms } else { at_ms };
    let sample = Sample::of(&telemetry, at_ms);
    if app.telemetry.add(record.no, sample, now_ms) {
        batch.sample(record.no, sample);
    }
    let (came, newest) = app
        .boxes
        .registry
        .update(id, now_ms, |record| {
            let before = record.presence.online;
            record.presence.heard(now_ms);
            record.last_seen_ms = Some(now_ms);
            // What was measured while the box was offline comes later than what is new.
            let newest =
                record.telemetry.as_ref().is_none_or(|(_, newest)| at_ms >= *newest || *newest > now_ms);
            if newest {
                record.telemetry = Some((Arc::new(telemetry), at_ms));
            }
            (record.presence.online != before, newest)
        })
        .unwrap_or((false, false));
    if came {
        log::info!(box_id:% = id; "box is heard again");
        app.link.seen_changed(id.clone());
    }
    if newest {
        app.live.telemetry(id, || Point { box_id: id, at_ms, values: Values::of(&sample) });
    }
}

fn session_said(
    app: &App,
    id: &BoxId,
    session: SessionId,
    message: &Received,
    now_ms: i64,
) -> Option<(BoxId, SessionId)> {
    let registry = &app.boxes.registry;
    if message.payload.is_empty() {
        let ended =
            registry.update(id, now_ms, |record| Arc::make_mut(&mut record.sessions).remove(&session))?;
        if let Some(ended) = ended {
            registry.tell(Change::SessionEnded(id.clone(), ended));
        }
        heard(app, id, now_ms);
        return None;
    }
    let report = read::<Session>(app, message)?;
    if report.session != session {
        refuse(app, message, "a report of another session");
        return None;
    }
    let report = Arc::new(report);
    let kept = Arc::clone(&report);
    let taken = registry.update(id, now_ms, |record| {
        let sessions = Arc::make_mut(&mut record.sessions);
        let room = sessions.len() < MAX_SESSIONS || sessions.contains_key(&session);
        if room {
            sessions.insert(session, kept);
        }
        room
    });
    if taken != Some(true) {
        refuse(app, message, "too many sessions of this box");
        return None;
    }
    registry.tell(Change::Session(id.clone(), report));
    if !message.retained {
        heard(app, id, now_ms);
    }
    Some((id.clone(), session))
}
