//! Prometheus metrics: counters of the process, and the live sessions as they stand when they are scraped.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Metrics_;

use crate::admission::Admission;
use crate::registry::{Entry, Registry};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    /// From [`Ending::label`](crate::ending::Ending::label): a fixed set.
    reason: &'static str,
}

pub struct Metrics {
    registry: Metrics_,
    publishes: Counter,
    refusals: Family<Reason, Counter>,
    endings: Family<Reason, Counter>,
    received_bytes: Counter,
}

impl Metrics {
    #[must_use]
    pub fn new(admission: Arc<Admission>, sessions: Arc<Registry>) -> Self {
        let mut registry = Metrics_::with_prefix("nodi_ingest");
        let publishes = Counter::default();
        registry.register("publishes", "Sessions that were started", publishes.clone());
        let refusals = Family::default();
        registry.register(
            "refusals",
            "Connections that ended before anything was published, by reason",
            refusals.clone(),
        );
        let endings = Family::default();
        registry.register("endings", "Sessions that ended, by reason", endings.clone());
        let received_bytes = Counter::default();
        registry.register("received_bytes", "Bytes received from publishers", received_bytes.clone());
        registry.register_collector(Box::new(Live { admission, sessions }));
        Self { registry, publishes, refusals, endings, received_bytes }
    }

    pub fn published(&self) {
        self.publishes.inc();
    }

    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&Reason { reason }).inc();
    }

    pub fn ended(&self, reason: &'static str) {
        self.endings.get_or_create(&Reason { reason }).inc();
    }

    pub fn received(&self, bytes: u64) {
        self.received_bytes.inc_by(bytes);
    }

    /// All of it in Prometheus's text format.
    ///
    /// # Errors
    /// When a value cannot be written.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Nothing is counted per session while it runs; what the status says is written out on demand.
#[derive(Debug)]
struct Live {
    admission: Arc<Admission>,
    sessions: Arc<Registry>,
}

/// A gauge of each session: name, help, and how it is read off; `None` leaves the session out.
type Gauge = (&'static str, &'static str, fn(&Entry) -> Option<f64>);

#[allow(clippy::cast_precision_loss, reason = "Prometheus knows only doubles")]
const GAUGES: &[Gauge] = &[
    ("session_video_bitrate_bps", "Video bits per second", |entry| {
        Some(entry.report.as_ref()?.health.video.as_ref()?.bitrate_bps as f64)
    }),
    ("session_audio_bitrate_bps", "Audio bits per second", |entry| {
        Some(entry.report.as_ref()?.health.audio.as_ref()?.bitrate_bps as f64)
    }),
    ("session_frames_per_second", "Video frames per second, measured", |entry| {
        Some(entry.report.as_ref()?.health.video.as_ref()?.fps)
    }),
    ("session_key_frame_interval_seconds", "Longest recent time between key frames", |entry| {
        entry.report.as_ref()?.health.video.as_ref()?.key_frame_interval_s
    }),
    ("session_audio_ahead_seconds", "How far audio is ahead of video", |entry| {
        Some(f64::from(entry.report.as_ref()?.health.av_skew_ms?) / 1000.0)
    }),
    ("session_timestamp_jumps", "Jumps of time stamps so far", |entry| {
        let health = &entry.report.as_ref()?.health;
        Some((health.jumps_forward.count + health.jumps_backward.count) as f64)
    }),
    ("session_stalls", "Times in which nothing arrived, so far", |entry| {
        Some(entry.report.as_ref()?.health.stalls.count as f64)
    }),
    ("session_warnings", "Warnings that stand now", |entry| {
        Some(entry.report.as_ref()?.warnings.len() as f64)
    }),
    ("session_worker_connected", "Whether a worker has the stream", |entry| {
        Some(f64::from(u8::from(entry.report.as_ref()?.worker.as_ref()?.connected)))
    }),
    ("session_workers_lost", "Workers that went away so far", |entry| {
        Some(entry.report.as_ref()?.worker.as_ref()?.lost as f64)
    }),
    ("session_worker_queue_bytes", "Bytes that wait for the worker", |entry| {
        Some(entry.report.as_ref()?.worker.as_ref()?.queued_bytes as f64)
    }),
    (
        "session_worker_dropped_groups",
        "Groups of pictures left out so far, because the worker was slow",
        |entry| Some(entry.report.as_ref()?.worker.as_ref()?.dropped_groups as f64),
    ),
];

impl Collector for Live {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let entries = self.sessions.entries();
        gauge(&mut encoder, "connections", "Connections that are open")?
            .encode_gauge(&as_i64(self.admission.total()))?;
        gauge(&mut encoder, "sessions", "Sessions that are live")?.encode_gauge(&as_i64(entries.len()))?;
        for (name, help, read) in GAUGES {
            let mut family = gauge(&mut encoder, name, help)?;
            for entry in &entries {
                if let Some(value) = read(entry) {
                    let labels = [("channel", entry.identity.channel.as_str())];
                    family.encode_family(&labels)?.encode_gauge(&value)?;
                }
            }
        }
        let mut family = gauge(&mut encoder, "session_warning", "A warning that stands now, by code")?;
        for entry in &entries {
            for warning in entry.report.iter().flat_map(|report| &report.warnings) {
                let labels = [("channel", entry.identity.channel.as_str()), ("code", warning.code)];
                family.encode_family(&labels)?.encode_gauge(&1_i64)?;
            }
        }
        Ok(())
    }
}

fn gauge<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
