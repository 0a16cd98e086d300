//! RAUC on D-Bus: `de.pengutronix.rauc.Installer` as versions 1.8 to 1.15 serve it at `/`. A connection is made when it is
//! needed and made anew after it was lost, so that a bus or a RAUC that is started again is no matter.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use tokio::sync::Mutex;
use zbus::connection::Builder;
use zbus::{Connection, OwnedVariant, Variant};

use crate::seams::{Obstacle, Progress, Slot, System};

const PATH: &str = "/";
const INSTALLER: &str = "de.pengutronix.rauc.Installer";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BUS: &str = "org.freedesktop.DBus";
/// For a call. RAUC asks the boot loader's program in some of them, and reads a bundle's signature in `Info`.
const CALL: Duration = Duration::from_secs(60);
/// Between two questions while it installs.
const POLL: Duration = Duration::from_millis(250);
/// So many questions in a row without an answer: the bus is gone.
const SILENT: u32 = 40;

/// Why RAUC gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It said why it does not do this.
    #[error("RAUC: {0}")]
    Refused(String),
    #[error("no RAUC: {0}")]
    Away(String),
    #[error("RAUC's answer: {0}")]
    Unusable(String),
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        let passes = matches!(error, Error::Away(_));
        Self { reason: error.to_string(), passes }
    }
}

pub(super) struct Rauc {
    /// The system's without one.
    bus: Option<String>,
    service: String,
    connection: Mutex<Option<Connection>>,
}

/// What RAUC shows while it works.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub compatible: String,
    operation: String,
    last_error: String,
    /// Per cent, and what is done.
    progress: Option<(u8, String)>,
}

impl Shown {
    fn is_busy(&self) -> bool {
        self.operation != "idle"
    }
}

type Dict = HashMap<String, OwnedVariant>;

impl Rauc {
    pub(super) fn new(bus: Option<String>, service: String) -> Self {
        Self { bus, service, connection: Mutex::new(None) }
    }

    pub(super) async fn system(&self) -> Result<System, Error> {
        let shown = self.shown().await?;
        if shown.is_busy() {
            return Ok(System { busy: true, ..known(shown) });
        }
        let slots: Vec<(String, Dict)> = match self.call(INSTALLER, "GetSlotStatus", &()).await {
            Ok(slots) => slots,
            // It has begun meanwhile.
            Err(Error::Refused(_)) if self.shown().await?.is_busy() => {
                return Ok(System { busy: true, ..known(shown) });
            }
            Err(error) => return Err(error),
        };
        let primary: Option<String> = match self.call(INSTALLER, "GetPrimary", &()).await {
            Ok(primary) => Some(primary),
            Err(Error::Refused(reason)) => {
                log::warn!("RAUC does not know which slot boots next: {reason}");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(of_slots(known(shown), &slots, primary.as_deref()))
    }

    pub(super) async fn shown(&self) -> Result<Shown, Error> {
        let all: Dict = self.call(PROPERTIES, "GetAll", &(INSTALLER,)).await?;
        let text = |name: &str| all.get(name).and_then(text).unwrap_or_default();
        let progress = all.get("Progress").and_then(|value| {
            let (percent, message, _): (i32, String, i32) = value.try_clone().ok()?.try_into().ok()?;
            Some((u8::try_from(percent.clamp(0, 100)).ok()?, message))
        });
        Ok(Shown {
            compatible: text("Compatible"),
            operation: text("Operation"),
            last_error: text("LastError"),
            progress,
        })
    }

    /// `compatible` and version of a bundle with a valid signature.
    pub(super) async fn info(&self, bundle: &Path) -> Result<(String, String), Error> {
        self.call(INSTALLER, "Info", &(bundle.to_string_lossy().as_ref(),)).await
    }

    /// Installs, or waits for the end of what goes on. The reason of a failure is RAUC's own.
    pub(super) async fn install(&self, bundle: Option<&Path>, progress: &Progress) -> Result<(), Obstacle> {
        // Also starts it, where it is started on demand.
        self.shown().await?;
        let owner = self.owner().await?;
        if let Some(bundle) = bundle {
            let none: HashMap<&str, Variant<'_>> = HashMap::new();
            let path = bundle.to_string_lossy();
            self.call::<_, ()>(INSTALLER, "InstallBundle", &(path.as_ref(), none)).await?;
        }
        let mut silent = 0;
        loop {
            tokio::time::sleep(POLL).await;
            match (self.owner().await, self.shown().await) {
                (Ok(now), _) if now != owner => {
                    return Err(Obstacle::lasting("RAUC ended in the middle of the installation"));
                }
                (Ok(_), Ok(shown)) if !shown.is_busy() => {
                    return match shown.last_error.is_empty() {
                        true => Ok(()),
                        false => Err(Obstacle::lasting(shown.last_error)),
                    };
                }
                (Ok(_), Ok(shown)) => {
                    silent = 0;
                    if let Some((percent, message)) = shown.progress {
                        progress.say(Some(percent), message);
                    }
                }
                (Err(error), _) | (_, Err(error)) => {
                    silent += 1;
                    if silent >= SILENT {
                        return Err(Obstacle::lasting(format!("RAUC was lost while it installed: {error}")));
                    }
                }
            }
        }
    }

    /// `state`: `good`, `bad` or `active`.
    pub(super) async fn mark(&self, state: &str, slot: &str) -> Result<String, Error> {
        let (_, message): (String, String) = self.call(INSTALLER, "Mark", &(state, slot)).await?;
        Ok(message)
    }

    /// Whoever answers under RAUC's name now; nobody: empty. This alone does not start RAUC.
    async fn owner(&self) -> Result<String, Error> {
        let name = self.service.as_str();
        let has_owner: bool = self.send(BUS, BUS, "/org/freedesktop/DBus", "NameHasOwner", &(name,)).await?;
        if !has_owner {
            return Ok(String::new());
        }
        self.send(BUS, BUS, "/org/freedesktop/DBus", "GetNameOwner", &(name,)).await
    }

    async fn call<B, R>(&self, interface: &str, method: &str, body: &B) -> Result<R, Error>
    where
        B: serde::Serialize + zbus::DynamicType,
        R: for<'d> zbus::wire::DynamicDeserialize<'d>,
    {
        self.send(&self.service, interface, PATH, method, body).await
    }

    async fn send<B, R>(
        &self,
        destination: &str,
        interface: &str,
        path: &str,
        method: &str,
        body: &B,
    ) -> Result<R, Error>
    where
        B: serde::Serialize + zbus::DynamicType,
        R: for<'d> zbus::wire::DynamicDeserialize<'d>,
    {
        let connection = self.connect().await?;
        match connection.call_method(Some(destination), path, Some(interface), method, body).await {
            Ok(reply) => reply.body().deserialize().map_err(|error| Error::Unusable(error.to_string())),
            Err(error) => {
                let error = told(error);
                if matches!(error, Error::Away(_)) {
                    // The next call makes another one.
                    self.connection.lock().await.take();
                }
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let builder = match &self.bus {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::system(),
        };
        let building = builder.method_timeout(CALL).build();
        let connection = match tokio::time::timeout(CALL, building).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(Error::Away(format!("D-Bus: {error}"))),
            Err(_) => return Err(Error::Away("D-Bus does not answer".to_owned())),
        };
        *held = Some(connection.clone());
        Ok(connection)
    }
}

/// Whether RAUC, or the bus, is what does not answer.
fn told(error: zbus::Error) -> Error {
    use zbus::fdo;
    match error {
        zbus::Error::MethodError(_, reason, _) => {
            Error::Refused(reason.unwrap_or_default().trim().to_owned())
        }
        zbus::Error::FDO(error) => match *error {
            fdo::Error::ServiceUnknown(reason)
            | fdo::Error::NameHasNoOwner(reason)
            | fdo::Error::NoReply(reason)
            | fdo::Error::Disconnected(reason)
            | fdo::Error::TimedOut(reason)
            | fdo::Error::SpawnChildExited(reason)
            | fdo::Error::SpawnFailed(reason) => Error::Away(reason),
            other => Error::Refused(other.to_string()),
        },
        other => Error::Away(other.to_string()),
    }
}

fn known(shown: Shown) -> System {
    System { compatible: shown.compatible, last_error: shown.last_error, ..System::default() }
}

fn of_slots(system: System, slots: &[(String, Dict)], primary: Option<&str>) -> System {
    let field = |slot: &Dict, name: &str| slot.get(name).and_then(text);
    let bootable = |(name, about): &(String, Dict)| {
        let bootname = field(about, "bootname")?;
        let good = field(about, "boot-status").as_deref() == Some("good");
        let booted = field(about, "state").as_deref() == Some("booted");
        let class = field(about, "class").unwrap_or_default();
        Some((Slot { name: name.clone(), bootname, good }, booted, class))
    };
    let slots: Vec<(Slot, bool, String)> = slots.iter().filter_map(bootable).collect();
    let booted = slots.iter().find(|(_, booted, _)| *booted);
    let other = booted.and_then(|(slot, _, class)| {
        slots.iter().find(|(other, _, others)| others == class && other.name != slot.name)
    });
    let named = |name: &str| slots.iter().find(|(slot, _, _)| slot.name == name);
    System {
        primary: primary.and_then(named).map(|(slot, _, _)| slot.bootname.clone()),
        booted: booted.map(|(slot, _, _)| slot.clone()),
        other: other.map(|(slot, _, _)| slot.clone()),
        ..system
    }
}

fn text(value: &OwnedVariant) -> Option<String> {
    match &**value {
        Variant::Str(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(name: &str, fields: &[(&str, &str)]) -> (String, Dict) {
        let value = |text: &str| OwnedVariant::try_from(Variant::from(text.to_owned())).unwrap();
        (name.to_owned(), fields.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect())
    }

    #[test]
    fn the_two_root_file_systems_are_found_among_other_slots() {
        let slots = [
            slot("appfs.0", &[("class", "appfs"), ("state", "inactive")]),
            slot(
                "rootfs.1",
                &[("class", "rootfs"), ("bootname", "B"), ("state", "inactive"), ("boot-status", "bad")],
            ),
            slot(
                "rootfs.0",
                &[("class", "rootfs"), ("bootname", "A"), ("state", "booted"), ("boot-status", "good")],
            ),
            slot("rescue.0", &[("class", "rescue"), ("bootname", "R"), ("state", "inactive")]),
        ];
        let system = of_slots(System::default(), &slots, Some("rootfs.1"));
        let named = |name: &str, bootname: &str, good| Slot {
            name: name.to_owned(),
            bootname: bootname.to_owned(),
            good,
        };
        assert_eq!(system.booted, Some(named("rootfs.0", "A", true)));
        assert_eq!(system.other, Some(named("rootfs.1", "B", false)));
        assert_eq!(system.primary.as_deref(), Some("B"));
        let alone = of_slots(System::default(), &slots[2..3], None);
        assert!(alone.booted.is_some() && alone.other.is_none() && alone.primary.is_none());
        assert_eq!(of_slots(System::default(), &slots[..2], None).booted, None);
    }
}
