//! What everything works with: one clonable handle.

use std::ops::Deref;
use std::sync::Arc;

use nodi_daemon::shutdown::Shutdown;

use crate::clock::Clock;
use crate::config::Config;
use crate::db::Db;
use crate::error::Error;
use crate::live::Hub;
use crate::metrics::Metrics;
use crate::revocations::Revoked;
use crate::{
    alerts, boxes, bundles, channels, commands, enrolment, ids, ingests, link, overview, people, rollouts,
    site, streams, telemetry, updates, webhooks,
};

/// The server's state. Cheap to clone; every area has its part.
#[derive(Clone)]
pub struct App(Arc<Inner>);

pub struct Inner {
    pub config: Config,
    pub clock: Clock,
    pub db: Db,
    /// Live changes for browsers.
    pub live: Hub,
    /// The revocation document that boxes and origins have to have.
    pub revoked: Revoked,
    pub metrics: Metrics,
    pub shutdown: Shutdown,
    pub people: people::State,
    pub channels: channels::State,
    pub enrolment: enrolment::State,
    pub link: link::State,
    pub boxes: boxes::State,
    pub commands: commands::State,
    pub bundles: bundles::State,
    pub updates: updates::State,
    pub rollouts: rollouts::State,
    pub telemetry: telemetry::State,
    pub streams: streams::State,
    pub ingests: ingests::State,
    pub alerts: alerts::State,
    pub webhooks: webhooks::State,
    pub site: site::State,
    pub overview: overview::Held,
}

impl App {
    /// Reads what every area keeps in files and in the database.
    ///
    /// # Errors
    /// Which file or which part of the database is not usable.
    pub async fn new(config: Config, clock: Clock, db: Db, shutdown: Shutdown) -> Result<Self, Error> {
        let run = ids::ulid(clock.unix_ms())?;
        let revoked = Revoked::load(&db).await?;
        let now_ms = clock.unix_ms();
        let metrics = Metrics::default();
        Ok(Self(Arc::new(Inner {
            live: Hub::new(run),
            people: people::State::new(&config)?,
            channels: channels::State::load(&config)?,
            enrolment: enrolment::State::load(&config)?,
            link: link::State::new(&config, &metrics),
            boxes: boxes::State::load(&config, &db, &metrics, now_ms).await?,
            commands: commands::State::new(&config)?,
            bundles: bundles::State::load(&config, &db, &metrics).await?,
            updates: updates::State::new(&metrics),
            rollouts: rollouts::State::new(&metrics),
            telemetry: telemetry::State::load(&db, &metrics, now_ms).await?,
            streams: streams::State::new(&config)?,
            ingests: ingests::State::new(&config)?,
            alerts: alerts::State::new(&config)?,
            webhooks: webhooks::State::new(&config, &metrics)?,
            site: site::State::load(&config, &metrics)?,
            overview: overview::Held::default(),
            revoked,
            metrics,
            config,
            clock,
            db,
            shutdown,
        })))
    }

    /// By the server's clock, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.0.clock.unix_ms()
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
