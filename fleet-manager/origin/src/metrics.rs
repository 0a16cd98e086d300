//! What the origin counts, as Prometheus text on a listener of its own.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry as Prometheus;

use crate::registry::Registry;

/// What a public request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Multivariant,
    Playlist,
    BlockingPlaylist,
    Init,
    Segment,
    Part,
    Status,
    Thumbnail,
    Page,
    Other,
}

const KINDS: [(Kind, &str); 10] = [
    (Kind::Multivariant, "multivariant"),
    (Kind::Playlist, "playlist"),
    (Kind::BlockingPlaylist, "blocking_playlist"),
    (Kind::Init, "init"),
    (Kind::Segment, "segment"),
    (Kind::Part, "part"),
    (Kind::Status, "status"),
    (Kind::Thumbnail, "thumbnail"),
    (Kind::Page, "page"),
    (Kind::Other, "other"),
];
/// The statuses that the public side answers with; anything else counts as the last one.
const STATUSES: [u16; 11] = [200, 204, 206, 304, 400, 404, 405, 416, 503, 500, 0];

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    kind: &'static str,
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Pushed {
    status: u16,
}

#[derive(Debug)]
pub struct Metrics {
    prometheus: Prometheus,
    /// Looked up once, so that counting a request is one addition.
    requests: [[Counter; STATUSES.len()]; KINDS.len()],
    pushed: Family<Pushed, Counter>,
    push_lag: Histogram,
    channels: Gauge,
    held_bytes: Gauge,
    /// Requests that wait for a playlist or a part.
    pub blocked: Gauge,
    /// Open public connections.
    pub connections: Gauge,
    /// Connections closed at once because there were too many.
    pub refused_connections: Counter,
    /// Of the revocation document in force.
    pub revocations_version: Gauge,
    /// 1 while there is a connection to the fleet's broker.
    pub fleet_connected: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut prometheus = Prometheus::with_prefix("nodi_origin");
        let family = Family::<Request, Counter>::default();
        prometheus.register("requests", "Public requests by kind and status", family.clone());
        let requests = KINDS
            .map(|(_, kind)| STATUSES.map(|status| family.get_or_create_owned(&Request { kind, status })));
        let pushed = Family::default();
        prometheus.register("pushes", "Push requests by status", pushed.clone());
        let push_lag = Histogram::new(exponential_buckets(0.05, 2.0, 12));
        prometheus.register(
            "push_lag_seconds",
            "Wall-clock time minus the time up to which the playlist shows media, at each playlist update",
            push_lag.clone(),
        );
        let (channels, held_bytes) = (Gauge::default(), Gauge::default());
        prometheus.register("channels", "Channels in memory", channels.clone());
        prometheus.register("held_bytes", "Bytes of segments in memory", held_bytes.clone());
        let (blocked, connections) = (Gauge::default(), Gauge::default());
        prometheus.register("blocked_requests", "Requests that wait for a playlist or part", blocked.clone());
        prometheus.register("connections", "Open public connections", connections.clone());
        let refused_connections = Counter::default();
        prometheus.register(
            "refused_connections",
            "Public connections closed because there were too many",
            refused_connections.clone(),
        );
        let (revocations_version, fleet_connected) = (Gauge::default(), Gauge::default());
        prometheus.register(
            "revocations_version",
            "Version of the revocation document in force",
            revocations_version.clone(),
        );
        prometheus.register(
            "fleet_connected",
            "1 while there is a connection to the fleet's broker",
            fleet_connected.clone(),
        );
        Self {
            prometheus,
            requests,
            pushed,
            push_lag,
            channels,
            held_bytes,
            blocked,
            connections,
            refused_connections,
            revocations_version,
            fleet_connected,
        }
    }
}

impl Metrics {
    pub fn served(&self, kind: Kind, status: StatusCode) {
        let kind = KINDS.iter().position(|(known, _)| *known == kind);
        let status = STATUSES.iter().position(|known| *known == status.as_u16());
        let row = kind.and_then(|kind| self.requests.get(kind));
        if let Some(counter) = row.and_then(|row| row.get(status.unwrap_or(STATUSES.len() - 1))) {
            counter.inc();
        }
    }

    pub fn pushed(&self, status: StatusCode) {
        self.pushed.get_or_create(&Pushed { status: status.as_u16() }).inc();
    }

    pub fn push_lag(&self, lag: Duration) {
        self.push_lag.observe(lag.as_secs_f64());
    }

    #[must_use]
    pub fn text(&self, registry: &Registry) -> String {
        let channels = registry.all();
        self.channels.set(i64::try_from(channels.len()).unwrap_or(i64::MAX));
        let held = channels.iter().fold(0_u64, |sum, channel| sum.saturating_add(channel.held_bytes()));
        self.held_bytes.set(i64::try_from(held).unwrap_or(i64::MAX));
        let mut text = String::new();
        if encode(&mut text, &self.prometheus).is_err() {
            let _ = writeln!(text, "# EOF");
        }
        text
    }
}

/// `GET /metrics`.
pub fn router(metrics: Arc<Metrics>, registry: Arc<Registry>) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state((metrics, registry))
}

async fn scrape(State((metrics, registry)): State<(Arc<Metrics>, Arc<Registry>)>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], metrics.text(&registry))
}
