//! Webhooks: alerts sent to other systems, signed, and never lost over a restart (`docs/webhooks.md`).

mod api;
mod guard;
mod queue;
mod send;
mod sign;

use std::path::PathBuf;

use ipnet::IpNet;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use reqwest::Client;
use serde::Deserialize;
use tokio::sync::Notify;

use crate::error::Error;
use crate::metrics::Metrics;
use crate::state::App;
use crate::tasks::Tasks;

pub use api::routes;
pub use queue::enqueue;

/// This area's section of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Webhooks that there may be.
    pub max_webhooks: u32,
    /// Deliveries that may wait for one webhook; the oldest are given up. A message is below 2 KiB, and two for each of
    /// 5,000 boxes fit.
    pub max_waiting: u32,
    /// A delivery that has waited for so long is given up, in seconds.
    pub max_age_s: u32,
    /// How long an attempt may take, in seconds.
    pub timeout_s: u32,
    /// Networks that messages may go to although they are not public, such as `10.0.0.0/8`.
    pub allow_networks: Vec<IpNet>,
    /// Messages may go over plain HTTP.
    pub allow_http: bool,
    /// Authorities of receivers besides the public ones, PEM.
    pub ca: Option<PathBuf>,
    /// Deliveries that are over are listed for so many days, and at most so many of each webhook.
    pub log_days: u32,
    pub log_entries: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_webhooks: 50,
            max_waiting: 10_000,
            max_age_s: 24 * 3_600,
            timeout_s: 10,
            allow_networks: Vec::new(),
            allow_http: false,
            ca: None,
            log_days: 7,
            log_entries: 1_000,
        }
    }
}

impl Config {
    /// # Errors
    /// The key and what is wrong with it.
    pub fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.max_waiting == 0 {
            return Err(("webhooks.max_waiting", "must not be 0".to_owned()));
        }
        if !(1..=60).contains(&self.timeout_s) {
            return Err(("webhooks.timeout_s", "must be 1 to 60".to_owned()));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Attempt {
    result: &'static str,
}

/// This area's part of [`App`].
pub struct State {
    client: Client,
    wake: Notify,
    attempts: Family<Attempt, Counter>,
    dropped: Counter,
}

impl State {
    /// # Errors
    /// What is not usable.
    pub fn new(config: &crate::Config, metrics: &Metrics) -> Result<Self, Error> {
        let (attempts, dropped) = (Family::default(), Counter::default());
        metrics.register(|registry| {
            registry.register(
                "webhook_attempts",
                "Attempts to deliver to webhooks, by result",
                attempts.clone(),
            );
            let help = "Deliveries to webhooks that were given up because too many waited";
            registry.register("webhook_dropped", help, dropped.clone());
        });
        Ok(Self { client: send::client(&config.webhooks)?, wake: Notify::new(), attempts, dropped })
    }

    fn client(&self) -> &Client {
        &self.client
    }

    /// There is something to send.
    fn wake(&self) {
        self.wake.notify_one();
    }

    async fn woken(&self) {
        self.wake.notified().await;
    }

    fn attempted(&self, delivered: bool) {
        let result = if delivered { "delivered" } else { "failed" };
        self.attempts.get_or_create(&Attempt { result }).inc();
    }

    fn dropped(&self, count: usize) {
        self.dropped.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("webhooks", send::run(app.clone()));
    tasks.spawn("old deliveries", send::prune(app.clone()));
}
