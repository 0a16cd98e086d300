//! What the service counts, as Prometheus text.

use std::fmt::Write as _;

use nodi_protocol::chat::server::Code;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Closed {
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    code: String,
}

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Connections that have joined.
    pub connections: Gauge,
    /// Connections that have not.
    pub unjoined: Gauge,
    /// Those of them that were dropped because there were too many.
    pub evicted: Counter,
    pub rooms: Gauge,
    /// Events that came back from the bus.
    pub events: Counter,
    /// Events times connections that they went to.
    pub deliveries: Counter,
    /// Writes that these took, before any that was retried.
    pub batches: Counter,
    /// Frames from clients.
    pub frames: Counter,
    /// What the bus did not take.
    pub bus_full: Counter,
    refused: Family<Why, Counter>,
    closed: Family<Closed, Counter>,
    requests: Family<Status, Counter>,
    store_waiting: Gauge,
    store_written: Gauge,
    store_lost: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("nodi_chat");
        let gauge = |registry: &mut Registry, name, help| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let counter = |registry: &mut Registry, name, help| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let connections = gauge(&mut registry, "connections", "Connections that have joined a room");
        let unjoined = gauge(&mut registry, "unjoined_connections", "Connections that have not joined yet");
        let evicted = counter(
            &mut registry,
            "evicted_connections",
            "Connections dropped before they joined because there were too many of that kind",
        );
        let rooms = gauge(&mut registry, "rooms", "Open rooms");
        let events = counter(&mut registry, "events", "Events of all rooms");
        let deliveries = counter(&mut registry, "deliveries", "Events handed to connections");
        let batches = counter(&mut registry, "batches", "Writes to connections that these took");
        let frames = counter(&mut registry, "frames", "Frames from clients");
        let bus_full = counter(&mut registry, "bus_full", "What the bus did not take");
        let refused = Family::default();
        registry.register("refused", "What was refused, by the code in the answer", refused.clone());
        let closed = Family::default();
        registry.register("closed", "Connections that the service closed, by close code", closed.clone());
        let requests = Family::default();
        registry.register("requests", "HTTP requests by status", requests.clone());
        let store_waiting = gauge(&mut registry, "store_waiting", "What waits to be written to disk");
        let store_written = gauge(&mut registry, "store_written", "What was written to disk since the start");
        let store_lost = gauge(
            &mut registry,
            "store_lost",
            "What was not written because too much waited or the disk failed",
        );
        Self {
            registry,
            connections,
            unjoined,
            evicted,
            rooms,
            events,
            deliveries,
            batches,
            frames,
            bus_full,
            refused,
            closed,
            requests,
            store_waiting,
            store_written,
            store_lost,
        }
    }
}

impl Metrics {
    pub fn refused(&self, code: Code) {
        // By the name that clients see.
        let name = serde_json::to_value(code).unwrap_or_default();
        let code = name.as_str().unwrap_or("?").to_owned();
        self.refused.get_or_create(&Why { code }).inc();
    }

    pub fn closed(&self, code: u16) {
        self.closed.get_or_create(&Closed { code }).inc();
    }

    pub fn answered(&self, status: u16) {
        self.requests.get_or_create(&Status { status }).inc();
    }

    pub fn store(&self, stats: &crate::store::Stats) {
        let gauge = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        gauge(&self.store_waiting, stats.waiting);
        gauge(&self.store_written, stats.written);
        gauge(&self.store_lost, stats.lost.saturating_add(stats.failed));
    }

    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            let _ = writeln!(text, "# EOF");
        }
        text
    }
}
