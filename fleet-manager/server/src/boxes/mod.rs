//! Boxes: how they are now, and what they shall be like.

mod api;
pub(crate) mod desired;
mod presence;
mod record;
mod registry;
pub mod settings;
pub mod store;
mod summary;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nodi_protocol::fleet::desired::Settings;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::db::Db;
use crate::error::Error;
use crate::http::access::Api;
use crate::metrics::Metrics;
use crate::state::App;
use crate::tasks::Tasks;

pub use presence::Presence;
pub use record::{Certificate, DEFAULT_TELEMETRY_S, Location, Record, Revocation};
pub use registry::{Change, Registry};
pub use store::revoked;
pub use summary::{BoxSummary, Health, Reason, State as BoxState};

/// How often boxes' silence and rows that changed are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// When more time than this is between two looks the process slept, and with it what boxes said.
const SLEPT_MS: i64 = 3_000;
/// Longest name of a box and of a place, in characters.
const MAX_NAME: usize = 100;
const MAX_PLACE: usize = 200;

/// This area's part of [`App`].
pub struct State {
    pub registry: Registry,
    /// What lies below the fleet's settings: the public stream keys of this server.
    pub base: Arc<Settings>,
    /// How many boxes there are in each state.
    counts: Family<[(&'static str, &'static str); 1], Gauge>,
}

impl State {
    /// Reads all boxes, and brings what they are told up to date with the server's stream keys.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(
        config: &crate::Config,
        db: &Db,
        metrics: &Metrics,
        now_ms: i64,
    ) -> Result<Self, Error> {
        let base =
            Arc::new(Settings { stream_keys: public_keys(&config.public_keys()), ..Settings::default() });
        let under = Arc::clone(&base);
        let (epoch, records) = db
            .write(move |tx| {
                desired::recompute_all(tx, &under, now_ms)?;
                Ok((store::epoch(tx)?, store::all(tx, now_ms)?))
            })
            .await?;
        let counts = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        metrics.register(|registry| {
            registry.register("nodi_fleet_boxes", "Boxes by state", counts.clone());
        });
        Ok(Self { registry: Registry::new(&epoch, records, now_ms), base, counts })
    }
}

/// One base64 line each; none before the first start.
fn public_keys(path: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(path).ok()?;
    let keys: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    (!keys.is_empty()).then_some(keys)
}

/// What it serves below `/api/v1`.
#[must_use]
pub fn routes() -> Api {
    desired::routes(api::routes(Api::new("boxes")))
}

/// Starts its background tasks.
pub fn start(app: &App, tasks: &mut Tasks) {
    tasks.spawn("presence of boxes", watch(app.clone()));
}

/// Notices silence, and shows what changed.
async fn watch(app: App) {
    let mut looked_ms = app.now_ms();
    loop {
        app.clock.sleep(LOOK).await;
        let now_ms = app.now_ms();
        let registry = &app.boxes.registry;
        let slept = !(0..=SLEPT_MS).contains(&(now_ms - looked_ms));
        looked_ms = now_ms;
        if slept {
            registry.hold(now_ms);
        } else if app.link.is_listening() {
            for record in registry.records() {
                let interval = record.telemetry_s();
                if record.presence.is_silent(now_ms, interval) {
                    log::info!(box_id:% = record.id; "box is silent: offline");
                    registry.update(&record.id, now_ms, |record| record.presence.check(now_ms, interval));
                    app.link.seen_changed(record.id.clone());
                }
            }
        }
        registry.show(&app.live, now_ms);
        app.boxes.count();
    }
}

impl State {
    fn count(&self) {
        let mut counts = [
            (BoxState::Online, "online", 0),
            (BoxState::Offline, "offline", 0),
            (BoxState::NeverSeen, "never_seen", 0),
            (BoxState::Revoked, "revoked", 0),
        ];
        for summary in self.registry.summaries() {
            for (state, _, count) in &mut counts {
                *count += i64::from(summary.state == *state);
            }
        }
        for (_, name, count) in counts {
            self.counts.get_or_create(&[("state", name)]).set(count);
        }
    }
}

/// A name that a person gives to a box.
///
/// # Errors
/// When it is empty, too long or not to be shown.
pub fn check_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Error::invalid("name", format!("is not 1 to {MAX_NAME} characters")));
    }
    Ok(name.to_owned())
}

/// # Errors
/// When there is no such place.
pub fn check_location(location: &Location) -> Result<(), Error> {
    if location.name.chars().count() > MAX_PLACE {
        return Err(Error::invalid("location.name", format!("is longer than {MAX_PLACE} characters")));
    }
    if !(-90.0..=90.0).contains(&location.latitude) {
        return Err(Error::invalid("location.latitude", "is not between -90 and 90"));
    }
    if !(-180.0..=180.0).contains(&location.longitude) {
        return Err(Error::invalid("location.longitude", "is not between -180 and 180"));
    }
    Ok(())
}
