//! Topics: built and parsed here and nowhere else.

use std::fmt;
use std::str::FromStr;

use crate::{BoxId, CommandId, SessionId};

const ROOT: &str = "nodi/v1";

/// One topic of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// What one box says or is told.
    Box(BoxId, BoxTopic),
    /// Lowest key versions, suspended channels and revoked boxes: [`crate::revocation::Revocations`].
    /// Retained, from the fleet server.
    Revocations,
    /// [`super::presence::Presence`] of the fleet server; its last will says offline. Retained.
    ServerPresence,
}

/// Below `nodi/v1/boxes/<id>/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BoxTopic {
    /// [`super::presence::Presence`], from the box and its last will. Retained.
    Presence,
    /// [`super::desired::Desired`], from the fleet server. Retained.
    Desired,
    /// [`super::desired::Reported`], from the box. Retained.
    Reported,
    /// [`super::telemetry::Telemetry`], from the box.
    Telemetry,
    /// [`super::session::Session`], from the box; retained while live, cleared at its end.
    Session(SessionId),
    /// [`super::command::Command`], from the fleet server; retained until it is over, then cleared.
    Command(CommandId),
    /// [`super::command::Status`], from the box. Retained; cleared by the box when the command was cleared.
    CommandStatus(CommandId),
    /// [`super::update::Order`], from the fleet server; retained until it is over, then cleared.
    Update,
    /// [`super::update::Report`], from the box. Retained.
    UpdateStatus,
    /// [`super::event::Event`], from the box.
    Event,
    /// [`super::event::Ack`], from the fleet server.
    EventAck,
}

/// Why a text is not a topic of the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a topic of Nodi's")]
pub struct NotATopic(pub String);

impl Topic {
    /// What a box subscribes to: its desired state, its commands, updates, and acknowledgements of its events.
    #[must_use]
    pub fn box_subscriptions(id: &BoxId) -> [String; 5] {
        [
            Self::Box(id.clone(), BoxTopic::Desired).to_string(),
            format!("{ROOT}/boxes/{id}/commands/+"),
            Self::Box(id.clone(), BoxTopic::Update).to_string(),
            Self::Box(id.clone(), BoxTopic::EventAck).to_string(),
            Self::Revocations.to_string(),
        ]
    }

    /// What the fleet server subscribes to: everything that boxes say.
    #[must_use]
    pub fn server_subscriptions() -> [String; 7] {
        ["presence", "reported", "telemetry", "sessions/+", "commands/+/status", "update/status", "events"]
            .map(|below| format!("{ROOT}/boxes/+/{below}"))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Box(id, topic) => write!(f, "{ROOT}/boxes/{id}/{topic}"),
            Self::Revocations => write!(f, "{ROOT}/fleet/revocations"),
            Self::ServerPresence => write!(f, "{ROOT}/fleet/presence"),
        }
    }
}

impl fmt::Display for BoxTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Presence => f.write_str("presence"),
            Self::Desired => f.write_str("desired"),
            Self::Reported => f.write_str("reported"),
            Self::Telemetry => f.write_str("telemetry"),
            Self::Session(session) => write!(f, "sessions/{session}"),
            Self::Command(command) => write!(f, "commands/{command}"),
            Self::CommandStatus(command) => write!(f, "commands/{command}/status"),
            Self::Update => f.write_str("update"),
            Self::UpdateStatus => f.write_str("update/status"),
            Self::Event => f.write_str("events"),
            Self::EventAck => f.write_str("events/ack"),
        }
    }
}

impl FromStr for Topic {
    type Err = NotATopic;

    fn from_str(text: &str) -> Result<Self, NotATopic> {
        parse(text).ok_or_else(|| NotATopic(text.chars().take(200).collect()))
    }
}

fn parse(text: &str) -> Option<Topic> {
    let below = text.strip_prefix(ROOT)?.strip_prefix('/')?;
    match below {
        "fleet/revocations" => return Some(Topic::Revocations),
        "fleet/presence" => return Some(Topic::ServerPresence),
        _ => {}
    }
    let (id, rest) = below.strip_prefix("boxes/")?.split_once('/')?;
    let topic = match rest {
        "presence" => BoxTopic::Presence,
        "desired" => BoxTopic::Desired,
        "reported" => BoxTopic::Reported,
        "telemetry" => BoxTopic::Telemetry,
        "update" => BoxTopic::Update,
        "update/status" => BoxTopic::UpdateStatus,
        "events" => BoxTopic::Event,
        "events/ack" => BoxTopic::EventAck,
        _ => match rest.split_once('/')? {
            ("sessions", session) => BoxTopic::Session(session.parse().ok()?),
            ("commands", command) => match command.split_once('/') {
                None => BoxTopic::Command(command.parse().ok()?),
                Some((command, "status")) => BoxTopic::CommandStatus(command.parse().ok()?),
                Some(_) => return None,
            },
            _ => return None,
        },
    };
    Some(Topic::Box(id.parse().ok()?, topic))
}
