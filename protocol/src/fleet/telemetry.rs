//! How a box does, every few seconds. Everything that a box cannot tell is absent, never 0.

use serde::{Deserialize, Serialize};

/// On `boxes/<id>/telemetry`. Measured while there was no connection, it is sent later: newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Telemetry {
    /// When it was measured, by the box's clock, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub uptime_s: u64,
    /// Share of all cores that was busy, 0 to 1.
    pub cpu: Option<f32>,
    /// 0 to 1.
    pub gpu: Option<f32>,
    /// Of the video encoder's capacity, 0 to 1: its clock's share of time where the hardware tells, the ladder's share of
    /// what was calibrated where not.
    pub encoder: Option<f32>,
    pub load_1m: Option<f32>,
    pub memory: Option<Memory>,
    pub temperatures: Vec<Temperature>,
    /// What holds the clocks down, in the kernel's words; empty: nothing does.
    pub throttling: Vec<String>,
    /// In watts.
    pub power_w: Option<f32>,
    pub disks: Vec<Disk>,
    pub interfaces: Vec<Interface>,
    pub uplink: Option<Uplink>,
    /// This box's clock less the true time, in milliseconds, where the time service tells.
    pub clock_offset_ms: Option<f32>,
    pub clock_synchronised: Option<bool>,
    pub processes: Vec<ProcessHealth>,
    pub sessions: u32,
    /// How many more sessions of the full ladder the encoder carries.
    pub spare_sessions: Option<u32>,
    pub outbox: Option<Outbox>,
    /// End of the box certificate's validity, in milliseconds since the Unix epoch.
    pub certificate_not_after_ms: Option<u64>,
}

/// In bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Memory {
    pub total: u64,
    pub available: u64,
    pub swap_total: u64,
    pub swap_free: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Temperature {
    /// The kernel's name of the zone, such as `tj-thermal`.
    pub zone: String,
    pub celsius: f32,
    /// At which the kernel starts to throttle for it.
    pub throttles_at: Option<f32>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Disk {
    /// Where it is mounted.
    pub mount: String,
    pub total_bytes: u64,
    /// To an unprivileged user.
    pub free_bytes: u64,
    /// Share of its rated life that is used up, 0 to 1 and beyond.
    pub wear: Option<f32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Interface {
    pub name: String,
    pub up: bool,
    pub speed_mbps: Option<u32>,
    pub received_bps: u64,
    pub sent_bps: u64,
    /// Received and sent together, since it came up.
    pub errors: u64,
}

/// All targets together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Uplink {
    pub sent_bps: u64,
    /// Of the worst session.
    pub lag_ms: u64,
    /// Segments that still have to go out.
    pub backlog: u64,
    /// Rate that the line was last seen to carry: by measurement, or the highest sustained one.
    pub capacity_bps: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ProcessHealth {
    /// `ingest`, `uplink`, `agent`, `transcode`.
    pub name: String,
    pub running: bool,
    /// Since boot.
    pub restarts: u64,
    pub memory_bytes: u64,
    /// Of one core, 0 to the number of cores.
    pub cpu: f32,
}

/// What waits on the box for the broker, and what was given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Outbox {
    pub waiting: u64,
    pub bytes: u64,
    /// Since the box was set up.
    pub dropped: u64,
}
