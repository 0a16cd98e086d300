//! Which slot runs, and whether there is another one to go back to.

use serde::Deserialize;

use crate::command;
use crate::config::Config;

const PARAMETER: &str = "rauc.slot=";

/// What can be told about the slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// Boot name of the one that runs.
    pub running: String,
    /// The other one is marked bad. `None`: nobody says.
    pub other_is_bad: Option<bool>,
}

/// RAUC's status, as far as it is needed here.
#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    booted: Option<String>,
    #[serde(default)]
    slots: Vec<std::collections::BTreeMap<String, Slot>>,
}

#[derive(Debug, Deserialize)]
struct Slot {
    #[serde(default)]
    bootname: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    boot_status: Option<String>,
}

/// Only the kernel's command line: quick, and enough for what is known from it.
#[must_use]
pub fn from_command_line(config: &Config) -> Option<String> {
    let text = std::fs::read_to_string(&config.kernel_command_line).ok()?;
    named(text.split_whitespace().rev().find_map(|word| word.strip_prefix(PARAMETER))?)
}

/// Asks RAUC. The kernel's command line counts where it names the slot.
///
/// # Errors
/// Why the running slot is not known.
pub async fn look(config: &Config) -> Result<Slots, String> {
    let from_kernel = from_command_line(config);
    let asked = command::run(&config.commands.status, config.commands.deadline()).await;
    let status = asked.map_err(|error| error.to_string()).and_then(|text| {
        serde_json::from_slice::<Status>(&text).map_err(|error| format!("RAUC's status: {error}"))
    });
    match (from_kernel, status) {
        (Some(running), Ok(status)) => Ok(Slots { other_is_bad: status.other_is_bad(&running), running }),
        (Some(running), Err(reason)) => {
            log::warn!(reason:%; "RAUC does not answer");
            Ok(Slots { running, other_is_bad: None })
        }
        (None, Ok(status)) => match status.running() {
            Some(running) => Ok(Slots { other_is_bad: status.other_is_bad(&running), running }),
            None => Err("neither the kernel's command line nor RAUC says which slot runs".to_owned()),
        },
        (None, Err(reason)) => Err(reason),
    }
}

impl Status {
    fn all(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flat_map(std::collections::BTreeMap::values)
    }

    fn running(&self) -> Option<String> {
        let booted = self.all().find(|slot| slot.state.as_deref() == Some("booted"));
        named(booted.and_then(|slot| slot.bootname.as_deref()).or(self.booted.as_deref())?)
    }

    fn other_is_bad(&self, running: &str) -> Option<bool> {
        let other = |slot: &&Slot| {
            slot.bootname.as_deref().is_some_and(|name| named(name).is_some() && name != running)
        };
        match self.all().find(other)?.boot_status.as_deref()? {
            "bad" => Some(true),
            "good" => Some(false),
            _ => None,
        }
    }
}

fn named(text: &str) -> Option<String> {
    matches!(text, "A" | "B").then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RAUC 1.8 and 1.15 print it.
    const STATUS: &str = r#"{"compatible":"nodi-qemux86-64","variant":"","booted":"B","boot_primary":"rootfs.1","slots":[
        {"rootfs.1":{"class":"rootfs","device":"/dev/vda3","type":"ext4","bootname":"B","state":"booted","parent":null,"mountpoint":"/","boot_status":"good"}},
        {"rootfs.0":{"class":"rootfs","device":"/dev/vda2","type":"ext4","bootname":"A","state":"inactive","parent":null,"mountpoint":null,"boot_status":"bad"}}]}"#;

    fn config(directory: &tempfile::TempDir, command_line: &str, status: &str) -> Config {
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("cmdline"), command_line).unwrap();
        std::fs::write(at("status"), status).unwrap();
        let mut config = Config { kernel_command_line: at("cmdline"), ..Config::default() };
        config.commands.status = vec!["cat".to_owned(), at("status").display().to_string()];
        config
    }

    #[tokio::test]
    async fn the_kernel_says_it_or_rauc() {
        let directory = tempfile::tempdir().unwrap();
        let looked = look(&config(&directory, "quiet rauc.slot=A rw\n", STATUS)).await.unwrap();
        assert_eq!(looked, Slots { running: "A".into(), other_is_bad: Some(false) });
        let looked = look(&config(&directory, "quiet\n", STATUS)).await.unwrap();
        assert_eq!(looked, Slots { running: "B".into(), other_is_bad: Some(true) });
        let looked = look(&config(&directory, "rauc.slot=B\n", "no answer")).await.unwrap();
        assert_eq!(looked, Slots { running: "B".into(), other_is_bad: None });
        for (command_line, status) in
            [("", "no answer"), ("rauc.slot=system0", "{}"), ("", r#"{"slots": []}"#)]
        {
            assert!(
                look(&config(&directory, command_line, status)).await.is_err(),
                "{command_line:?} {status}"
            );
        }
    }
}
