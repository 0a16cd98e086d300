//! Alerts, webhooks, streams, ingests and the overview: the real server and the real Mosquitto, scripted boxes, and a
//! receiver of webhooks on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]
#![allow(
    unreachable_pub,
    dead_code,
    unused_imports,
    reason = "one crate, many modules, and a fleet that others use more of"
)]

mod alerts;
mod ingests;
mod receiver;
mod site;
mod streams;
#[path = "../boxes/support/mod.rs"]
mod support;
mod webhooks;

use nodi_protocol::fleet::telemetry::{Disk, Telemetry, Uplink};

pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// Of a box that is well, with so much of its disk free.
pub fn telemetry(free_percent: u64) -> Telemetry {
    let disk = Disk { mount: "/".into(), total_bytes: 100, free_bytes: free_percent, wear: None };
    let uplink = Uplink { capacity_bps: Some(100_000_000), ..Uplink::default() };
    Telemetry {
        at_ms: now_ms(),
        cpu: Some(0.2),
        disks: vec![disk],
        uplink: Some(uplink),
        spare_sessions: Some(4),
        ..Telemetry::default()
    }
}
