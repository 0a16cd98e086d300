//! What a simulated box measures: values that move as those of an Orin NX on a roof do, each from the one before.

use nodi_protocol::fleet::presence::Hardware;
use nodi_protocol::fleet::telemetry::{
    Disk, Interface, Memory, Outbox, ProcessHealth, Telemetry, Temperature, Uplink,
};

use super::random::Random;

const MEMORY: u64 = 16 << 30;
const DISK: u64 = 256_000_000_000;
/// What one session of the default ladder sends.
const LADDER_BPS: u64 = 10_200_000;
/// Sessions of the full ladder that the encoder carries.
pub(crate) const CAPACITY: u32 = 3;
const CORES: u32 = 8;

/// The state behind the measurements.
#[derive(Debug)]
pub(crate) struct Vitals {
    ambient: f32,
    cpu: f32,
    junction: f32,
    disk_free: u64,
    clock_offset_ms: f32,
    uptime_s: f32,
    /// Rate that the line carries.
    line_bps: u64,
}

impl Vitals {
    pub(crate) fn new(random: &mut Random) -> Self {
        let ambient = random.between(8.0, 38.0);
        Self {
            ambient,
            cpu: random.between(0.04, 0.12),
            junction: ambient + 12.0,
            disk_free: whole(random.between(40e9, 220e9)),
            clock_offset_ms: random.between(-3.0, 3.0),
            uptime_s: random.between(600.0, 3e6),
            line_bps: whole(random.between(20e6, 200e6)),
        }
    }

    /// The next measurement, `interval_s` after the one before.
    pub(crate) fn next(
        &mut self,
        random: &mut Random,
        at_ms: u64,
        interval_s: f32,
        sessions: u32,
    ) -> Telemetry {
        self.uptime_s += interval_s;
        #[allow(clippy::cast_precision_loss, reason = "a handful of sessions")]
        let busy = sessions as f32 / CAPACITY as f32;
        self.cpu = toward(self.cpu, 0.07 + 0.55 * busy, 0.4, random.between(-0.02, 0.02)).clamp(0.01, 1.0);
        let warm = self.ambient + 12.0 + 38.0 * self.cpu;
        self.junction = toward(self.junction, warm, 0.15, random.between(-0.3, 0.3));
        self.clock_offset_ms = toward(self.clock_offset_ms, 0.0, 0.1, random.between(-0.4, 0.4));
        let encoder = (busy + random.between(-0.02, 0.02)).clamp(0.0, 1.0);
        let sent = scaled(LADDER_BPS * u64::from(sessions), random.between(0.95, 1.05));
        if sessions > 0 {
            self.disk_free = self.disk_free.saturating_sub(sent / 80).max(20_000_000_000);
        }
        let zone = |zone: &str, celsius: f32| Temperature {
            zone: zone.to_owned(),
            celsius: (celsius * 10.0).round() / 10.0,
            throttles_at: Some(99.0),
        };
        let process = |name: &str, cpu: f32, mebibytes: u64| ProcessHealth {
            name: name.to_owned(),
            running: true,
            restarts: 0,
            memory_bytes: mebibytes << 20,
            cpu,
        };
        Telemetry {
            at_ms,
            uptime_s: whole(self.uptime_s),
            cpu: Some(self.cpu),
            gpu: Some((0.4 * busy + random.between(0.0, 0.02)).clamp(0.0, 1.0)),
            encoder: Some(encoder),
            load_1m: Some(self.cpu * 8.0),
            memory: Some(Memory {
                total: MEMORY,
                available: scaled(MEMORY, random.between(0.58, 0.6) - 0.15 * busy),
                swap_total: 0,
                swap_free: 0,
            }),
            temperatures: vec![
                zone("cpu-thermal", self.junction - 0.6),
                zone("gpu-thermal", self.junction - 1.5),
                zone("soc0-thermal", self.junction - 2.0),
                zone("tj-thermal", self.junction),
            ],
            throttling: Vec::new(),
            power_w: Some(6.5 + 9.0 * self.cpu + 3.0 * busy),
            disks: vec![Disk {
                mount: "/".to_owned(),
                total_bytes: DISK,
                free_bytes: self.disk_free,
                wear: Some(0.03),
            }],
            interfaces: vec![Interface {
                name: "eth0".to_owned(),
                up: true,
                speed_mbps: Some(1_000),
                received_bps: scaled(6_200_000 * u64::from(sessions), random.between(0.97, 1.03)) + 2_000,
                sent_bps: sent + 3_000,
                errors: 0,
            }],
            uplink: Some(Uplink {
                sent_bps: sent,
                lag_ms: if sessions > 0 { whole(random.between(40.0, 160.0)) } else { 0 },
                backlog: 0,
                capacity_bps: Some(self.line_bps),
            }),
            clock_offset_ms: Some(self.clock_offset_ms),
            clock_synchronised: Some(true),
            processes: vec![
                process("ingest", 0.01 + 0.02 * busy, 14),
                process("uplink", 0.01 + 0.03 * busy, 22),
                process("agent", 0.004, 17),
            ],
            sessions,
            spare_sessions: Some(CAPACITY.saturating_sub(sessions)),
            outbox: Some(Outbox { waiting: 0, bytes: 0, dropped: 0 }),
            certificate_not_after_ms: None,
        }
    }
}

pub(crate) fn hardware(index: usize) -> Hardware {
    Hardware {
        model: "NVIDIA Jetson Orin NX (simulated)".to_owned(),
        serial: format!("SIM{index:08}"),
        architecture: "aarch64".to_owned(),
        cores: CORES,
        memory_bytes: MEMORY,
        encoder: "jetson".to_owned(),
        os: "Nodi 0.1".to_owned(),
        kernel: "5.15.148-tegra".to_owned(),
        l4t: Some("36.4.4".to_owned()),
        compatible: Some("nodi-p3768-0000-p3767-0000-l4t-r39.2".to_owned()),
        rtmp_url: Some(format!("rtmp://box-{index}.sim.invalid:1935/live")),
        rtmps_url: Some(format!("rtmps://box-{index}.sim.invalid:1936/live")),
    }
}

/// A step of a first-order lag, and some noise.
fn toward(value: f32, target: f32, share: f32, noise: f32) -> f32 {
    value + (target - value) * share + noise
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up values, all positive and small"
)]
fn whole(value: f32) -> u64 {
    value as u64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a made-up value need not be exact"
)]
fn scaled(value: u64, factor: f32) -> u64 {
    (value as f64 * f64::from(factor)) as u64
}

#[cfg(test)]
mod tests {
    use nodi_protocol::fleet::Payload as _;

    use super::*;

    #[test]
    fn measurements_stay_plausible_and_move() {
        let mut random = Random::new(1);
        let mut vitals = Vitals::new(&mut random);
        let idle = (0..100).map(|_| vitals.next(&mut random, 1, 10.0, 0)).last().unwrap();
        let busy = (0..100).map(|_| vitals.next(&mut random, 1, 10.0, 2)).last().unwrap();
        assert!(busy.cpu > idle.cpu && busy.encoder > idle.encoder);
        assert!(busy.temperatures[3].celsius > idle.temperatures[3].celsius);
        assert!((0.0..=1.0).contains(&busy.cpu.unwrap()) && busy.temperatures[3].celsius < 95.0);
        assert!(busy.to_json().unwrap().len() < 4096);
    }
}
