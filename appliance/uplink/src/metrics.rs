//! What the uplink counts, as Prometheus sees it.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use nodi_protocol::ChannelId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Target {
    target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetChannel {
    target: String,
    channel: String,
}

/// Counters of one target, whatever its kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct TargetMetrics {
    /// Bytes of media handed to the connection or file.
    pub bytes: Counter,
    /// Uploads that were acknowledged.
    pub objects: Counter,
    /// Attempts that failed and were, or will be, made again.
    pub retries: Counter,
    /// Objects given up for good.
    pub refused: Counter,
    /// Segments that live jumped over.
    pub skipped: Counter,
    /// Missed segments sent later.
    pub backfilled: Counter,
}

/// How one channel stands at one target.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChannelMetrics {
    /// How far the newest acknowledged byte is behind the spool.
    pub lag: Seconds,
    /// Segments in the spool that the target lacks and still wants.
    pub backlog: Gauge,
    /// 1 while the target takes what it is sent.
    pub connected: Gauge,
}

/// What the janitor took from the spool.
#[derive(Debug, Clone, Default)]
pub(crate) struct JanitorMetrics {
    pub pushed_segments: Counter,
    pub pushed_bytes: Counter,
    pub lost_segments: Counter,
    pub lost_bytes: Counter,
    pub sessions: Counter,
    pub held_bytes: Gauge,
    pub free_bytes: Gauge,
    pub failures: Counter,
}

/// All metrics of the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    bytes: Family<Target, Counter>,
    objects: Family<Target, Counter>,
    retries: Family<Target, Counter>,
    refused: Family<Target, Counter>,
    skipped: Family<Target, Counter>,
    backfilled: Family<Target, Counter>,
    lag: Family<TargetChannel, Seconds>,
    backlog: Family<TargetChannel, Gauge>,
    connected: Family<TargetChannel, Gauge>,
    pub sessions: Gauge,
    pub sessions_skipped: Counter,
    pub journal_failures: Gauge,
    pub janitor: JanitorMetrics,
}

impl Metrics {
    #[must_use]
    pub(crate) fn target(&self, target: &str) -> TargetMetrics {
        let label = Target { target: target.to_owned() };
        TargetMetrics {
            bytes: self.bytes.get_or_create_owned(&label),
            objects: self.objects.get_or_create_owned(&label),
            retries: self.retries.get_or_create_owned(&label),
            refused: self.refused.get_or_create_owned(&label),
            skipped: self.skipped.get_or_create_owned(&label),
            backfilled: self.backfilled.get_or_create_owned(&label),
        }
    }

    #[must_use]
    pub(crate) fn channel(&self, target: &str, channel: &ChannelId) -> ChannelMetrics {
        let label = TargetChannel { target: target.to_owned(), channel: channel.to_string() };
        ChannelMetrics {
            lag: self.lag.get_or_create_owned(&label),
            backlog: self.backlog.get_or_create_owned(&label),
            connected: self.connected.get_or_create_owned(&label),
        }
    }

    /// Lag and connection of a channel at a target, if it is being sent there.
    #[must_use]
    pub(crate) fn standing(&self, target: &str, channel: &ChannelId) -> Option<(Duration, bool)> {
        let label = TargetChannel { target: target.to_owned(), channel: channel.to_string() };
        let lag = self.lag.get(&label)?.get();
        let connected = self.connected.get(&label)?.get() == 1;
        Some((Duration::try_from_secs_f64(lag).unwrap_or_default(), connected))
    }

    /// Media bytes handed to these targets so far.
    #[must_use]
    pub(crate) fn sent_bytes(&self, targets: &[String]) -> u64 {
        let sent =
            |target: &String| self.bytes.get(&Target { target: target.clone() }).map(|bytes| bytes.get());
        targets.iter().filter_map(sent).sum()
    }

    /// The channel is no longer live at the target: nobody should be paged for its last lag.
    pub(crate) fn forget_channel(&self, target: &str, channel: &ChannelId) {
        let label = TargetChannel { target: target.to_owned(), channel: channel.to_string() };
        self.lag.remove(&label);
        self.backlog.remove(&label);
        self.connected.remove(&label);
    }

    /// A registry with everything in it.
    #[must_use]
    pub(crate) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("nodi_uplink");
        let r = &mut registry;
        r.register("sent_bytes", "Media bytes handed to a target", self.bytes.clone());
        r.register("objects", "Uploads that a target acknowledged", self.objects.clone());
        r.register("retries", "Attempts that failed and are made again", self.retries.clone());
        r.register("refused", "Objects that a target will not take", self.refused.clone());
        r.register("skipped_segments", "Segments that live jumped over", self.skipped.clone());
        r.register("backfilled_segments", "Missed segments that were sent later", self.backfilled.clone());
        r.register_with_unit("lag", "How far a target is behind the spool", Unit::Seconds, self.lag.clone());
        r.register("backlog_segments", "Segments that a target lacks and still wants", self.backlog.clone());
        r.register("connected", "1 while a target takes what it is sent", self.connected.clone());
        r.register("sessions", "Sessions in the spool that are being sent", self.sessions.clone());
        r.register(
            "sessions_skipped",
            "Sessions without a usable credential file",
            self.sessions_skipped.clone(),
        );
        r.register(
            "journal_failures",
            "Journal transactions that failed since the start",
            self.journal_failures.clone(),
        );
        let janitor = &self.janitor;
        for (name, help, counter) in [
            (
                "spool_dropped_segments",
                "Segments that the janitor took after all targets had them",
                &janitor.pushed_segments,
            ),
            (
                "spool_dropped_bytes",
                "Bytes that the janitor took after all targets had them",
                &janitor.pushed_bytes,
            ),
            (
                "spool_lost_segments",
                "Segments that the janitor took although a target wanted them",
                &janitor.lost_segments,
            ),
            (
                "spool_lost_bytes",
                "Bytes that the janitor took although a target wanted them",
                &janitor.lost_bytes,
            ),
            ("spool_removed_sessions", "Sessions that the janitor removed as a whole", &janitor.sessions),
            ("spool_janitor_failures", "Sweeps of the spool that failed", &janitor.failures),
        ] {
            r.register(name, help, counter.clone());
        }
        r.register("spool_bytes", "Bytes of media in the spool", janitor.held_bytes.clone());
        r.register("spool_free_bytes", "Free bytes of the spool's file system", janitor.free_bytes.clone());
        registry
    }
}
