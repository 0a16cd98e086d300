//! Puts together what the agent does on the box: settings, telemetry, sessions, actions and updates.

use nodi_protocol::fleet::presence::Hardware;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Config;
use crate::actions::Actor;
use crate::host::CommandLine;
use crate::local::Local;
use crate::seams::{Assemble, BoxError, Context, Parts};
use crate::sessions::Observer;
use crate::settings::{Applier, Setup};
use crate::telemetry::capacity::{LineRate, follow_encoder};
use crate::telemetry::source::Source;
use crate::telemetry::{Sampler, Surroundings, hardware};
use crate::update::{self, RaucUpdater, own_compatible, version};

/// The last measurement of the line, below the agent's state directory.
const LINE_RATE: &str = "line-rate.json";

/// A box with ingest, transcode workers and uplink.
#[derive(Debug)]
pub struct Host {
    config: Config,
}

impl Host {
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }
}

impl Assemble for Host {
    async fn hardware(&self) -> Hardware {
        let ingest = &self.config.settings.ingest;
        let source = Source::new(&self.config.telemetry.root);
        Hardware {
            rtmp_url: ingest.rtmp_url.clone(),
            rtmps_url: ingest.rtmps_url.clone(),
            compatible: own_compatible(&self.config.update, &source).await,
            ..hardware(&source)
        }
    }

    fn version(&self) -> String {
        version::running(&self.config.update.version_file, &Source::new(&self.config.telemetry.root))
    }

    async fn parts(self, context: &Context) -> Result<Parts, BoxError> {
        let config = self.config;
        let ingest = Local::new("ingest", &config.settings.ingest.listen)?;
        let uplink = Local::new("uplink", &config.settings.uplink.listen)?;
        let line_rate = LineRate::open(&config.state.join(LINE_RATE));
        let observer = Observer::new(
            &config,
            ingest.clone(),
            uplink.clone(),
            context.clock.clone(),
            context.events.clone(),
        );
        let (sessions, observed) = (observer.sessions(), observer.observed());
        let settings = Applier::open(Setup {
            config: &config,
            identity: &context.identity,
            clock: context.clock.clone(),
            ingest: ingest.clone(),
            uplink: uplink.clone(),
            sessions: sessions.clone(),
            held: context.held,
        })?;
        let updater = RaucUpdater::new(
            &config.update,
            update::Surroundings {
                fleet: context.fleet.clone(),
                settings: settings.clone(),
                ingest: ingest.clone(),
                sessions: sessions.clone(),
                reboot: config.actions.reboot.clone(),
            },
        );
        let (capacity, encoder_capacity) = watch::channel(None);
        let telemetry = Sampler::new(
            &config,
            &context.boot_id,
            Surroundings {
                clock: context.clock.clone(),
                events: context.events.clone(),
                observed,
                encoder_capacity,
                line_rate: line_rate.clone(),
            },
        );
        let actions = Actor::new(&config, ingest, uplink, context.fleet.client(), line_rate);
        let mut tasks = JoinSet::new();
        tasks.spawn(observer.run());
        tasks.spawn(settings.clone().follow_sessions());
        // Another ladder is another capacity.
        let changed = crate::seams::Settings::reported(&*settings);
        tasks.spawn(follow_encoder(capacity_command(&config), changed, capacity));
        Ok(Parts { actions, settings, telemetry: Box::new(telemetry), sessions, updater, tasks })
    }
}

fn capacity_command(config: &Config) -> CommandLine {
    if !config.telemetry.capacity.is_empty() {
        return config.telemetry.capacity.clone();
    }
    let transcode = &config.settings.transcode;
    CommandLine(vec![transcode.program.display().to_string()])
        .with(config.settings.arguments(&transcode.config, "transcode"))
        .with(["capacity"])
}

#[cfg(test)]
mod tests;
