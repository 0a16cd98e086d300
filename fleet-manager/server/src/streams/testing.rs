//! A box and a session for tests of what looks at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodi_protocol::SessionId;
use nodi_protocol::fleet::desired::Settings;
use nodi_protocol::fleet::presence::Hardware;
use nodi_protocol::fleet::session::{Input, Session};

use crate::boxes::{Presence, Record};

/// One that is online and says nothing else.
pub(crate) fn record(id: &str) -> Record {
    Record {
        no: 1,
        id: id.parse().unwrap(),
        name: id.to_uppercase(),
        location: None,
        notes: String::new(),
        capacity_bps: None,
        enrolled_ms: 0,
        revoked: None,
        presence: Presence::restored(true, 1, 0),
        boot_id: None,
        hardware: Arc::new(Hardware::default()),
        version: "0.1.0".to_owned(),
        last_seen_ms: Some(0),
        telemetry: None,
        own_settings: Arc::new(Settings::default()),
        desired: Arc::new(Settings::default()),
        desired_version: 1,
        reported: None,
        sessions: Arc::new(BTreeMap::new()),
        certificate: None,
        alerts: 0,
    }
}

/// One that is well.
pub(crate) fn session(channel: &str) -> Session {
    Session {
        session: SessionId::new(1_763_826_000_000, 7),
        channel: channel.parse().unwrap(),
        encoder: "obs-output module (libobs version 30.2.3)".to_owned(),
        transport: "rtmps".to_owned(),
        peer: "192.0.2.7:40001".to_owned(),
        at_ms: 1_763_826_060_000,
        live_s: 60.0,
        input: Input::default(),
        ladder: None,
        uplink: None,
        warnings: Vec::new(),
    }
}
