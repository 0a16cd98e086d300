//! One box, as the server knows it now.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodi_protocol::fleet::desired::{Reported, Settings};
use nodi_protocol::fleet::presence::Hardware;
use nodi_protocol::fleet::session::Session;
use nodi_protocol::fleet::telemetry::Telemetry;
use nodi_protocol::{BoxId, SessionId};
use serde::{Deserialize, Serialize};

use super::presence::Presence;

/// Seconds between two telemetry messages when nobody set them.
pub const DEFAULT_TELEMETRY_S: u32 = 10;

/// Everything of one box but its history. Replaced as a whole by the registry; whoever holds one sees one moment.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its number in the telemetry tables.
    pub no: i64,
    pub id: BoxId,
    pub name: String,
    pub location: Option<Location>,
    pub notes: String,
    /// What its line carries upwards, as a person knows it, in bit/s.
    pub capacity_bps: Option<u64>,
    pub enrolled_ms: i64,
    pub revoked: Option<Revocation>,
    pub presence: Presence,
    pub boot_id: Option<String>,
    pub hardware: Arc<Hardware>,
    /// Of its software.
    pub version: String,
    pub last_seen_ms: Option<i64>,
    /// The newest, and when it was measured by the server's clock.
    pub telemetry: Option<(Arc<Telemetry>, i64)>,
    pub own_settings: Arc<Settings>,
    pub desired: Arc<Settings>,
    pub desired_version: u64,
    pub reported: Option<Arc<Reported>>,
    pub sessions: Arc<BTreeMap<SessionId, Arc<Session>>>,
    pub certificate: Option<Certificate>,
    /// That are active.
    pub alerts: u32,
}

/// Where a box stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Location {
    /// In words, such as a town or a venue.
    #[schema(max_length = 200)]
    pub name: String,
    #[schema(minimum = -90, maximum = 90)]
    pub latitude: f64,
    #[schema(minimum = -180, maximum = 180)]
    pub longitude: f64,
}

/// Why and since when a box is no longer ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Revocation {
    pub at_ms: i64,
    pub reason: String,
}

/// The newest certificate that was signed for a box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Certificate {
    /// Hexadecimal.
    pub serial: String,
    pub not_after_ms: i64,
}

impl Record {
    /// Online, or not.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.presence.online && self.revoked.is_none()
    }

    /// Seconds between two telemetry messages: the longer one while a change is on its way.
    #[must_use]
    pub fn telemetry_s(&self) -> u32 {
        let desired = self.desired.telemetry_s.unwrap_or(DEFAULT_TELEMETRY_S);
        let applied = self.reported.as_ref().and_then(|reported| reported.settings.telemetry_s);
        desired.max(applied.unwrap_or(desired))
    }

    /// What the box reported, if it is about the settings of this database.
    #[must_use]
    pub fn reported_of(&self, epoch: &str) -> Option<&Reported> {
        self.reported.as_deref().filter(|reported| reported.epoch == epoch)
    }
}
