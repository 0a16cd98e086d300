//! What an update needs of the box, as a box with RAUC has it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nodi_protocol::fleet::desired::Reported;
use nodi_protocol::fleet::update::{Bundle, Window};
use tokio::sync::watch;

use super::Config;
use super::download;
use super::files::Directory;
use super::rauc::Rauc;
use crate::fleet::Fleet;
use crate::host::{self, CommandLine, Ended};
use crate::local::Local;
use crate::seams::{Doing, Obstacle, Progress, Sessions, Slot, System, Updater};
use crate::settings::Applier;
use crate::telemetry::source::Source;

/// For the program that looks at the boot loader's variables, and for the host to begin a reboot.
const ASK: Duration = Duration::from_secs(30);
/// `nodi-bootslot armed` ends with this where the boot loader does not switch slots. It ends with others as well, which pass: the slot
/// that runs is not marked good yet, and RAUC would not be let write the other one.
const NOT_ARMED: i32 = 3;
/// For RAUC to start, when the box comes up.
const FIRST: Duration = Duration::from_secs(5);

/// What surrounds an update on the box.
pub(crate) struct Surroundings {
    pub fleet: Fleet,
    pub settings: Arc<Applier>,
    pub ingest: Local,
    pub sessions: watch::Receiver<Option<Sessions>>,
    pub reboot: CommandLine,
}

/// RAUC, and what else is on this box.
pub(crate) struct RaucUpdater {
    config: Config,
    directory: Directory,
    rauc: Rauc,
    reported: watch::Receiver<Reported>,
    around: Surroundings,
}

/// What bundles for this box say as `compatible`, if it is one that takes updates.
pub(crate) async fn own_compatible(config: &Config, source: &Source) -> Option<String> {
    if !config.enabled {
        return None;
    }
    if let Some(compatible) = &config.compatible {
        return Some(compatible.clone());
    }
    let rauc = Rauc::new(config.bus.clone(), config.service.clone());
    match tokio::time::timeout(FIRST, rauc.shown()).await {
        Ok(Ok(shown)) if !shown.compatible.is_empty() => return Some(shown.compatible),
        Ok(Ok(_)) => {}
        Ok(Err(error)) => log::info!("this box may take no updates: {error}"),
        Err(_) => log::warn!("RAUC does not answer"),
    }
    of_configuration(&source.text("etc/rauc/system.conf")?)
}

/// `compatible=` in `[system]` of RAUC's own configuration.
fn of_configuration(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[system]").skip(1);
    let value = lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .find_map(|line| line.strip_prefix("compatible")?.trim_start().strip_prefix('='))?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

impl RaucUpdater {
    pub(crate) fn new(config: &Config, around: Surroundings) -> Arc<Self> {
        Arc::new(Self {
            directory: Directory::new(&config.directory),
            rauc: Rauc::new(config.bus.clone(), config.service.clone()),
            reported: crate::seams::Settings::reported(&*around.settings),
            config: config.clone(),
            around,
        })
    }

    async fn asked_system(&self) -> Result<System, Obstacle> {
        if !self.config.enabled {
            return Err(Obstacle::lasting("this box takes no updates: `update.enabled` is off"));
        }
        let system = self.rauc.system().await?;
        Ok(match &self.config.compatible {
            Some(compatible) => System { compatible: compatible.clone(), ..system },
            None => system,
        })
    }

    async fn downloaded(&self, bundle: Bundle, file: PathBuf, progress: Progress) -> Result<(), Obstacle> {
        let client = self.around.fleet.downloads().map_err(|error| Obstacle::lasting(error.to_string()))?;
        self.directory
            .prepare()
            .map_err(|error| Obstacle::passing(format!("the update's directory: {error}")))?;
        download::get(&client, &bundle, &file, &progress).await
    }

    async fn installed(&self, bundle: Option<(Bundle, PathBuf)>, progress: Progress) -> Result<(), Obstacle> {
        let Some((bundle, file)) = bundle else { return self.rauc.install(None, &progress).await };
        progress.say(Some(0), "RAUC looks at the bundle");
        match self.rauc.info(&file).await {
            Ok((compatible, version)) if compatible != bundle.compatible || version != bundle.version => {
                return Err(Obstacle::lasting(format!(
                    "the bundle is version {version} for {compatible}, the order says {} for {}",
                    bundle.version, bundle.compatible
                )));
            }
            Ok(_) => {}
            // It refuses to install it, too, and then says why.
            Err(error) => log::warn!("the bundle's manifest: {error}"),
        }
        self.rauc.install(Some(&file), &progress).await
    }

    /// Ingest is asked; one that does not answer has the sessions that were seen last.
    async fn live_sessions(&self) -> usize {
        match self.around.ingest.get::<Vec<serde::de::IgnoredAny>>("/sessions").await {
            Ok(sessions) => sessions.len(),
            Err(error) => {
                log::debug!("{error}");
                self.around.sessions.borrow().as_ref().map_or(0, std::collections::BTreeMap::len)
            }
        }
    }
}

impl Updater for RaucUpdater {
    fn system(&self) -> Doing<'_, Result<System, Obstacle>> {
        Box::pin(self.asked_system())
    }

    fn armed(&self) -> Doing<'_, Result<(), Obstacle>> {
        Box::pin(async {
            if self.config.armed.is_empty() {
                return Ok(());
            }
            match self.config.armed.run(ASK).await.and_then(Ended::expect_success) {
                Ok(_) => Ok(()),
                // In its own words.
                Err(host::Error::Failed { said, status, .. }) if !said.is_empty() => {
                    Err(Obstacle { reason: said, passes: status.code() != Some(NOT_ARMED) })
                }
                Err(error @ host::Error::Start { .. }) => {
                    Err(Obstacle::lasting(format!("A/B redundancy is not armed: {error}")))
                }
                // No answer is not a no.
                Err(error) => Err(Obstacle::passing(format!("whether A/B redundancy is armed: {error}"))),
            }
        })
    }

    fn room(&self, bundle: &Bundle, file: PathBuf) -> Result<(), Obstacle> {
        let unknown = |error: std::io::Error| Obstacle::passing(format!("the update's directory: {error}"));
        self.directory.prepare().map_err(unknown)?;
        let held = std::fs::metadata(file).map_or(0, |file| file.len());
        let needed = bundle.bytes.saturating_sub(held).saturating_add(self.config.margin_bytes);
        let free = self.directory.free_bytes().map_err(unknown)?;
        if free >= needed {
            return Ok(());
        }
        Err(Obstacle::passing(format!(
            "no space: {} MiB are free, {} MiB are needed",
            free >> 20,
            needed.div_ceil(1 << 20)
        )))
    }

    fn live(&self) -> Doing<'_, usize> {
        Box::pin(self.live_sessions())
    }

    fn windows(&self) -> Vec<Window> {
        self.reported.borrow().settings.maintenance.clone().unwrap_or_default()
    }

    fn hold(&self, hold: bool) -> Doing<'_, Result<(), Obstacle>> {
        Box::pin(async move {
            self.around.settings.hold(hold).await.map_err(|error| Obstacle::passing(error.to_string()))
        })
    }

    fn download(&self, bundle: Bundle, file: PathBuf, progress: Progress) -> Doing<'_, Result<(), Obstacle>> {
        Box::pin(self.downloaded(bundle, file, progress))
    }

    fn install(
        &self,
        bundle: Option<(Bundle, PathBuf)>,
        progress: Progress,
    ) -> Doing<'_, Result<(), Obstacle>> {
        Box::pin(self.installed(bundle, progress))
    }

    fn activate(&self, slot: Slot) -> Doing<'_, Result<(), Obstacle>> {
        Box::pin(async move {
            log::info!("RAUC: {}", self.rauc.mark("active", &slot.name).await?);
            Ok(())
        })
    }

    fn reject(&self, slot: Slot) -> Doing<'_, Result<(), Obstacle>> {
        Box::pin(async move {
            log::info!("RAUC: {}", self.rauc.mark("bad", &slot.name).await?);
            Ok(())
        })
    }

    fn reboot(&self) -> Doing<'_, Result<(), Obstacle>> {
        Box::pin(async {
            match self.around.reboot.run(ASK).await.and_then(Ended::expect_success) {
                Ok(_) => Ok(()),
                // The signal that ends this service goes to everything that it started.
                Err(host::Error::Failed { status, .. })
                    if std::os::unix::process::ExitStatusExt::signal(&status).is_some() =>
                {
                    Ok(())
                }
                Err(error) => Err(Obstacle::passing(error.to_string())),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rauc_s_own_configuration_is_the_last_to_be_asked() {
        let text = "[keyring]\ncompatible=no\n[system]\nbootloader=custom\ncompatible = nodi-qemux86-64\n[slot.rootfs.0]\n";
        assert_eq!(of_configuration(text).as_deref(), Some("nodi-qemux86-64"));
        assert_eq!(of_configuration("[system]\nbootloader=custom\n[x]\ncompatible=no\n"), None);
        assert_eq!(of_configuration(""), None);
    }
}
