//! One measurement of everything, every few seconds.

pub mod capacity;
mod cpu;
mod disks;
mod hardware;
mod jetson;
mod network;
mod processes;
pub(crate) mod source;
mod thermal;

use std::path::PathBuf;

use nodi_protocol::fleet::event::What;
use nodi_protocol::fleet::telemetry::{Telemetry, Uplink};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use hardware::hardware;

use crate::clock::{Clock, TOLERANCE_MS};
use crate::events::Events;
use crate::host::CommandLine;
use crate::seams::{Doing, Measure};
use crate::sessions::Observed;
use crate::timekeeping;
use capacity::LineRate;
use processes::{Processes, Wanted, Which};
use source::Source;

/// What is measured, and where.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where `proc`, `sys` and `etc` are.
    pub root: PathBuf,
    /// Paths whose file systems are reported.
    pub disks: Vec<PathBuf>,
    /// Prints how many sessions the encoder carries. Empty: the configured `nodi-transcode`, with `capacity` as the last
    /// word.
    pub capacity: CommandLine,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            root: "/".into(),
            disks: ["/", "/var/lib/nodi", "/var/spool/nodi"].map(PathBuf::from).to_vec(),
            capacity: CommandLine::default(),
        }
    }
}

/// Streams that are so far behind wait for the line: more than a part, which may always be under way.
const WAITING_MS: u64 = 1_500;
/// The file below the agent's state directory.
const PROCESSES: &str = "processes.json";

/// What a [`Sampler`] is told from elsewhere.
pub struct Surroundings {
    pub clock: Clock,
    pub events: Events,
    pub observed: watch::Receiver<Observed>,
    pub encoder_capacity: watch::Receiver<Option<f64>>,
    pub line_rate: LineRate,
}

/// Measures.
pub struct Sampler {
    surroundings: Surroundings,
    /// `None` while it is being read from: the kernel's files may take their time.
    kernel: Option<Box<Kernel>>,
    uplink_last: Option<(Instant, u64)>,
}

impl std::fmt::Debug for Sampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sampler").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}

/// All that is read from the kernel's files, with what was there the last time.
#[derive(Debug)]
struct Kernel {
    source: Source,
    disks: Vec<PathBuf>,
    cpu: cpu::Cpu,
    throttling: thermal::Throttling,
    network: network::Network,
    encoder: jetson::Encoder,
    processes: Processes,
}

impl Sampler {
    /// Looks once, so that the first measurement has rates.
    #[must_use]
    pub fn new(config: &crate::Config, boot_id: &str, surroundings: Surroundings) -> Self {
        let mut kernel = Kernel::new(config, boot_id);
        kernel.first_look();
        Self { surroundings, kernel: Some(Box::new(kernel)), uplink_last: None }
    }

    async fn take(&mut self) -> Telemetry {
        let observed = self.surroundings.observed.borrow().clone();
        let now = Instant::now();
        let kernel = self.kernel.take();
        let workers_lost = observed.workers_lost;
        let read = tokio::task::spawn_blocking(move || {
            kernel.map(|mut kernel| {
                let measured = kernel.measure(now, workers_lost);
                (kernel, measured)
            })
        });
        let mut telemetry = match read.await {
            Ok(Some((kernel, (telemetry, events)))) => {
                self.kernel = Some(kernel);
                for event in events {
                    self.surroundings.events.record(event).await;
                }
                telemetry
            }
            Ok(None) | Err(_) => {
                log::error!("the kernel's files cannot be read any more");
                Telemetry::default()
            }
        };
        self.add_sessions(&mut telemetry, &observed, now);
        self.add_clock(&mut telemetry);
        telemetry
    }

    fn add_sessions(&mut self, telemetry: &mut Telemetry, observed: &Observed, now: Instant) {
        telemetry.sessions = observed.sessions;
        if let Some(capacity) = *self.surroundings.encoder_capacity.borrow() {
            let (taken, spare) = capacity::taken_and_spare(observed.sessions, capacity);
            telemetry.spare_sessions = Some(spare);
            telemetry.encoder.get_or_insert(taken);
        }
        let Some(sending) = observed.uplink else {
            self.uplink_last = None;
            return;
        };
        // The first look has nothing to compare with: what is not known is not told as 0.
        let Some((then, bytes)) = self.uplink_last.replace((now, sending.sent_bytes)) else { return };
        let sent_bps = network::rate(bytes, sending.sent_bytes, now.duration_since(then).as_secs_f64());
        self.surroundings.line_rate.sustained(sent_bps, sending.lag_ms > WAITING_MS);
        telemetry.uplink = Some(Uplink {
            sent_bps,
            lag_ms: sending.lag_ms,
            backlog: sending.backlog,
            capacity_bps: self.surroundings.line_rate.best(),
        });
    }

    /// The fleet server knows better than a time service that is wrong by more than a minute.
    fn add_clock(&self, telemetry: &mut Telemetry) {
        let error_ms = self.surroundings.clock.system_error_ms();
        if error_ms.unsigned_abs() > TOLERANCE_MS {
            #[allow(clippy::cast_precision_loss, reason = "more than a minute")]
            let offset = error_ms as f32;
            telemetry.clock_offset_ms = Some(offset);
            telemetry.clock_synchronised = Some(false);
        } else if let Some(time) = timekeeping::kernel() {
            telemetry.clock_offset_ms = time.offset_ms;
            telemetry.clock_synchronised = Some(time.synchronised);
        }
    }
}

impl Kernel {
    fn new(config: &crate::Config, boot_id: &str) -> Self {
        let settings = &config.settings;
        let wanted = |process, path: &std::path::Path, permanent| Wanted {
            process,
            program: format!("nodi-{process}"),
            which: Which::Word(path.display().to_string()),
            permanent,
        };
        let mut processes = vec![
            wanted("ingest", &settings.ingest.config, true),
            wanted("uplink", &settings.uplink.config, true),
            wanted("transcode", &settings.transcode.config, false),
        ];
        processes.push(Wanted {
            process: "agent",
            program: "nodi-agent".to_owned(),
            which: Which::Own,
            permanent: true,
        });
        Self {
            source: Source::new(&config.telemetry.root),
            disks: config.telemetry.disks.clone(),
            cpu: cpu::Cpu::default(),
            throttling: thermal::Throttling::default(),
            network: network::Network::default(),
            encoder: jetson::Encoder::default(),
            processes: Processes::open(processes, &config.state.join(PROCESSES), boot_id),
        }
    }

    fn first_look(&mut self) {
        self.cpu.busy(&self.source);
        self.throttling.reasons(&self.source);
        self.network.interfaces(&self.source, Instant::now());
        self.encoder.load(&self.source);
    }

    fn measure(&mut self, now: Instant, workers_lost: u64) -> (Telemetry, Vec<What>) {
        let source = &self.source;
        let (processes, events) = self.processes.look(source, now, workers_lost);
        let telemetry = Telemetry {
            uptime_s: cpu::uptime_s(source).unwrap_or_default(),
            cpu: self.cpu.busy(source),
            gpu: jetson::gpu(source),
            encoder: self.encoder.load(source),
            load_1m: cpu::load_1m(source),
            memory: cpu::memory(source),
            temperatures: thermal::temperatures(source),
            throttling: self.throttling.reasons(source),
            power_w: jetson::power_w(source),
            disks: disks::disks(source, &self.disks),
            interfaces: self.network.interfaces(source, now),
            processes,
            ..Telemetry::default()
        };
        (telemetry, events)
    }
}

impl Measure for Sampler {
    fn measure(&mut self) -> Doing<'_, Telemetry> {
        Box::pin(self.take())
    }
}

#[cfg(test)]
mod tests;
